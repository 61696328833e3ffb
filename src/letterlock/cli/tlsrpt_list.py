"""`letterlock tlsrpt list`: the reports that are kept, and each as it came."""

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
)
from letterlock.cli.report_store import find_since, since_option, take_domain, with_store

if TYPE_CHECKING:
    from letterlock.storage.received_reports import ListedReport

LIST_KEYS = {
    "since": "the first day that is listed",
    "reports[].id": "for --raw",
    "reports[].day": "the day in UTC that it is about",
    "reports[].received": "when it was kept",
    "reports[].way": "mail, https or import",
    "reports[].standing": "counted; unauthenticated (never counted); or refused",
    "reports[].submitter": "whose it is: the domain of its contact, or a name",
    "reports[].organization_name": "who reports",
    "reports[].report_id": "the sender's name for it",
    "reports[].start": "when it begins",
    "reports[].end": "when it ends",
    "reports[].contact_info": "whom to ask",
    "reports[].domains[]": "its policy domains, at most 100",
    "reports[].policies": "how many policies it is about",
    "reports[].repairs[]": "what was repaired to read it",
    "reports[].copies": "how often the same one came again",
    "reports[].reason": "why it does not count, or null",
    "more": "whether there are more than --limit",
}
MAX_SHOWN_DOMAINS = 3
MAX_ID = 2**63 - 1
"""Of a row in either database."""


@click.command(name="list")
@click.argument("domain", required=False)
@since_option
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="How many at most.",
)
@click.option(
    "--raw", type=click.IntRange(1, MAX_ID), metavar="ID", help="Write this report as it came."
)
@json_option(LIST_KEYS)
@config_option
def list_reports(
    *,
    domain: str | None,
    since: datetime | None,
    limit: int,
    raw: int | None,
    as_json: bool,
    config_path: Path | None,
) -> int:
    """List the reports that are kept, the last that came first: all, or those about DOMAIN."""
    config = load_config_or_fail(config_path)
    act_as_owner(config.data_dir)
    if raw is not None:
        octets = with_store(config, lambda store: store.load_octets(raw))
        if octets is None:
            text = f"no report {raw} is kept; `tlsrpt list` tells their ids"
            raise CommandFailed(text, ExitCode.WRONG_USAGE)
        click.echo(octets, nl=False)
        return ExitCode.FINE
    first = find_since(since)
    name = None if domain is None else take_domain(domain)
    found = with_store(
        config, lambda store: store.list_reports(domain=name, since=first, limit=limit + 1)
    )
    _print(first, found[:limit], has_more=len(found) > limit, as_json=as_json)
    return ExitCode.FINE


def _print(since: date, found: list["ListedReport"], *, has_more: bool, as_json: bool) -> None:
    from letterlock.base.printable import make_printable  # noqa: PLC0415 - lazy, for -h

    if as_json:
        reports = [_describe(each) for each in found]
        print_json({"since": since.isoformat(), "reports": reports, "more": has_more})
        return
    for each in found:
        click.echo(make_printable(_format(each)))
    if has_more:
        click.echo("and more: --limit shows them")
    if not found:
        click.echo(f"No reports are kept on days from {since.isoformat()} on.")


def _describe(listed: "ListedReport") -> dict[str, Any]:
    from letterlock.base.clock import format_time  # noqa: PLC0415 - lazy, for -h

    facts = listed.facts
    return {
        "id": listed.id,
        "day": listed.day.isoformat(),
        "received": format_time(listed.received),
        "way": listed.way.value,
        "standing": listed.standing.value,
        "submitter": listed.submitter,
        "organization_name": facts.organization_name,
        "report_id": facts.report_id,
        "start": None if facts.start is None else format_time(facts.start),
        "end": None if facts.end is None else format_time(facts.end),
        "contact_info": facts.contact_info,
        "domains": list(facts.domains),
        "policies": facts.policies,
        "repairs": list(facts.repairs),
        "copies": listed.copies,
        "reason": listed.note or None,
    }


def _format(listed: "ListedReport") -> str:
    domains = ", ".join(listed.facts.domains[:MAX_SHOWN_DOMAINS]) or "no domain told"
    more = len(listed.facts.domains) - MAX_SHOWN_DOMAINS
    domains += f" and {more} more" * (more > 0)
    parts = [f"{listed.id:>6}  {listed.day}  {listed.submitter or 'not told'}: {domains}"]
    if listed.standing.value != "counted":
        parts.append(f"{listed.standing.value}: {listed.note}")
    if listed.facts.repairs:
        parts.append(f"{len(listed.facts.repairs)} repaired")
    if listed.copies:
        parts.append(f"came {format_count(listed.copies, 'time')} more")
    return "; ".join(parts)
