"""`letterlock ca account-key`: keys by which people may open accounts (EAB)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.lazy import LazyCommand, LazyGroup
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.protocols.acme.jws import ExternalAccount
    from letterlock.services.ca.external_keys import KeyInUse
    from letterlock.storage.ca.store import AuthorityStore

COMMANDS = {
    "make": LazyCommand("ca_account_key:make", "Make a key for somebody; `make` can be left out."),
    "list": LazyCommand("ca_account_key:list_", "List the keys, with the accounts they bound."),
    "revoke": LazyCommand("ca_account_key:revoke", "Take a key back: it binds no new account."),
}
_HELP = ("-h", "--help")
_ACCOUNTS = {
    "accounts[].id": "an account that it has bound",
    "accounts[].status": "valid, deactivated or revoked",
}
_KEYS = {
    "key_id": "what clients call the key identifier (kid)",
    "made": "when it was given out; null: by a release that did not note it",
    "revoked": "since when it binds nobody any more, or null",
    **_ACCOUNTS,
}


class _AccountKeyGroup(LazyGroup):
    """Its first command may be left out: `account-key NAME` was all that there was."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*COMMANDS, *_HELP):
            args = ["make", *args]
        return super().parse_args(ctx, args)


@click.group("account-key", cls=_AccountKeyGroup, lazy=COMMANDS)
def account_key() -> None:
    """Keys for external account binding (EAB): `account-key NAME` makes one.

    With `ca.needs_external_account` only who has such a key can open an account.
    """


@click.command()
@click.argument("name")
@config_option
@json_option(
    {
        "key_id": "what clients call the key identifier (kid)",
        "key": "the key itself, in base64url; nobody can be told it again",
        "algorithm": "how it is used",
    }
)
def make(name: str, config_path: Path | None, *, as_json: bool) -> int:
    """Make a key for external account binding (EAB), for NAME: who it is given to.

    With `ca.needs_external_account` only who has such a key can open an account. It is shown once
    and stored nowhere.
    """

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> "ExternalAccount":
        from letterlock.node.ca import commands  # noqa: PLC0415 - not loaded for -h

        del config
        return await commands.make_account_key(store, name, clock)

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


@click.command("list")
@config_option
@json_option({f"keys[].{key}": text for key, text in _KEYS.items()})
def list_(config_path: Path | None, *, as_json: bool) -> int:
    """List the keys that were given out, with the accounts that each has bound.

    Those of releases that noted none are there once they have bound one.
    """

    async def do(
        config: "Config", store: "AuthorityStore", clock: "Clock"
    ) -> tuple["KeyInUse", ...]:
        from letterlock.node.ca import commands  # noqa: PLC0415 - not loaded for -h

        del config, clock
        return await commands.list_account_keys(store)

    found = with_store(config_path, do)
    if as_json:
        print_json({"keys": [_describe(each) for each in found]})
        return ExitCode.FINE
    for each in found:
        document = _describe(each)
        state = "revoked" if each.key.revoked else "good   "
        accounts = format_count(len(each.accounts), "account")
        made = document["made"] or "before keys were listed"
        click.echo(f"{document['key_id']}  {made}  {state}  {accounts}")
    return ExitCode.FINE


@click.command()
@click.argument("key_id", metavar="ID")
@config_option
@json_option({**_KEYS, "known": "whether it was ever noted: given out, or used"})
def revoke(key_id: str, config_path: Path | None, *, as_json: bool) -> int:
    """Take the key ID back: it binds no new account.

    ID is its identifier, as `account-key list` has it. Accounts that it has bound are named; they
    go on.
    """

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> "KeyInUse":
        from letterlock.node.ca import commands  # noqa: PLC0415 - not loaded for -h

        del config
        return await commands.revoke_account_key(store, key_id, clock)

    try:
        found = with_store(config_path, do)
    except ValueError as error:
        raise CommandFailed(f"ID {key_id[:80]!r}: {error}", ExitCode.WRONG_USAGE) from None
    document = _describe(found)
    if as_json:
        print_json({**document, "known": found.is_known})
        return ExitCode.FINE
    click.echo(f"{key_id}: taken back at {document['revoked']}; it binds no account any more")
    for each in found.accounts:
        goes_on = ", and goes on" if each.status == "valid" else ""
        click.echo(f"account {each.id} ({each.status}) was bound by it{goes_on}")
    if not found.is_known:
        click.echo(
            f"{key_id}: no such key was noted, and it has bound no account: "
            "see `letterlock ca account-key list` for those that were",
            err=True,
        )
    return ExitCode.FINE


def _describe(found: "KeyInUse") -> dict[str, Any]:
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h

    key = found.key
    return {
        "key_id": key.kid,
        "made": None if key.made is None else format_time(key.made),
        "revoked": None if key.revoked is None else format_time(key.revoked),
        "accounts": [{"id": each.id, "status": each.status.value} for each in found.accounts],
    }
