"""How the commands of an authority come to its store, and what it says when it is away."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import act_as_owner, load_config_or_fail

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.storage.ca.store import AuthorityStore

T = TypeVar("T")


def with_store(
    config_path: Path | None,
    do: "Callable[[Config, AuthorityStore, Clock], Awaitable[T]]",
) -> T:
    """Do something with the store of the authority that the settings describe."""
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h
    from letterlock.storage.queue import StoreUnavailable  # noqa: PLC0415 - as above

    config = load_config_or_fail(config_path)
    try:
        from letterlock.node.ca.commands import open_existing  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"{error.name} is not installed: pip install 'letterlock[ca]'", ExitCode.WRONG_USAGE
        ) from None
    from letterlock.node.ca.stores import load_late  # noqa: PLC0415 - as above

    load_late(config)
    act_as_owner(config.data_dir)
    clock = SystemClock()

    async def run() -> T:
        async with open_existing(config, clock) as store:
            return await do(config, store, clock)

    try:
        return asyncio.run(run())
    except StoreUnavailable as error:
        raise CommandFailed(f"the authority's database: {error}") from None
