"""`letterlock ca nonces reset`: after a clock that was ahead, clients get good nonces again."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import ExitCode
from letterlock.cli.lazy import LazyCommand, LazyGroup
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.storage.ca.store import AuthorityStore

COMMANDS = {"reset": LazyCommand("ca_nonces:reset", "Have those of now count again.")}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def nonces() -> None:
    """Nonces, by which a request of a client counts once (RFC 8555 §6.5)."""


@click.command()
@config_option
@json_option(
    {
        "reset": "whether there was something to reset",
        "refused_until": "until when each nonce would have been refused, or null",
    }
)
def reset(config_path: Path | None, *, as_json: bool) -> int:
    """Have nonces that are made from now on count again, where a clock was far ahead.

    While it was, later ones were used, and none may be good twice: so all from before that time are
    refused, and every client gets badNonce. Set the clock right first, and restart each
    `ca serve` after it. Where nothing is wrong, nothing is changed.
    """

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> datetime | None:
        del config
        return await store.reset_nonces(clock.now())

    until = with_store(config_path, do)
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h

    if as_json:
        ended = format_time(until) if until is not None else None
        print_json({"reset": until is not None, "refused_until": ended})
    elif until is None:
        click.echo("nonces of now count: there is nothing to reset")
    else:
        click.echo(
            f"nonces count again, which would have been refused until {format_time(until)}; "
            "now restart each `ca serve`"
        )
    return ExitCode.FINE
