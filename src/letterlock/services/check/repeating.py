"""Any number of domains, a few at a time; those whose hosts put us off are asked again later.

RFC 5321 §4.2.5, §4.5.4.1: who was put off comes again, and not at once. So often and so long as is
said, and as far as connections are left (`asking`); who puts us off each time stays `blocked`.
Documents are handed on as they are made, and nothing of them is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from letterlock.protocols.check.facts import State
from letterlock.services.check.asking import Asker, Wait

AT_ONCE = 16
"""Domains that are looked at at a time."""
MAX_WAIT_SECONDS = 3600.0

Asked = TypeVar("Asked")
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Patience:
    """How often who put us off is asked again; after `seconds`, and each time twice as long."""

    times: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Repeater(Generic[Asked]):
    """Checks them all, as `asker` asks. `note` is told why it takes long."""

    check: Callable[[Asked], Awaitable[Document]]
    asker: Asker
    patience: Patience
    note: Callable[[str], None]
    wait: Wait = asyncio.sleep

    async def run(self, asked: Sequence[Asked], tell: Callable[[Document], None]) -> None:
        """Do it; `tell` gets each document once, in no order."""
        left = asked
        for number in range(self.patience.times + 1):
            is_last = number == self.patience.times
            left = await self._look(left, tell, is_last=is_last)
            if not left:
                return
            since = self.asker.forget_blocked()
            if since is not None:
                pause = min(self.patience.seconds * 2**number, MAX_WAIT_SECONDS) - since
                await self._pause(len(left), pause)

    async def _pause(self, number: int, seconds: float) -> None:
        if seconds <= 0:
            return
        which = "1 has a host" if number == 1 else f"{number} have hosts"
        self.note(f"{which} that put us off: asked again in {seconds:.0f} seconds")
        await self.wait(seconds)

    async def _look(
        self, asked: Sequence[Asked], tell: Callable[[Document], None], *, is_last: bool
    ) -> list[Asked]:
        """Check each; gives those that are to be asked again, which nothing was told of."""
        waiting: list[Asked] = []
        left = iter(asked)

        async def work() -> None:
            for each in left:
                document = await self.check(each)
                if not is_last and was_put_off(document):
                    waiting.append(each)
                else:
                    tell(document)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(asked))):
                group.create_task(work())
        return waiting


def was_put_off(document: Mapping[str, Any]) -> bool:
    """Say if a host did not want to talk to us."""
    return any(
        probe["state"] == State.BLOCKED
        for host in document["hosts"]
        for address in host["addresses"]
        for probe in address["probes"]
    )
