"""`letterlock ca account-key`: a key by which somebody may open an account (EAB)."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.protocols.acme.jws import ExternalAccount
    from letterlock.storage.ca.store import AuthorityStore


@click.command("account-key")
@click.argument("name")
@config_option
@json_option(
    {
        "key_id": "what clients call the key identifier (kid)",
        "key": "the key itself, in base64url; nobody can be told it again",
        "algorithm": "how it is used",
    }
)
def account_key(name: str, config_path: Path | None, *, as_json: bool) -> int:
    """Make a key for external account binding (EAB), for NAME: who it is given to.

    With `ca.needs_external_account` only who has such a key can open an account. It is shown once
    and stored nowhere.
    """

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> "ExternalAccount":
        from letterlock.node.ca import commands  # noqa: PLC0415 - not loaded for -h

        del config, clock
        return await commands.make_account_key(store, name)

    try:
        made = with_store(config_path, do)
    except ValueError as error:
        raise CommandFailed(f"NAME {name[:80]!r}: {error}", ExitCode.WRONG_USAGE) from None
    from letterlock.protocols.acme.base64url import encode_base64url  # noqa: PLC0415 - too

    key = encode_base64url(made.mac_key)
    if as_json:
        print_json({"key_id": made.kid, "key": key, "algorithm": made.algorithm})
    else:
        click.echo(f"key identifier: {made.kid}\nkey ({made.algorithm}): {key}")
    return ExitCode.FINE
