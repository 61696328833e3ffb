"""`letterlock tlsrpt send`: the reports that go out, and how far each is."""

import asyncio
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
    resolver_option,
    take_resolver,
    use_resolver,
)

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.services.report.previewing import Preview
    from letterlock.storage.own_reports import OwnReport

_CONTROL_SECONDS = 10.0
SEND_KEYS = {
    "dry_run": "whether nothing was sent",
    "submitter.organization": "who reports",
    "submitter.contact": "the address that mails come from",
    "reports[].day": "a day of UTC, as YYYY-MM-DD",
    "reports[].source": "who counted: queue, or collected@NODE",
    "reports[].domain": "whom the report is about: a domain, or a host with TLSA records",
    "reports[].record": "its TLSRPT record as it was seen then; empty: it is looked up now",
    "reports[].report_id": "the same each time it is sent",
    "reports[].state": "unwanted, planned, waiting, sent (to one place at least), or failed",
    "reports[].reason": "why nothing is sent or why it waits; null where there is nothing to say",
    "reports[].destinations[].uri": "where it goes",
    "reports[].destinations[].state": "planned, waiting, sent or failed",
    "reports[].destinations[].tries": "how often it was tried",
    "reports[].destinations[].next": "when it is tried again; null: not any more, or not tried yet",
    "reports[].destinations[].reason": "why it was not taken; null where there is nothing to say",
    "reports[].octets": "of the packed report; null where it was not composed just now",
    "reports[].policies[]": "the keys that `tlsrpt show` has for a policy; only with --dry-run",
}


@click.command()
@config_option
@resolver_option
@click.option(
    "--day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="Only the reports on this day of UTC.",
)
@click.option("--dry-run", is_flag=True, help="Send nothing: show what would go where.")
@json_option(SEND_KEYS)
def send(
    *,
    day: datetime | None,
    dry_run: bool,
    as_json: bool,
    config_path: Path | None,
    resolver: str | None,
) -> int:
    """Send the reports on days that are over, now, and tell how far each is.

    A node that runs sends them by itself, some hours after midnight in UTC; this has it begin at
    once. Where `tlsrpt.mail_program` is set, this command sends them itself, and tries again what
    was not taken and is due: run it every quarter of an hour beside `tlsrpt collect`.
    With --dry-run also a day that is not over can be looked at.

    Exit code 0: all is well so far; 1: a report could be handed over nowhere; 3: with --dry-run, it
    could not be looked up who wants reports.
    """
    config = use_resolver(load_config_or_fail(config_path), take_resolver(resolver))
    act_as_owner(config.data_dir)
    from letterlock.base.errors import LocalError  # noqa: PLC0415 - lazy, for -h
    from letterlock.node.report_sources import make_submitter  # noqa: PLC0415 - as above
    from letterlock.storage.queue import StoreUnavailable  # noqa: PLC0415 - as above

    asked = day.date() if day is not None else None
    if not dry_run:
        _require_over(asked)
        if not config.tlsrpt.reports:
            raise CommandFailed("tlsrpt.reports is false: no reports are sent")
    try:
        if dry_run:
            documents = asyncio.run(_preview(config, asked))
        else:
            documents = asyncio.run(_send(config, asked))
    except StoreUnavailable as error:
        raise CommandFailed(f"reports cannot be sent now: {error}", ExitCode.UNDECIDED) from None
    except LocalError as error:
        raise CommandFailed(str(error)) from None
    submitter = make_submitter(config)
    note = None if dry_run else _have_node_send(config, documents)
    if as_json:
        who = {"organization": submitter.organization, "contact": submitter.contact}
        print_json({"dry_run": dry_run, "submitter": who, "reports": documents})
    else:
        _print_all(documents)
        if note is not None:
            click.echo(note)
    if any(each["state"] == "failed" for each in documents):
        return ExitCode.BAD_NEWS
    is_open = dry_run and any(_is_undecided(each) for each in documents)
    return ExitCode.UNDECIDED if is_open else ExitCode.FINE


def _is_undecided(document: dict[str, Any]) -> bool:
    """Say if it is not known whether a report is wanted."""
    return document["state"] == "planned" and not document["destinations"]


def _require_over(day: date | None) -> None:
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h

    if day is not None and day >= SystemClock().now().date():
        text = f"{day.isoformat()} is not over in UTC: --dry-run shows what is counted by now"
        raise click.UsageError(text)


