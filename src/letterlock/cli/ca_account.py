"""`letterlock ca account`: who has an account at our authority, and closing one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.cli.ca_account_ids import AccountIdCommand, take_account_id
from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.lazy import LazyCommand, LazyGroup
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.node.ca.account_commands import ClosedAccount
    from letterlock.protocols.acme.server.objects import Account
    from letterlock.storage.ca.store import AuthorityStore

COMMANDS = {
    "list": LazyCommand("ca_account:list_", "List the accounts."),
    "close": LazyCommand("ca_account:close", "Close an account, for good."),
}
_KEYS = {
    "id": "the account's id, the last part of its URL",
    "status": "valid, deactivated (by its holder) or revoked (by the authority)",
    "contacts": "mailto URLs",
    "key_id": "the key that bound it (`ca account-key`), or null",
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def account() -> None:
    """List and close the accounts at our authority."""


@click.command("list")
@config_option
@json_option({f"accounts[].{key}": text for key, text in _KEYS.items()})
@click.option("--all", "has_closed", is_flag=True, help="Those that were closed, too.")
def list_(config_path: Path | None, *, has_closed: bool, as_json: bool) -> int:
    """List the accounts: their ids, their contacts, and the keys that bound them."""

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> list[dict[str, Any]]:
        from letterlock.services.ca.all_accounts import list_accounts  # noqa: PLC0415 - not for -h

        del config, clock
        return [
            _describe(each)
            async for each in list_accounts(store)
            if has_closed or each.status == "valid"
        ]

    found = with_store(config_path, do)
    if as_json:
        print_json({"accounts": found})
        return ExitCode.FINE
    from letterlock.base.printable import make_printable  # noqa: PLC0415 - not loaded for -h

    for each in found:
        contacts = make_printable(" ".join(each["contacts"])) or "no contact"
        bound = f"  bound by {make_printable(each['key_id'])}" if each["key_id"] else ""
        click.echo(f"{each['id']}  {each['status']:<11}  {contacts}{bound}")
    return ExitCode.FINE


@click.command(cls=AccountIdCommand)
@click.argument("account_id", metavar="URL|ID", callback=take_account_id)
@config_option
@json_option(
    {
        **_KEYS,
        "ended_orders": "how many of its orders ended by that",
        "certificates": "how many certificates it has that are still good",
    }
)
def close(account_id: str, config_path: Path | None, *, as_json: bool) -> int:
    """Close the account URL|ID, for good: whatever it asks is refused.

    Its open orders end. Its certificates stay until they are revoked (`ca revoke`).
    """

    async def do(
        config: "Config", store: "AuthorityStore", clock: "Clock"
    ) -> "ClosedAccount | None":
        from letterlock.node.ca import account_commands as commands  # noqa: PLC0415 - not for -h

        return await commands.close(store, commands.find_id(config, account_id), clock)

    try:
        closed = with_store(config_path, do)
    except ValueError as error:
        raise CommandFailed(f"URL|ID {account_id[:200]!r}: {error}", ExitCode.WRONG_USAGE) from None
    if closed is None:
        message = f"{account_id[:200]}: our authority has no such account"
        raise CommandFailed(message, ExitCode.BAD_NEWS)
    document = _describe(closed.account)
    if as_json:
        counts = {"ended_orders": closed.ended_orders, "certificates": closed.certificates}
        print_json({**document, **counts})
        return ExitCode.FINE
    click.echo(f"{document['id']}: {document['status']}; orders that ended: {closed.ended_orders}")
    if closed.certificates:
        one, many = "of its certificates stays", "of its certificates stay"
        count = format_count(closed.certificates, one, many)
        click.echo(f"{count} good: letterlock ca list --account {document['id']}")
    if closed.account.external is not None:
        click.echo(f"it was bound by {closed.account.external.kid}: see letterlock ca account-key")
    return ExitCode.FINE


def _describe(found: "Account") -> dict[str, Any]:
    return {
        "id": found.id,
        "status": found.status.value,
        "contacts": list(found.contacts),
        "key_id": found.external.kid if found.external is not None else None,
    }
