"""The keys that signatures on a message were made with, looked up.

RFC 6376 §3.6.2, §6.1.2. How many there are to ask for, `protocols.dkim.verifying` bounds.
"""

import asyncio
from collections.abc import Collection

from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.dkim.verifying import KeyAnswer, KeyUnavailable


async def find_dkim_keys(resolver: Resolver, names: Collection[Domain]) -> dict[Domain, KeyAnswer]:
    """Ask for the TXT records at all these names at a time."""
    async with asyncio.TaskGroup() as tasks:
        asked = {name: tasks.create_task(_find(resolver, name)) for name in names}
    return {name: task.result() for name, task in asked.items()}


async def _find(resolver: Resolver, name: Domain) -> KeyAnswer:
    answer = await resolver.ask(name, "TXT")
    if not answer.is_answer:
        # A zone whose signatures are wrong may be mended: that is no word on the key.
        return KeyUnavailable(answer.reason)
    return tuple(each for each in answer.records if isinstance(each, bytes))
