"""`letterlock user add`, `list`, `change` and `delete`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.services.receive.accounts import AccountChange
    from letterlock.storage.users import User, UserStore

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

PAGE = 1000
MAX_PASSWORD_OCTETS = 1024
"""Of the line on standard input."""

USER_KEYS = {
    "name": "what it logs in with",
    "created": "when it was added",
    "addresses[]": "what it may send as: `alice@example.org`, `@example.org` for all of a domain",
    "has_password": "false: no password is kept here, so it cannot log in by one",
    "has_scram": "whether it can log in by SCRAM-SHA-256",
    "max_messages": "an hour; 0: no limit; null: what the settings say",
    "max_recipients": "an hour; 0: no limit; null: what the settings say",
    "disabled": "whether it is kept out",
}
_OF_ONE = {f"user.{key}": text for key, text in USER_KEYS.items()}


def _account_options(command: Command) -> Command:
    """Add what both adding and changing take; the command gets `addresses` and `limits`."""
    for option in (
        click.option(
            "--limits",
            type=(click.IntRange(-1), click.IntRange(-1)),
            metavar="MESSAGES RECIPIENTS",
            help="How many it may send an hour; 0: no limit; -1: what the settings say.",
        ),
        click.option(
            "--address",
            "addresses",
            multiple=True,
            metavar="ADDRESS",
            help="What it may send as, @DOMAIN for all of a domain; give it once for each.",
        ),
        click.option("--no-scram", is_flag=True, help="Keep nothing for SCRAM of the password."),
    ):
        command = option(command)
    return command


@click.command()
@config_option
@json_option(_OF_ONE)
@_account_options
@click.option("--no-password", is_flag=True, help="Keep no password: another source has it.")
@click.argument("name")
def add(
    name: str, config_path: Path | None, *, no_password: bool, as_json: bool, **options: Any
) -> int:
    """Add the account NAME. The password is asked for, or is the first line of standard input.

    Without --address it may send as NAME, if that is an address, else as NAME in each of our
    `domains`.
    """
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h
    from letterlock.services.receive.accounts import AccountError, make_user  # noqa: PLC0415 - too

    config = load_config_or_fail(config_path)
    wanted = _make_change(options, None if no_password else _ask_password())
    try:
        user = make_user(name, wanted, config.domains, SystemClock().now())
    except AccountError as error:
        raise CommandFailed(f"user add: {error}", ExitCode.WRONG_USAGE) from None
    if not _run(config, lambda users: users.add_user(user)):
        raise CommandFailed(
            f"{user.name}: there is such an account; `letterlock user change` changes it",
            ExitCode.BAD_NEWS,
        )
    _tell(user, "added", as_json=as_json)
    return ExitCode.FINE


@click.command()
@config_option
@json_option(_OF_ONE)
@_account_options
@click.option("--password", "is_password", is_flag=True, help="Set the password, as `add` does.")
@click.option("--disable/--enable", "is_disabled", default=None, help="Keep it out, or let it in.")
@click.argument("name")
def change(
    name: str,
    config_path: Path | None,
    *,
    is_password: bool,
    is_disabled: bool | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Change the account NAME; what no option names stays. Addresses replace those it had.

    Sessions that have logged in already go on.
    """
    from letterlock.services.receive.accounts import AccountError, change_user  # noqa: PLC0415 - lazy, -h

    if options["no_scram"] and not is_password:
        raise click.UsageError("--no-scram goes with --password")
    config = load_config_or_fail(config_path)
    wanted = _make_change(
        options, _ask_password() if is_password else None, is_disabled=is_disabled
    )

    async def make(users: "UserStore") -> "User | None":
        user = await users.find_user(_prepare(name))
        if user is None:
            return None
        changed = change_user(user, wanted)
        return changed if await users.change_user(changed) else None

    try:
        user = _run(config, make)
    except AccountError as error:
        raise CommandFailed(f"user change: {error}", ExitCode.WRONG_USAGE) from None
    if user is None:
        raise _no_such(name)
    _tell(user, "changed", as_json=as_json)
    return ExitCode.FINE


