"""`letterlock tlsrpt collect`: count what a Postfix tells of its TLS sessions, and show that."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.cli.failures import CommandFailed
from letterlock.cli.options import config_option, json_option, load_config_or_fail, print_json

if TYPE_CHECKING:
    from letterlock.base.config.collecting import TlsrptSection
    from letterlock.base.config.sections import Config
    from letterlock.protocols.tlsrpt.results import DomainResults
    from letterlock.services.collect.aggregate import DayCounts

SHOW_KEYS = {
    "days[].day": "a day of UTC, as YYYY-MM-DD",
    "days[].finished": "whether it is over",
    "days[].sessions": "how many sessions were counted",
    "days[].refused": "datagrams that were no session's result",
    "days[].dropped": "datagrams that came faster than they could be taken",
    "days[].beyond": "sessions that were more than what is kept of a day",
    "days[].domains[].domain": "the domain that the report will be about",
    "days[].domains[].record": "its TLSRPT record, as Postfix saw it",
    "days[].domains[].destinations": "where the report will go",
    "days[].domains[].policies[]": "the same keys as `tlsrpt show` has for a policy",
}


@click.command()
@click.option("--show", "is_show", is_flag=True, help="Tell what is counted by now, and end.")
@json_option(SHOW_KEYS)
@config_option
def collect(*, is_show: bool, as_json: bool, config_path: Path | None) -> int:
    """Count what a Postfix 3.10 or later tells of its TLS sessions, in the foreground.

    It listens where `[tlsrpt]` says, in place of tlsrpt-collectd, and keeps what it counts in
    `journal_dir`. SIGTERM ends it. With --show: tell what is there, by day, domain and policy.
    """
    if as_json and not is_show:
        raise click.UsageError("--json goes with --show")
    config = load_config_or_fail(config_path)
    if is_show:
        _show(config, as_json=as_json)
        return 0
    # Loaded when the configuration is known to be right.
    from letterlock.base.config.faults import SettingFaults  # noqa: PLC0415 - lazy, for -h
    from letterlock.base.config.load import find_config  # noqa: PLC0415 - lazy, for -h
    from letterlock.node.tlsrpt_collecting import collect as run  # noqa: PLC0415 - lazy, for -h

    try:
        return run(config)
    except SettingFaults as faults:
        raise find_config(config_path).place(faults) from None


def load_counts(section: "TlsrptSection", day: date) -> "DayCounts":
    """Give the counts of a day. Raises CommandFailed."""
    from letterlock.services.collect.journal import load_day  # noqa: PLC0415 - lazy, for -h
    from letterlock.storage.day_files import DamagedCounts, DayFiles  # noqa: PLC0415 - as above
    from letterlock.storage.durable import describe  # noqa: PLC0415 - as above

    try:
        return load_day(DayFiles(section.journal_dir), day)
    except OSError as error:
        raise CommandFailed(f"the counts cannot be read: {describe(error)}") from None
    except DamagedCounts as error:
        raise CommandFailed(str(error)) from None


def _show(config: "Config", *, as_json: bool) -> None:
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.storage.day_files import DayFiles  # noqa: PLC0415 - as above
    from letterlock.storage.durable import describe  # noqa: PLC0415 - as above

    section = config.tlsrpt
    try:
        days = DayFiles(section.journal_dir).list_days()
    except OSError as error:
        hint = "; `letterlock tlsrpt collect` makes it"
        raise CommandFailed(f"the counts cannot be read: {describe(error)}{hint}") from None
    today = SystemClock().now().date()
    described = (
        _describe_day(day, load_counts(section, day), is_finished=day < today) for day in days
    )
    if as_json:
        print_json({"days": list(described)})
        return
    for document in described:
        _print_day(document)
    if not days:
        click.echo("nothing is counted yet")


def _describe_day(day: date, counts: "DayCounts", *, is_finished: bool) -> dict[str, Any]:
    return {
        "day": day.isoformat(),
        "finished": is_finished,
        "sessions": counts.sessions,
        "refused": counts.refused,
        "dropped": counts.dropped,
        "beyond": counts.beyond,
        "domains": [_describe_domain(results) for results in counts.list_results()],
    }


def _describe_domain(results: "DomainResults") -> dict[str, Any]:
    from letterlock.cli.tlsrpt_show import describe_policy  # noqa: PLC0415 - lazy, for -h

    return {
        "domain": results.domain,
        "record": results.record,
        "destinations": list(results.destinations),
        "policies": [describe_policy(result) for result in results.policies],
    }


def _print_day(document: dict[str, Any]) -> None:
    from letterlock.base.printable import make_printable  # noqa: PLC0415 - lazy, for -h

    state = "over" if document["finished"] else "so far"
    click.echo(f"{document['day']} ({state}): {format_count(document['sessions'], 'session')}")
    for key, why in (
        ("refused", "datagrams were no result of a session"),
        ("dropped", "datagrams came faster than they could be counted"),
        ("beyond", "sessions were more than is kept of a day"),
    ):
        if document[key]:
            click.echo(f"  NOT COUNTED  {document[key]} {why}")
    for each in document["domains"]:
        for policy in each["policies"]:
            total = policy["successful"] + policy["failed"]
            name = policy["domain"] if policy["domain"] != each["domain"] else ""
            told = f"{each['domain']}: {policy['type']} {name}".rstrip()
            line = f"  {told}: {policy['failed']} of {format_count(total, 'session')} failed"
            click.echo(make_printable(line))
            for failure in policy["failures"]:
                click.echo(make_printable(f"    {_format_failure(failure)}"))
        if not each["record"]:
            click.echo("    its TLSRPT record is looked up when the report is made")
        elif not each["destinations"]:
            told = f"    no report: no TLSRPT record with mailto or https: {each['record']}"
            click.echo(make_printable(told))


def _format_failure(failure: dict[str, Any]) -> str:
    words = [f"{failure['count']} {failure['result_type']}"]
    for key, before in (
        ("receiving_mx_hostname", "at"),
        ("receiving_ip", ""),
        ("reason_code", ":"),
    ):
        if failure[key]:
            words.append(f"{before} {failure[key]}".strip())
    return " ".join(words).replace(" : ", ": ")
