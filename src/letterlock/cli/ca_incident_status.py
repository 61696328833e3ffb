"""`letterlock ca incident status` and `list`: how far incidents are, and what they affect."""

import asyncio
import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from letterlock.cli.ca_incident_text import (
    INCIDENT_KEYS,
    describe_standing,
    format_counts,
    format_standing,
)
from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.storage.ca.store import AuthorityStore

FOLLOW_SECONDS = 1.0
_COLUMNS = {
    "serial": "lower-case hex",
    "account": "whose it is",
    "not_after": "until when it is valid",
    "told": "when its account was told by mail, or null",
    "replaced": "when its replacement was issued, or null",
    "revoked": "when it was revoked, or null",
    "incident": "what the incident is called",
    "renew_by": "when it is revoked",
}
_OVER = ("ended", "withdrawn")


@click.command()
@click.argument("incident_id", metavar="[ID]", required=False)
@config_option
@json_option({f"incidents[].{key}": text for key, text in INCIDENT_KEYS.items()})
@click.option("--follow", is_flag=True, help="A line whenever something changes, until its end.")
def status(
    incident_id: str | None, config_path: Path | None, *, follow: bool, as_json: bool
) -> int:
    """Tell how far an incident is, or all of them: affected, told, replaced, revoked, left."""
    if follow and (incident_id is None or as_json):
        raise click.UsageError("--follow is of one incident, and without --json")

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> list[dict[str, Any]]:
        del config
        found = await _find(store, clock, incident_id)
        if follow:
            await _follow(store, clock, found[0])
        return found

    found = with_store(config_path, do)
    if as_json:
        print_json({"incidents": found})
        return ExitCode.FINE
    for each in found if not follow else ():
        for line in format_standing(each):
            click.echo(line)
    if not found:
        click.echo("no incidents", err=True)
    return ExitCode.FINE


@click.command("list")
@click.argument("incident_id", metavar="ID")
@config_option
@json_option({f"certificates[].{key}": text for key, text in _COLUMNS.items()})
def list_(incident_id: str, config_path: Path | None, *, as_json: bool) -> int:
    """List the certificates that an incident affects, as CSV.

    `letterlock incident check --list` reads it.
    """
    if not as_json:
        write_list(config_path, incident_id, sys.stdout)
        return ExitCode.FINE
    # A certificate a line, as they come: there may be millions.
    start = '{"certificates": ['

    def tell(row: tuple[str, ...]) -> None:
        nonlocal start
        document = {key: value or None for key, value in zip(_COLUMNS, row, strict=True)}
        click.echo(f"{start}\n  {json.dumps(document)}", nl=False)
        start = ","

    _list(config_path, incident_id, tell)
    click.echo("\n]}" if start == "," else f"{start}]}}")
    return ExitCode.FINE


def write_list(config_path: Path | None, incident_id: str, file: IO[str]) -> dict[str, Any]:
    """Write what an incident of our own affects as CSV; gives how it stands, as `status` does."""
    writer = csv.writer(file, lineterminator="\n")
    return _list(config_path, incident_id, writer.writerow, has_heading=True)


def _list(
    config_path: Path | None,
    incident_id: str,
    tell: Callable[[tuple[str, ...]], object],
    *,
    has_heading: bool = False,
) -> dict[str, Any]:
    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> dict[str, Any]:
        from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h
        from letterlock.node.ca import incident_commands as commands  # noqa: PLC0415 - as above
        from letterlock.protocols.incidents.serials import format_serial  # noqa: PLC0415 - too

        del config
        (incident,) = await _find(store, clock, incident_id)
        if has_heading:
            tell(tuple(_COLUMNS))
        async for each in commands.list_affected(store, incident_id):
            moments = (each.not_after, each.told, each.replaced, each.revoked)
            tell(
                (
                    *(format_serial(each.name.serial), each.account_id),
                    *(format_time(moment) if moment else "" for moment in moments),
                    *(incident_id, incident["renew_by"]),
                )
            )
        return incident

    return with_store(config_path, do)


async def _find(
    store: "AuthorityStore", clock: "Clock", incident_id: str | None
) -> list[dict[str, Any]]:
    from letterlock.node.ca import incident_commands as commands  # noqa: PLC0415 - not loaded for -h
    from letterlock.services.ca.incidents.changing import IncidentError  # noqa: PLC0415 - as above

    try:
        standings = await commands.find_standings(store, clock, incident_id)
    except IncidentError as error:
        raise CommandFailed(str(error), ExitCode.BAD_NEWS) from None
    return [describe_standing(each) for each in standings]


async def _follow(store: "AuthorityStore", clock: "Clock", found: dict[str, Any]) -> None:
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h

    last = ""
    while True:
        line = f"{found['state']}: {format_counts(found)}"
        if line != last:
            click.echo(f"{format_time(clock.now())}  {line}")
            last = line
        if found["state"] in _OVER:
            return
        await asyncio.sleep(FOLLOW_SECONDS)
        (found,) = await _find(store, clock, found["id"])
