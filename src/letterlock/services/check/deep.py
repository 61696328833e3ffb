"""Looks at an address as deeply as many connections allow: one at a time, at its pace, and once.

RFC 5321 §4.2.5 (who puts us off is left alone), §4.5.1 (postmaster). How many connections it may
be is said beforehand; where they do not suffice, or the host has had enough of us, what is known by
then is told, and the rest is `not tested`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import format_datetime
from functools import partial
from typing import TypeVar

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.network.deep_probes import (
    Gate,
    Letter,
    PutOff,
    ask_hello,
    inject_command,
    try_ending,
)
from letterlock.protocols.check.deep import (
    DeepFacts,
    Ending,
    Explorer,
    Injection,
    TriedEnding,
)
from letterlock.protocols.check.facts import IpAddress
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.tls.client_hello import NotTls
from letterlock.protocols.tls.hello_writer import RANDOM_OCTETS, Offer, write_client_hello
from letterlock.protocols.tls.server_flight import Answer
from letterlock.services.check.asking import Asker, Door

DEFAULT_CONNECTIONS = 100
"""A server with all that OpenSSL has takes some 70 suites and 10 groups."""
MAX_KEPT = 5_000
MAX_SILENCES = 2
"""So many hellos may meet silence; after that the host has had enough of us."""
ENDINGS = (
    "<LF>.<LF>",
    "<LF>.<CR><LF>",
    "<CR><LF>.<LF>",
    "<CR>.<CR>",
    "<CR>.<CR><LF>",
    "<CR><LF>.<CR>",
)
"""What some servers take for the end of a message, and others do not."""


Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Means:
    """How it is asked."""

    hello: Callable[[Gate, bytes], Awaitable[Answer | PutOff]] = ask_hello
    command: Callable[[Gate], Awaitable[tuple[Injection, str] | PutOff]] = inject_command
    ending: Callable[[Gate, Letter, str], Awaitable[TriedEnding | PutOff]] = try_ending


@dataclass(frozen=True, slots=True)
class DeepTerms:
    """How deeply it is looked, and as whom.

    `owned` is the domain whose postmaster gets test messages, with wrong ends in them; None: MAIL
    is not said.
    """

    helo: str
    seconds: float
    connections: int = DEFAULT_CONNECTIONS
    owned: Domain | None = None


@dataclass(slots=True)
class _Visits:
    """The connections to one address."""

    gate: Gate
    left: int
    made: int = 0
    silences: int = 0
    stopped: str | None = None
    is_over: bool = False
    """The host does not want us any more."""

    def note(self, put_off: PutOff) -> None:
        self.stopped, self.is_over = put_off.detail, True


@dataclass(slots=True)
class DeepLooker:
    """Looks at each address once in a run, whichever domain or name asks for it first."""

    asker: Asker
    terms: DeepTerms
    clock: Clock
    make_random: Callable[[int], bytes]
    means: Means = field(default_factory=Means)
    _found: OrderedDict[tuple[IpAddress, int], DeepFacts] = field(default_factory=OrderedDict)
    _turns: dict[tuple[IpAddress, int], asyncio.Lock] = field(default_factory=dict)

    async def look(self, door: Door) -> DeepFacts:
        """Give what an address shows to many connections."""
        place = door.ip, door.port
        turn = self._turns.setdefault(place, asyncio.Lock())
        async with turn:
            found = self._found.get(place)
            if found is None:
                found = self._found[place] = await self._look(door)
        if len(self._found) > MAX_KEPT:
            oldest, _ = self._found.popitem(last=False)
            self._turns.pop(oldest, None)
        return found

    async def _look(self, door: Door) -> DeepFacts:
        terms = self.terms
        # Where TLS comes first nothing comes before it.
        has_clear = door.speech is not Speech.TLS
        tricks = (1 if has_clear else 0) + (len(ENDINGS) if self._owns(door) else 0)
        gate = Gate(str(door.ip), door.port, terms.helo, terms.seconds, door.speech, door.sni)
        visits = _Visits(gate, max(0, terms.connections - tricks))
        explorer = Explorer(door.sni)
        await self._explore(explorer, door, visits)
        visits.left = terms.connections - visits.made
        facts = DeepFacts(explorer.conclude(), 0, door.sni, speech=door.speech)
        if has_clear:
            facts = await self._inject(facts, door, visits)
        if self._owns(door):
            facts = replace(facts, endings=await self._try_endings(door, visits))
        return replace(facts, connections=visits.made, stopped=visits.stopped)

    def _owns(self, door: Door) -> bool:
        return door.speech is Speech.SMTP and self.terms.owned is not None

    async def _explore(self, explorer: Explorer, door: Door, visits: _Visits) -> None:
        asking = explorer.explore()
        offer = next(asking, None)
        while offer is not None:
            answer = await self._ask(offer, door, visits)
            try:
                offer = asking.send(answer)
            except StopIteration:
                return

    async def _ask(self, offer: Offer, door: Door, visits: _Visits) -> Answer | None:
        hello = write_client_hello(offer, self.make_random(RANDOM_OCTETS))
        answer = await self._visit(door, visits, partial(self.means.hello, visits.gate, hello))
        if not isinstance(answer, PutOff):
            return answer
        visits.silences += answer.is_silent
        if answer.is_silent and visits.silences <= MAX_SILENCES:
            return NotTls(answer.detail)
        visits.note(answer)
        return None

    async def _inject(self, facts: DeepFacts, door: Door, visits: _Visits) -> DeepFacts:
        found = await self._visit(door, visits, partial(self.means.command, visits.gate))
        if found is None:
            return facts
        if isinstance(found, PutOff):
            visits.note(found)
            return facts
        injection, detail = found
        return replace(facts, injection=injection, injection_detail=detail)

    async def _try_endings(self, door: Door, visits: _Visits) -> tuple[TriedEnding, ...]:
        owned = self.terms.owned
        assert owned is not None
        tried = []
        for text in ENDINGS:
            letter = write_letter(owned, self.terms.helo, text, self.clock.now())
            connect = partial(self.means.ending, visits.gate, letter, text)
            found = await self._visit(door, visits, connect)
            if isinstance(found, PutOff):
                visits.note(found)
            if not isinstance(found, TriedEnding):
                found = TriedEnding(text, Ending.NOT_TESTED, visits.stopped or "")
            tried.append(found)
        return tuple(tried)

    async def _visit(
        self, door: Door, visits: _Visits, connect: Callable[[], Awaitable[Found]]
    ) -> Found | None:
        """Connect once more; None: that may not be."""
        if visits.is_over:
            return None
        if visits.left <= 0:
            visits.stopped = f"{visits.made} connections are as many as are allowed"
            return None
        visits.left -= 1
        visits.made += 1
        return await self.asker.visit(door, connect)


def write_letter(owned: Domain, helo: str, text: str, now: datetime) -> Letter:
    """Write the message whose end is tried: to the postmaster, who should know what it is."""
    postmaster = f"postmaster@{owned}"
    fields = (
        f"Date: {format_datetime(now)}",
        f"From: letterlock check <{postmaster}>",
        f"To: <{postmaster}>",
        f"Message-ID: <{now:%Y%m%d%H%M%S%f}.check@{helo}>",
        f"Subject: A test: is {text} the end of a message?",
        "Auto-Submitted: auto-generated",
    )
    return Letter(postmaster, "".join(f"{each}\r\n" for each in fields).encode("ascii"))
