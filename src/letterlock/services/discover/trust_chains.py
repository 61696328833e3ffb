"""Follow a chain of trust from the root to records, and to where their aliases lead.

RFC 4035 §5 (zone by zone, each by the keys of the one above), RFC 4033 §3.1. What each answer is
worth says `protocols.check.trust_chain`. Each question is asked once in a run; how many there are
for a domain, and how long they take, is bounded, whatever stands in its records.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from letterlock.base.domains import DomainError, parse_domain
from letterlock.network.dns_links import parse_link
from letterlock.protocols.check.chain_breaks import Break
from letterlock.protocols.check.name_status import DnssecStatus
from letterlock.protocols.check.trust_chain import (
    Cut,
    RecordState,
    ZoneState,
    break_zone,
    find_cut,
    judge_record,
    judge_root,
    judge_zone,
)
from letterlock.protocols.dns.chain_links import Link, Outcome
from letterlock.protocols.dns.dnssec_records import ROOT, DsRecord

MAX_NAMES = 60
"""Names and types of one domain that are followed, aliases and all."""
MAX_ALIASES = 8
MAX_LABELS = 16
MAX_SECONDS = 60.0
"""For one domain."""
MAX_KEPT = 1_000
"""Answers that are kept, of up to 64 KiB; the oldest are asked for again."""

Question = tuple[str, str]
Asking = Callable[[str, str], Awaitable[bytes | str]]


@dataclass(frozen=True, slots=True)
class Chains:
    """The zones that were met, those above first, and the records in the order of the questions."""

    zones: tuple[ZoneState, ...]
    records: tuple[RecordState, ...]


class ChainFinder:
    """Finds chains. `ask` is `network.dns_links.ask_link` of some resolver."""

    def __init__(self, ask: Asking, anchors: Sequence[DsRecord]) -> None:
        self._ask = ask
        self._anchors = tuple(anchors)
        self._answers: OrderedDict[Question, bytes | str] = OrderedDict()

    async def find(self, questions: Iterable[Question], now: datetime) -> Chains:
        """Follow the chains of names and types, each once."""
        deadline = asyncio.get_running_loop().time() + MAX_SECONDS
        walk = _Walk(self._fetch, self._anchors, now, deadline)
        records: dict[Question, RecordState] = {}
        for question in dict.fromkeys(questions):
            async for record in walk.follow(*question):
                records[record.name, record.rdtype] = record
                if len(records) == MAX_NAMES:
                    return walk.conclude(records.values())
        return walk.conclude(records.values())

    async def _fetch(self, name: str, rdtype: str) -> bytes | str:
        question = (name, rdtype)
        if question not in self._answers:
            answer = await self._ask(name, rdtype)
            if isinstance(answer, str):
                return answer
            self._answers[question] = answer
            if len(self._answers) > MAX_KEPT:
                self._answers.popitem(last=False)
        return self._answers[question]


@dataclass(slots=True)
class _Walk:
    """One domain's way: the zones that were met, and until when it may take."""

    fetch: Asking
    anchors: tuple[DsRecord, ...]
    now: datetime
    deadline: float
    cuts: dict[str, ZoneState | None] = field(default_factory=dict)
    """What was found at a name; None: no zone begins there."""

    async def follow(self, name: str, rdtype: str) -> AsyncIterator[RecordState]:
        """Give the records, and those that aliases lead to."""
        for _ in range(MAX_ALIASES + 1):
            record = await self._look(name, rdtype)
            yield record
            if record.alias is None:
                return
            try:
                name = parse_domain(record.alias)
            except DomainError:
                return

    def conclude(self, records: Iterable[RecordState]) -> Chains:
        """Give all that was found."""
        return Chains(tuple(each for each in self.cuts.values() if each), tuple(records))

    async def _look(self, name: str, rdtype: str) -> RecordState:
        signers = (await self._ask(name, rdtype)).signers
        zone = await self._find_zone(name, signers)
        return judge_record(zone, await self._ask(name, rdtype, zone), self.now)

    async def _find_zone(self, name: str, signers: frozenset[str]) -> ZoneState:
        """Find the zone that a name is in, or the one above it where the chain ends."""
        state = await self._find_root()
        for candidate in _list_candidates(name):
            if state.status is not DnssecStatus.SECURE:
                break
            if signers and not any(_is_below(each, state.zone) for each in signers):
                # No need to ask whether there is a zone further down: this one has signed it.
                break
            state = await self._find_cut(state, candidate) or state
        return state

    async def _find_root(self) -> ZoneState:
        found = self.cuts.get(ROOT)
        if found is None:
            found = judge_root(await self._ask_keys(ROOT), self.anchors, self.now)
            self.cuts[ROOT] = found
        return found

    async def _find_cut(self, parent: ZoneState, name: str) -> ZoneState | None:
        if name not in self.cuts:
            self.cuts[name] = await self._look_for_cut(parent, name)
        return self.cuts[name]

    async def _look_for_cut(self, parent: ZoneState, name: str) -> ZoneState | None:
        ds = await self._ask(name, "DS", parent)
        found = find_cut(parent, ds, self.now)
        match found:
            case Cut.NONE:
                return None
            case Cut.OPEN if not await self._is_apex(name):
                return None
            case Cut():
                return judge_zone(parent, ds, await self._ask_keys(name), self.now)
            case Break():
                is_zone = ds.outcome is Outcome.FAILED or await self._is_apex(name)
                return break_zone(parent, name, found) if is_zone else None

    async def _is_apex(self, name: str) -> bool:
        return (await self._ask(name, "SOA")).outcome is Outcome.RECORDS

    async def _ask_keys(self, zone: str) -> Link:
        return await self._ask(zone, "DNSKEY", ZoneState(zone, DnssecStatus.UNDECIDED))

    async def _ask(self, name: str, rdtype: str, zone: ZoneState | None = None) -> Link:
        """Ask, and verify by the keys of a zone; without one by none."""
        if asyncio.get_running_loop().time() > self.deadline:
            answer: bytes | str = f"not asked for: {MAX_SECONDS:g} seconds are over"
        else:
            answer = await self.fetch(name, rdtype)
        if isinstance(answer, str):
            return Link(name, rdtype, Outcome.FAILED, reason=answer)
        if zone is None:
            return parse_link(answer, name, rdtype)
        keys = tuple(each for each in zone.keys if each.is_usable)
        return parse_link(answer, name, rdtype, zone.zone, keys)


def _list_candidates(name: str) -> Iterator[str]:
    """List the names at which a zone may begin, from the top."""
    labels = name.split(".")[-MAX_LABELS:]
    for place in range(len(labels) - 1, -1, -1):
        yield ".".join(labels[place:])


def _is_below(name: str, zone: str) -> bool:
    return name != zone and (zone == ROOT or name.endswith(f".{zone}"))
