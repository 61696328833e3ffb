"""`letterlock log explain`: what became of mail, by the log of the server that sent it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.cli.failures import ExitCode
from letterlock.cli.options import config_option, json_option
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
    "deliveries[].level": "the TLS level as Postfix 3.11 and later logs it, or null",
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
    "causes[].fix": "what helps, with the names of those it concerned most",
    "lines": "how many lines were read",
    "unread": "lines of no form that is known",
    "untied": "lines about TLS and failures whose delivery is not in the log",
}


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
@json_option(EXPLAIN_KEYS)
@config_option
def explain(files: tuple[str, ...], *, as_json: bool, config_path: Path | None) -> int:
    """Tell what became of the mail in a log, why, and what to mend.

    FILE is a log of Postfix (2.11 to 3.12), Exim or Letterlock, oldest first: plain or packed by
    gzip, with syslog's stamps or RFC 3339's, our JSON lines, or the journal's (`journalctl -o
    export`, `-o json`). Without FILE, and for `-`, it is standard input. What the lines do not tie
    to a delivery is counted, never guessed.

    Exit code 0: all mail was delivered; 1: some was put off or refused; 3: a log cannot be read, or
    has no deliveries in it.
    """
    from letterlock.protocols.mail_log.reading import LogReader  # noqa: PLC0415 - lazy, for -h
    from letterlock.protocols.mail_log.summary import Summary  # noqa: PLC0415 - as above

    del config_path  # every command takes one; what a log says depends on none
    reader, summary, failures = LogReader(), Summary(), list[str]()
    describer = _make_describer()
    found = _read_all(reader, files or ("-",), failures)
    if as_json:
        click.echo('{\n  "deliveries": [', nl=False)
    for number, delivery in enumerate(found):
        summary.add(delivery)
        if as_json:
            document = json.dumps(describer.describe_delivery(delivery))
            click.echo(f"{',' if number else ''}\n    {document}", nl=False)
    causes = [describer.describe_cause(counted) for counted in summary.causes]
    tally = reader.tally
    counts = {"lines": tally.lines, "unread": tally.unread, "untied": tally.untied}
    if as_json:
        rest = json.dumps({"causes": causes, **counts}, indent=2)
        click.echo("\n  ],\n" + rest.removeprefix("{\n"))
    else:
        _tell(causes, counts)
    for failure in failures:
        click.echo(f"letterlock: {failure}", err=True)
    if summary.has_failures:
        return ExitCode.BAD_NEWS
    return ExitCode.UNDECIDED if failures or not causes else ExitCode.FINE


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
    from letterlock.base.log import make_printable  # noqa: PLC0415 - as above
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


def _tell(causes: list[dict[str, Any]], counts: dict[str, int]) -> None:
    from letterlock.cli.log_text import format_log  # noqa: PLC0415 - lazy, for -h

    for line in format_log(causes, counts):
        click.echo(line)