async def _preview(config: "Config", day: date | None) -> list[dict[str, Any]]:
    from letterlock.node.report_commands import preview_reports  # noqa: PLC0415 - lazy, for -h

    return [_describe_preview(each) for each in await preview_reports(config, day)]


async def _send(config: "Config", day: date | None) -> list[dict[str, Any]]:
    from letterlock.node.report_commands import send_reports  # noqa: PLC0415 - lazy, for -h

    return [_describe_report(each) for each in await send_reports(config, day)]


def _describe_preview(preview: "Preview") -> dict[str, Any]:
    from letterlock.cli.tlsrpt_show import describe_policy  # noqa: PLC0415 - lazy, for -h
    from letterlock.services.report.addressing import Unwanted, Wanted  # noqa: PLC0415 - as above

    wanted = preview.wanted
    uris = wanted.uris if isinstance(wanted, Wanted) else ()
    return {
        "day": preview.day.isoformat(),
        "source": preview.source,
        "domain": preview.topic.domain,
        "record": preview.topic.record,
        "report_id": preview.report_id,
        # Who could not be asked now is asked again when it is to be sent.
        "state": "unwanted"
        if isinstance(wanted, Unwanted) and not wanted.is_passing
        else "planned",
        "reason": wanted.reason if isinstance(wanted, Unwanted) else None,
        "destinations": [
            {"uri": uri, "state": "planned", "tries": 0, "next": None, "reason": None}
            for uri in uris
        ],
        "octets": preview.octets or None,
        "policies": [describe_policy(policy) for policy in preview.policies],
    }


def _describe_report(report: "OwnReport") -> dict[str, Any]:
    from letterlock.base.clock import format_time  # noqa: PLC0415 - lazy, for -h

    destinations = [
        {
            "uri": each.uri,
            "state": each.state.value,
            "tries": each.tries,
            "next": format_time(each.due) if each.due is not None else None,
            "reason": each.note or None,
        }
        for each in report.deliveries
    ]
    return {
        "day": report.key.day.isoformat(),
        "source": report.key.source,
        "domain": report.key.domain,
        "record": report.key.record,
        "report_id": report.report_id,
        "state": _find_state(report, {each["state"] for each in destinations}),
        "reason": report.note or None,
        "destinations": destinations,
        "octets": None,
    }


def _find_state(report: "OwnReport", states: set[str | int | None]) -> str:
    if not states:
        return "unwanted" if report.due is None else "planned"
    return next(each for each in ("waiting", "sent", "failed") if each in states)


def _have_node_send(config: "Config", documents: list[dict[str, Any]]) -> str | None:
    """Wake the node that is to send what is planned; gives what to say of that, if anything."""
    if config.tlsrpt.mail_program is not None or all(
        each["state"] != "planned" for each in documents
    ):
        return None
    from letterlock.network.control_client import (  # noqa: PLC0415 - lazy, for -h
        NodeNotRunning,
        NodeUnreachable,
        ask_all,
    )

    try:
        ask_all(config.node.control_socket, "reports.wake", {}, _CONTROL_SECONDS)
    except NodeNotRunning:
        return "no node runs here: they are sent when one does; see tlsrpt.mail_program"
    except NodeUnreachable as error:
        return f"the node sends them within a minute; it cannot be asked to do so now: {error}"
    return "the node sends them now"


def _print_all(documents: list[dict[str, Any]]) -> None:
    from letterlock.base.printable import make_printable  # noqa: PLC0415 - lazy, for -h

    wanted = [each for each in documents if each["state"] != "unwanted"]
    for each in wanted:
        lines = [f"{each['day']} {each['domain']}: {each['state']} {each['reason'] or ''}".rstrip()]
        lines += [f"    {line}" for line in map(_format_destination, each["destinations"])]
        for line in lines:
            click.echo(make_printable(line))
    unwanted = format_count(
        len(documents) - len(wanted), "domain or host that gets", "domains or hosts that get"
    )
    click.echo(f"{format_count(len(wanted), 'report')}, and {unwanted} none")


def _format_destination(each: dict[str, Any]) -> str:
    again = f", again {each['next']}" if each["next"] else ""
    reason = f": {each['reason']}" if each["reason"] else ""
    return f"{each['state']} {each['uri']}{again}{reason}"
