"""Asking DNS for what belongs together: each question once, and only so many at a time.

RFC 5321 §4.1.4 (the reverse names of a host's addresses, and whether they lead back).
"""

import asyncio
from collections.abc import Iterable, Sequence

from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.dns.answers import Answer
from letterlock.services.publish.observed import Observed

MAX_ADDRESSES = 10
"""Of one host."""
MAX_NAMES = 3
"""Reverse names of one address."""
MAX_QUESTIONS_AT_A_TIME = 16

Question = tuple[Domain, str]


class Asking:
    """Asks each question once; `answers` has them all, and grows."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._slots = asyncio.Semaphore(MAX_QUESTIONS_AT_A_TIME)
        self.answers: dict[Question, Answer] = {}

    async def ask_all(self, questions: Iterable[Question]) -> None:
        new = [each for each in dict.fromkeys(questions) if each not in self.answers]
        async with asyncio.TaskGroup() as group:
            for question in new:
                group.create_task(self._ask(question))

    async def _ask(self, question: Question) -> None:
        async with self._slots:
            self.answers[question] = await self._resolver.ask(*question)


async def ask_reverse_names(asking: Asking, observed: Observed, hosts: Sequence[Domain]) -> None:
    """Ask for the names of the hosts' addresses, and for the addresses of these names.

    `observed` is of the answers of `asking`, which has those for the hosts' addresses.
    """
    addresses = {ip for host in hosts for ip in observed.find_addresses(host)[:MAX_ADDRESSES]}
    reverse = {ip: Domain(ip.reverse_pointer) for ip in addresses}
    await asking.ask_all((name, "PTR") for name in reverse.values())
    await asking.ask_all(
        (each, "A" if ip.version == 4 else "AAAA")
        for ip, name in reverse.items()
        for each in observed.find(name, "PTR").records[:MAX_NAMES]
        if isinstance(each, str)
    )
