"""The keys that signatures on a message were made with, looked up.

RFC 6376 §3.6.2, §6.1.2. How many there are to ask for of one message, `protocols.dkim.verifying`
bounds; how many of all messages together, `DkimKeyFinder`.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any

from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.dkim.verifying import KeyAnswer, KeyUnavailable

MAX_LOOKUPS = 32
"""At one time, of all mail from outside: whoever sends it chooses the names, and name servers that
never answer. What deliveries ask for must not wait behind them."""
LOOKUP_SECONDS = 20.0
"""How long a key is waited for, the turn included; then it could not be looked up."""


class DkimKeyFinder:
    """Finds the keys that mail from outside names, in a share of what may be asked at a time."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        max_lookups: int = MAX_LOOKUPS,
        seconds: float = LOOKUP_SECONDS,
    ) -> None:
        self._resolver = resolver
        self._slots = asyncio.Semaphore(max_lookups)
        self._seconds = seconds

    async def find(self, names: Collection[Domain]) -> dict[Domain, KeyAnswer]:
        """Ask for the TXT records at all these names."""
        return await _find_all(names, self._find_in_turn)

    async def _find_in_turn(self, name: Domain) -> KeyAnswer:
        try:
            async with asyncio.timeout(self._seconds), self._slots:
                return await _find(self._resolver, name)
        except TimeoutError:
            return KeyUnavailable(f"no answer within {self._seconds:g} seconds")


async def find_dkim_keys(resolver: Resolver, names: Collection[Domain]) -> dict[Domain, KeyAnswer]:
    """Ask for the TXT records at all these names at a time."""
    return await _find_all(names, partial(_find, resolver))


async def _find_all(
    names: Collection[Domain], find: Callable[[Domain], Coroutine[Any, Any, KeyAnswer]]
) -> dict[Domain, KeyAnswer]:
    async with asyncio.TaskGroup() as tasks:
        asked = {name: tasks.create_task(find(name)) for name in names}
    return {name: task.result() for name, task in asked.items()}


async def _find(resolver: Resolver, name: Domain) -> KeyAnswer:
    answer = await resolver.ask(name, "TXT")
    if not answer.is_answer:
        # A zone whose signatures are wrong may be mended: that is no word on the key.
        return KeyUnavailable(answer.reason)
    return tuple(each for each in answer.records if isinstance(each, bytes))
