"""`letterlock ca halt` and `ca resume`: the switch that stops issuance on all machines."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import ExitCode
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.storage.ca.kept import Halt
    from letterlock.storage.ca.store import AuthorityStore

_KEYS = {
    "halted": "whether nothing is issued",
    "since": "since when that is so, or null",
    "why": "what clients are told",
    "who": "who said so",
}


@click.command()
@config_option
@json_option(_KEYS)
@click.option("--why", required=True, metavar="TEXT", help="What clients are told.")
def halt(config_path: Path | None, why: str, *, as_json: bool) -> int:
    """Stop issuing, on all machines at once, until `ca resume`.

    Orders are refused with the reason, and nothing is signed any more; CRLs are. One that is
    halted keeps the reason that it has.
    """

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> "Halt":
        from letterlock.node.ca import commands  # noqa: PLC0415 - not loaded for -h

        del config
        return await commands.halt(store, why, clock)

    _tell(with_store(config_path, do), as_json=as_json)
    return ExitCode.FINE


@click.command()
@config_option
@json_option(_KEYS)
def resume(config_path: Path | None, *, as_json: bool) -> int:
    """Issue again."""

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> "Halt":
        from letterlock.node.ca import commands  # noqa: PLC0415 - not loaded for -h

        del config
        return await commands.resume(store, clock)

    _tell(with_store(config_path, do), as_json=as_json)
    return ExitCode.FINE


def _tell(found: "Halt", *, as_json: bool) -> None:
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h

    since = format_time(found.since) if found.since is not None else None
    if as_json:
        print_json({"halted": found.is_halted, "since": since, "why": found.why, "who": found.who})
    elif found.is_halted:
        click.echo(f"halted since {since} by {found.who}: {found.why}")
    else:
        click.echo("issuing")
