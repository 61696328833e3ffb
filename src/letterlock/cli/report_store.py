"""What the commands on received reports have in common: their options, and the open store."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from letterlock.cli.failures import CommandFailed, ExitCode

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.storage.received_reports import ReceivedStore

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
T = TypeVar("T")

SINCE_DAYS = 30


def since_option(command: Decorated) -> Decorated:
    """Add `--since`; the command gets `since`, for `find_since`."""
    return click.option(
        "--since",
        type=click.DateTime(["%Y-%m-%d"]),
        metavar="DAY",
        help=f"The first day, in UTC. Default: {SINCE_DAYS} days ago.",
    )(command)


def find_since(since: datetime | None) -> date:
    """Give the first day that is looked at."""
    return find_today() - timedelta(SINCE_DAYS) if since is None else since.date()


def find_today() -> date:
    """Give the day in UTC."""
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h

    return SystemClock().now().date()


def take_domain(text: str) -> str:
    """Take a policy domain as reports have it. Raises click.UsageError."""
    from letterlock.base.domains import DomainError, parse_domain  # noqa: PLC0415 - lazy, for -h

    try:
        return parse_domain(text)
    except DomainError as error:
        raise click.UsageError(str(error)) from None


def with_store(config: "Config", work: "Callable[[ReceivedStore], Awaitable[T]]") -> T:
    """Do work with the store of the settings; its errors end the command."""
    return with_opened(lambda: _with_store(config, work), "reports cannot be read now")


def with_opened(work: Callable[[], Coroutine[Any, Any, T]], fault: str) -> T:
    """Do work that opens a store; its errors end the command, with `fault` before them."""
    from letterlock.base.errors import LocalError  # noqa: PLC0415 - lazy, for -h
    from letterlock.storage.queue import StoreUnavailable  # noqa: PLC0415 - as above

    try:
        return asyncio.run(work())
    except StoreUnavailable as error:
        raise CommandFailed(f"{fault}: {error}", ExitCode.UNDECIDED) from None
    except LocalError as error:
        raise CommandFailed(str(error)) from None


async def _with_store(config: "Config", work: "Callable[[ReceivedStore], Awaitable[T]]") -> T:
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.node.intake import make_received_store  # noqa: PLC0415 - as above
    from letterlock.node.shared_database import name_command  # noqa: PLC0415 - as above

    store = make_received_store(config, name_command(config), SystemClock())
    await store.open()
    try:
        return await work(store)
    finally:
        await store.close()
