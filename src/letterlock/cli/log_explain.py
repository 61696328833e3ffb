"""`letterlock log explain`: what became of mail, by the log of the server that sent it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, find_config_or_defaults, json_option
from letterlock.cli.progress import ProgressBar

if TYPE_CHECKING:
    from letterlock.protocols.mail_log.deliveries import LoggedDelivery
    from letterlock.protocols.mail_log.reading import LogReader
    from letterlock.services.explain.log_document import Describer

EXPLAIN_KEYS = {
    "deliveries[].time": "when the attempt ended; null: the log does not say it in a known form",
    "deliveries[].queue_id": "the message's id in that server",
    "deliveries[].recipient": "for whom",
    "deliveries[].nexthop_domain": "the recipient's domain, or null",
    "deliveries[].mx": "the host that took or refused it, or null",
    "deliveries[].ip": "its address, or null",
    "deliveries[].level": "the TLS level as we and Postfix 3.11 and later log it, or null",
    "deliveries[].tls": "null: there was none",
    "deliveries[].tls.trust": "the log's word: Verified, Trusted, Untrusted or Anonymous",
    "deliveries[].tls.version": "the version of TLS",
    "deliveries[].tls.cipher": "the cipher",
    "deliveries[].status": "sent, deferred or bounced",
    "deliveries[].dsn": "the enhanced status code, or null",
    "deliveries[].cause": "one of the causes in the guide; `ok-second-mx-after-` and a cause",
    "deliveries[].result_type": "what RFC 8460 calls it, or null",
    "deliveries[].evidence": "the texts of the lines that this rests on",
    "deliveries[].fix": "what helps; empty: nothing need be done",
    "causes[].cause": "a cause",
    "causes[].count": "how many deliveries had it",
    "causes[].meaning": "what it means",
    "causes[].hosts": "the hosts that it was seen at most",
    "causes[].domains": "the domains that it concerned most",
    "causes[].first": "when it was seen first",
    "causes[].last": "when it was seen last",
    "causes[].said": "the log's own words on the last one, such as the reply, or null",
    "causes[].fix": "what helps, with the names of those it concerned most",
    "probes[].mx": "only with --probe: a host of which the log may not know all",
    "probes[].ip": "its address",
    "probes[].logged": "the cause by the log",
    "probes[].cause": "the cause by what it shows now; null: nothing is wrong, or it is not known",
    "probes[].answered": "whether it could be asked",
    "probes[].detail": "what it showed",
    "lines": "how many lines were read",
    "unread": "lines of no form that is known",
    "untied": "lines about TLS and failures whose delivery is not in the log",
}
MAX_PROBED = 20
SMTP_PORT = 25


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option(
    "--probe",
    "is_probing",
    is_flag=True,
    help="Ask hosts of which the log may not know all: with their name, without and with another.",
)
@click.option(
    "--tlsrpt",
    "reports_folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Write the TLS reports that the log allows to this folder, by day and domain.",
)
@json_option(EXPLAIN_KEYS)
@config_option
def explain(
    files: tuple[str, ...],
    *,
    is_probing: bool,
    reports_folder: Path | None,
    as_json: bool,
    config_path: Path | None,
) -> int:
    """Tell what became of the mail in a log, why, and what to mend.

    FILE is a log of Postfix (2.11 to 3.12), Exim or Letterlock, oldest first: plain or packed by
    gzip, with syslog's stamps or RFC 3339's, our JSON lines, or the journal's (`journalctl -o
    export`, `-o json`). Without FILE, and for `-`, it is standard input. What the lines do not tie
    to a delivery is counted, never guessed.

    Nobody is asked, except with --probe: then up to 20 hosts, three times each.

    Exit code 0: all mail was delivered; 1: some was put off or refused; 3: a log cannot be read, or
    has no deliveries in it.
    """
    from letterlock.protocols.mail_log.reading import LogReader  # noqa: PLC0415 - lazy, for -h
    from letterlock.protocols.mail_log.summary import Summary  # noqa: PLC0415 - as above

    reader, summary, failures = LogReader(), Summary(), list[str]()
    describer = _make_describer()
    found = _read_all(reader, files or ("-",), failures)
    if as_json:
        click.echo('{\n  "deliveries": [', nl=False)
    uncertain: dict[tuple[str, str], LoggedDelivery] = {}
    reports = _Reports(describer, reports_folder) if reports_folder is not None else None
    for number, delivery in enumerate(found):
        summary.add(delivery)
        if reports is not None:
            reports.counts.add(delivery)
        if is_probing and len(uncertain) < MAX_PROBED:
            _note_uncertain(delivery, uncertain)
        if as_json:
            document = json.dumps(describer.describe_delivery(delivery))
            click.echo(f"{',' if number else ''}\n    {document}", nl=False)
    causes = [describer.describe_cause(counted) for counted in summary.causes]
    probes = _probe(list(uncertain.values()), config_path) if uncertain else []
    if reports is not None:
        reports.write(config_path)
    tally = reader.tally
    counts = {"lines": tally.lines, "unread": tally.unread, "untied": tally.untied}
    if as_json:
        answers = {"probes": probes} if is_probing else {}
        rest = json.dumps({"causes": causes, **answers, **counts}, indent=2)
        click.echo("\n  ],\n" + rest.removeprefix("{\n"))
    else:
        _tell(causes, probes, counts)
    for failure in failures:
        click.echo(f"letterlock: {failure}", err=True)
    if summary.has_failures:
        return ExitCode.BAD_NEWS
    return ExitCode.UNDECIDED if failures or not causes else ExitCode.FINE


class _Reports:
    """The TLS reports that a log allows."""

    def __init__(self, describer: "Describer", folder: Path) -> None:
        from letterlock.services.report.from_logs import LogReports  # noqa: PLC0415 - lazy, for -h

        self.counts = LogReports(describer.now, describer.zone)
        self._folder = folder

    def write(self, config_path: Path | None) -> None:
        """Write each to a file of its own; what was there under its name is replaced."""
        from letterlock.node.report_sources import make_submitter  # noqa: PLC0415 - lazy, for -h

        config, _ = find_config_or_defaults(config_path)
        count = 0
        try:
            for name, octets in self.counts.compose(make_submitter(config)):
                (self._folder / name).write_bytes(octets)
                count += 1
        except OSError as error:
            reason = error.strerror or str(error)
            raise CommandFailed(f"{self._folder}: cannot be written: {reason}") from None
        undated = self.counts.undated
        told = format_count(
            undated, "delivery without a known day is", "deliveries without a known day are"
        )
        more = f"; {told} in none" if undated else ""
        reports = format_count(count, "report is", "reports are")
        click.echo(f"letterlock: {reports} in {self._folder}{more}", err=True)


def _note_uncertain(
    delivery: "LoggedDelivery", uncertain: "dict[tuple[str, str], LoggedDelivery]"
) -> None:
    from letterlock.protocols.check.second_look import UNCERTAIN  # noqa: PLC0415 - lazy, for -h
    from letterlock.protocols.pki.names import parse_ip  # noqa: PLC0415 - as above

    if delivery.cause in UNCERTAIN and delivery.mx and parse_ip(delivery.ip) is not None:
        uncertain[delivery.mx, delivery.ip] = delivery


def _probe(deliveries: "list[LoggedDelivery]", config_path: Path | None) -> list[dict[str, Any]]:
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.node.log_probing import LoggedHost, run  # noqa: PLC0415 - as above
    from letterlock.protocols.mail_log.causes import Cause  # noqa: PLC0415 - as above

    config, _ = find_config_or_defaults(config_path)
    hosts = [
        LoggedHost(each.mx, each.ip, int(each.port or SMTP_PORT), Cause(each.cause))
        for each in deliveries
    ]
    looks = run(config, hosts, SystemClock())
    return [
        {
            "mx": host.mx,
            "ip": host.ip,
            "logged": host.cause,
            "cause": look.cause,
            "answered": look.is_answered,
            "detail": look.detail,
        }
        for host, look in zip(hosts, looks, strict=True)
    ]


def _make_describer() -> "Describer":
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.services.explain.log_document import Describer  # noqa: PLC0415 - as above

    now = SystemClock().now()
    zone = now.astimezone().tzinfo
    assert zone is not None
    return Describer(now, zone)


def _read_all(
    reader: "LogReader", files: tuple[str, ...], failures: list[str]
) -> "Iterator[LoggedDelivery]":
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.base.printable import make_printable  # noqa: PLC0415 - as above
    from letterlock.services.explain.log_files import (  # noqa: PLC0415 - as above
        LogError,
        open_log,
    )

    for name in files:
        bar = ProgressBar(SystemClock(), make_printable(f"reading {name}"))
        try:
            with open_log(name, bar.show) as lines:
                yield from reader.read(lines)
        except LogError as error:
            failures.append(make_printable(str(error)))
        finally:
            bar.end()
    reader.close()


def _tell(
    causes: list[dict[str, Any]], probes: list[dict[str, Any]], counts: dict[str, int]
) -> None:
    from letterlock.cli.log_text import format_log  # noqa: PLC0415 - lazy, for -h

    for line in format_log(causes, probes, counts):
        click.echo(line)
