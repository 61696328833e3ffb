"""`letterlock ca unpause`: a name that failed for months may be ordered again."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.ca_account_ids import AccountIdCommand, take_account_id
from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.storage.ca.store import AuthorityStore


@click.command(cls=AccountIdCommand)
@click.argument("account", callback=take_account_id)
@click.argument("name")
@config_option
@json_option({"account": "whose it was", "name": "what may be ordered again"})
def unpause(account: str, name: str, config_path: Path | None, *, as_json: bool) -> int:
    """Let ACCOUNT (its id, the last part of its URL) order NAME again.

    Names are paused where `ca.limits.pause_page` is set.
    """

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> bool:
        from letterlock.node.ca import commands  # noqa: PLC0415 - not loaded for -h

        del config, clock
        return await commands.unpause(store, account, commands.identify(name))

    try:
        is_done = with_store(config_path, do)
    except ValueError as error:
        raise CommandFailed(f"NAME {name[:80]!r}: {error}", ExitCode.WRONG_USAGE) from None
    if not is_done:
        message = f"{name}: it is not paused for account {account[:80]}"
        raise CommandFailed(message, ExitCode.BAD_NEWS)
    if as_json:
        print_json({"account": account, "name": name})
    else:
        click.echo(f"{name}: account {account} may order it again")
    return ExitCode.FINE