@click.command("list")
@config_option
@json_option({f"users[].{key}": text for key, text in USER_KEYS.items()})
def list_users(config_path: Path | None, *, as_json: bool) -> int:
    """List the accounts, and what each may send as."""
    config = load_config_or_fail(config_path)
    users = _run(config, _list_all)
    if as_json:
        print_json({"users": [_describe(user) for user in users]})
        return ExitCode.FINE
    if not users:
        click.echo("no accounts; `letterlock user add NAME` adds one")
    for user in users:
        click.echo(_format(user))
    return ExitCode.FINE


@click.command()
@config_option
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def delete(names: tuple[str, ...], config_path: Path | None) -> int:
    """Delete accounts. Sessions that have logged in already go on."""
    config = load_config_or_fail(config_path)

    async def remove(users: "UserStore") -> list[str]:
        return [name for name in names if not await users.delete_user(_prepare(name))]

    missing = _run(config, remove)
    if missing:
        raise CommandFailed("\n".join(str(_no_such(name)) for name in missing), ExitCode.BAD_NEWS)
    return ExitCode.FINE


def _make_change(
    options: dict[str, Any], password: str | None, *, is_disabled: bool | None = None
) -> "AccountChange":
    from letterlock.services.receive.accounts import AccountChange  # noqa: PLC0415 - lazy, for -h

    max_messages, max_recipients = options["limits"] or (None, None)
    return AccountChange(
        password=password,
        has_scram=not options["no_scram"],
        addresses=options["addresses"] or None,
        max_messages=max_messages,
        max_recipients=max_recipients,
        is_disabled=is_disabled,
    )


def _ask_password() -> str:
    """Ask the person at the terminal twice, or take a line: never an argument, which `ps` shows."""
    if sys.stdin.isatty():
        password: str = click.prompt(
            "Password", hide_input=True, confirmation_prompt=True, err=True
        )
        return password
    line = sys.stdin.buffer.readline(MAX_PASSWORD_OCTETS + 1)
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise CommandFailed("the password is not UTF-8", ExitCode.WRONG_USAGE) from None


def _prepare(name: str) -> str:
    from letterlock.protocols.sasl.preparation import (  # noqa: PLC0415 - lazy, for -h
        PreparationError,
        prepare_name,
        unify_name,
    )

    try:
        return unify_name(prepare_name(name))
    except PreparationError:
        raise _no_such(name) from None


def _no_such(name: str) -> CommandFailed:
    text = f"{name}: there is no such account; `letterlock user list` has them"
    return CommandFailed(text, ExitCode.BAD_NEWS)


def _run(config: "Config", work: "Callable[[UserStore], Awaitable[T]]") -> T:
    """Do a command's work with the store; what keeps it from that ends the command."""
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h
    from letterlock.node.users import opened_users  # noqa: PLC0415 - as above
    from letterlock.storage.queue import StoreUnavailable  # noqa: PLC0415 - as above

    async def run() -> T:
        async with opened_users(config, SystemClock()) as users:
            return await work(users)

    act_as_owner(config.data_dir)
    try:
        return asyncio.run(run())
    except StoreUnavailable as error:
        raise CommandFailed(f"accounts: {error}", ExitCode.UNDECIDED) from None


async def _list_all(users: "UserStore") -> "list[User]":
    found: list[User] = []
    while page := await users.list_users(limit=PAGE, after=found[-1].name if found else ""):
        found += page
    return found


def _describe(user: "User") -> dict[str, object]:
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h

    return {
        "name": user.name,
        "created": format_time(user.created),
        "addresses": list(user.addresses),
        "has_password": user.password_hash is not None,
        "has_scram": user.scram is not None,
        "max_messages": user.max_messages,
        "max_recipients": user.max_recipients,
        "disabled": user.is_disabled,
    }


def _format(user: "User") -> str:
    notes = [
        *(["disabled"] if user.is_disabled else []),
        *(["no password here"] if user.password_hash is None else []),
        *([f"{user.max_messages} messages an hour"] if user.max_messages else []),
        *([f"{user.max_recipients} recipients an hour"] if user.max_recipients else []),
    ]
    own = ", ".join(user.addresses) or "nothing"
    return f"{user.name}: sends as {own}" + (f" ({', '.join(notes)})" if notes else "")


def _tell(user: "User", what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"user": _describe(user)})
    else:
        click.echo(f"{what} {_format(user)}")
