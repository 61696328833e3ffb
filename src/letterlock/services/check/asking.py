"""Asks addresses, politely: so many connections each, one at a time, and each only once in a run.

RFC 5321 §4.2.5 and §3.8: who was put off comes again later, and that counts too. Domains often
share their hosts, so what an address showed is kept for the whole run; it is paced by address, not
by domain.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.network.probes import ProbeQuestion
from letterlock.protocols.check.facts import AskedSni, IpAddress, Probe, State
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.pki.certificate import CertificateFacts, KeyKind, read_certificate
from letterlock.protocols.pki.names import find_match
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed

DEFAULT_CONNECTIONS = 3
PACE_SECONDS = 1.0
"""Between two connections to one address."""
AT_ONCE = 32
MAX_KEPT = 5_000
"""Answers that are kept; those of the oldest are asked for again, if connections are left."""
MAX_PLACES = 100_000
"""Addresses whose connections are counted."""
UNKNOWN_NAME = Domain("unknown.invalid")
"""RFC 6761 §6.4: no host is called so."""

Wait = Callable[[float], Awaitable[None]]

_ANSWERS = frozenset({State.OK, State.FINDING})
_TYPES = {KeyKind.RSA: KeyType.RSA, KeyKind.EC: KeyType.ECDSA}
_PARAMETERS = (
    FailureCause.ALERT_RECEIVED,
    FailureCause.VERSION,
    FailureCause.PROTOCOL,
    FailureCause.CLOSED,
    FailureCause.RESET,
)
"""What may come of TLS that is too old, or of a server that has nothing in common with us."""


@dataclass(frozen=True, slots=True)
class Door:
    """What is asked: an address, a port, the name that a correct sender sends, what is spoken."""

    ip: IpAddress
    port: int
    sni: str | None
    speech: Speech = Speech.SMTP


Visited = TypeVar("Visited")
Probing = Callable[[Door, ProbeQuestion], Awaitable[Probe]]


@dataclass(slots=True)
class _Place:
    """One service of one address: how often it was asked, and what holds whatever name is sent."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    made: int = 0
    last: float | None = None
    """When the last connection ended."""
    shared: dict[AskedSni, Probe] = field(default_factory=dict)
    has_requiretls: bool = False
    refused: Probe | None = None
    """It put us off, or did not answer: so it would for any name."""


class Asker:
    """Asks each door once. `connections`: at most so many to one service of an address, in all.

    Several names may lead to one address. What it shows without SNI and for an unknown name is
    asked once for all of them; and where it shows all of these one certificate that is good for a
    further name too, that name is known without a connection.
    """

    def __init__(
        self,
        probe: Probing,
        clock: Clock,
        *,
        connections: int = DEFAULT_CONNECTIONS,
        pace: float = PACE_SECONDS,
        wait: Wait = asyncio.sleep,
    ) -> None:
        self._probe = probe
        self._clock = clock
        self._connections = connections
        self._pace = pace
        self._wait = wait
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._answers: OrderedDict[Door, tuple[Probe, ...]] = OrderedDict()
        self._earlier: dict[Door, tuple[Probe, ...]] = {}
        self._places: OrderedDict[tuple[IpAddress, int], _Place] = OrderedDict()
        self._chains: dict[bytes, bytes] = {}
        self._last_refusal = 0.0

    async def ask(self, door: Door) -> tuple[Probe, ...]:
        """Give the probes of a door; those that were not made are there as `not tested`."""
        place = self._places.setdefault((door.ip, door.port), _Place())
        async with place.turn:
            found = self._answers.get(door)
            if found is None:
                found = self._answers[door] = await self._ask(door, place)
                self._forget_oldest()
        return found

    def forget_blocked(self) -> float | None:
        """Let those that put us off be asked again, as far as connections are left for them.

        What they had answered before stays. Gives since how many seconds nobody has put us off;
        None: there is nobody to ask again.
        """
        again = [door for door, probes in self._answers.items() if has_blocked(probes)]
        again = [door for door in again if self._has_left(door)]
        for door in again:
            self._earlier[door] = self._answers.pop(door)
            place = self._places[door.ip, door.port]
            if place.refused is not None and place.refused.state is State.BLOCKED:
                place.refused = None
        return self._clock.monotonic() - self._last_refusal if again else None

    def _has_left(self, door: Door) -> bool:
        place = self._places.get((door.ip, door.port))
        return place is not None and place.made < self._connections

    def _forget_oldest(self) -> None:
        if len(self._answers) > MAX_KEPT:
            self._answers.popitem(last=False)
        if len(self._places) > MAX_PLACES:
            oldest = next(iter(self._places))
            if not self._places[oldest].turn.locked():
                del self._places[oldest]
        if len(self._chains) > MAX_KEPT:
            self._chains.clear()

    async def _ask(self, door: Door, place: _Place) -> tuple[Probe, ...]:
        earlier = self._earlier.pop(door, ())
        known = {(each.asked, each.key): each for each in earlier if each.state in _ANSWERS}
        own = ProbeQuestion(AskedSni.OWN, door.sni)
        first = known.get((AskedSni.OWN, None)) or await self._answer(door, place, own)
        if _may_be_too_old(first) and place.made < self._connections and place.refused is None:
            old = replace(own, is_old_welcome=True)
            first = _join(first, await self._connect(door, place, old))
        probes = [first]
        if first.state in _ANSWERS:
            for question in _list_further(door, first):
                found = known.get((question.asked, question.key))
                found = found or await self._answer(door, place, question)
                probes.append(_date(_read_refusal(found), first))
        return tuple(probes)

    async def _answer(self, door: Door, place: _Place, question: ProbeQuestion) -> Probe:
        """Take what is known of the place already; else connect, if that may be."""
        is_nameless = question.asked is not AskedSni.OWN
        if is_nameless and question.asked in place.shared:
            return place.shared[question.asked]
        if place.refused is not None:
            if is_nameless or question.key is not None:
                return _leave_out(question, "it hung up on us")
            return replace(place.refused, asked=AskedSni.OWN, sni=door.sni, key=None)
        if place.made >= self._connections:
            why = f"{place.made} connections to this address are as many as are allowed"
            return self._infer(door, place, question) or _leave_out(question, why)
        probe = await self._connect(door, place, question)
        if is_nameless and probe.state in _ANSWERS:
            place.shared[question.asked] = probe
        return probe

    def _infer(self, door: Door, place: _Place, question: ProbeQuestion) -> Probe | None:
        """Say what a further name would be shown, where that is as good as seen.

        Whoever sends no name and whoever sends an unknown one gets one certificate, and it is good
        for this name: a server that has another one for it would be a strange one.
        """
        shown = [place.shared.get(each) for each in (AskedSni.NONE, AskedSni.WRONG)]
        if question.key is not None or door.sni is None:
            return None
        chains = {
            each.handshake.chain
            for each in shown
            if each is not None and isinstance(each.handshake, Handshake)
        }
        wrong = shown[1]
        if len(chains) != 1 or None in shown or wrong is None:
            return None
        facts = read_certificate(next(iter(chains))[0]) if next(iter(chains)) else None
        if not isinstance(facts, CertificateFacts) or not find_match(facts.names, (door.sni,)):
            return None
        assert isinstance(wrong.handshake, Handshake)
        return replace(
            wrong,
            asked=AskedSni.OWN,
            sni=door.sni,
            handshake=replace(wrong.handshake, sni=door.sni),
            offers_requiretls=place.has_requiretls,
            detail=f"{wrong.detail} (as for any name: not asked once more)",
        )

    async def _connect(self, door: Door, place: _Place, question: ProbeQuestion) -> Probe:
        place.made += 1
        probe = self._share_chain(await self._pace_out(place, lambda: self._probe(door, question)))
        place.has_requiretls |= probe.offers_requiretls
        if probe.state in (State.BLOCKED, State.UNREACHABLE):
            place.refused = probe
        if probe.state is State.BLOCKED:
            self._last_refusal = self._clock.monotonic()
        return probe

    async def visit(self, door: Door, visit: Callable[[], Awaitable[Visited]]) -> Visited:
        """Make a connection for another purpose, in the address's turn and at its pace.

        It does not count among `connections`.
        """
        place = self._places.setdefault((door.ip, door.port), _Place())
        async with place.turn:
            return await self._pace_out(place, visit)

    async def _pace_out(self, place: _Place, visit: Callable[[], Awaitable[Visited]]) -> Visited:
        if place.last is not None:
            left = place.last + self._pace - self._clock.monotonic()
            if left > 0:
                await self._wait(left)
        async with self._slots:
            visited = await visit()
        place.last = self._clock.monotonic()
        return visited

    def _share_chain(self, probe: Probe) -> Probe:
        """Keep each certificate once: what is kept of 1,000 domains is mostly certificates."""
        if probe.handshake is None or not probe.handshake.chain:
            return probe
        chain = tuple(self._chains.setdefault(each, each) for each in probe.handshake.chain)
        return replace(probe, handshake=replace(probe.handshake, chain=chain))


def has_blocked(probes: Sequence[Probe]) -> bool:
    """Say if one of them was put off."""
    return any(each.state is State.BLOCKED for each in probes)


def _may_be_too_old(probe: Probe) -> bool:
    handshake = probe.handshake
    return isinstance(handshake, HandshakeFailed) and handshake.cause in _PARAMETERS


def _join(strict: Probe, old: Probe) -> Probe:
    """Put two answers together: what strict senders meet, and what others do."""
    if not isinstance(old.handshake, Handshake) or not isinstance(
        strict.handshake, HandshakeFailed
    ):
        return strict
    return replace(old, strict_failure=strict.handshake, state=State.FINDING)


def _read_refusal(probe: Probe) -> Probe:
    """Say what it means that a key of another type was not shown: nothing is wrong with that.

    It is asked for by TLS 1.2, where a suite says which key (RFC 5246 §7.4.2); who speaks TLS 1.3
    alone was not asked.
    """
    if probe.key is None or not isinstance(probe.handshake, HandshakeFailed):
        return probe
    if probe.handshake.cause is FailureCause.VERSION:
        detail = "not tested: it speaks TLS 1.3 only, where no suite says which key"
        return replace(probe, state=State.NOT_TESTED, handshake=None, detail=detail)
    if probe.handshake.cause in _PARAMETERS:
        detail = f"it has no {probe.key} key: {probe.handshake.detail}"
        return replace(probe, state=State.OK, detail=detail)
    return probe


def _date(further: Probe, own: Probe) -> Probe:
    """Say of a further answer that it is too old for strict senders, where the first one was."""
    if own.strict_failure is None or not isinstance(further.handshake, Handshake):
        return further
    return replace(further, strict_failure=own.strict_failure)


def _list_further(door: Door, own: Probe) -> Sequence[ProbeQuestion]:
    """Say what else is worth asking, what tells most first."""
    if not isinstance(own.handshake, Handshake):
        # Without TLS for who asks rightly nothing else is worth a connection.
        return [ProbeQuestion(AskedSni.NONE, None)] if own.is_starttls_offered else []
    # Who is too old for strict senders would refuse each further question for that alone.
    is_old = own.strict_failure is not None
    questions = []
    if door.sni is not None:
        questions += [
            ProbeQuestion(AskedSni.NONE, None, is_old_welcome=is_old),
            ProbeQuestion(AskedSni.WRONG, UNKNOWN_NAME, is_old_welcome=is_old),
        ]
    other = _find_other_type(own.handshake)
    if other is not None:
        questions.append(ProbeQuestion(AskedSni.OWN, door.sni, other, is_old_welcome=is_old))
    return questions


def _find_other_type(handshake: Handshake) -> KeyType | None:
    facts = read_certificate(handshake.chain[0]) if handshake.chain else None
    shown = _TYPES.get(facts.key_kind) if isinstance(facts, CertificateFacts) else None
    if shown is None:
        return None
    return KeyType.RSA if shown is KeyType.ECDSA else KeyType.ECDSA


def _leave_out(question: ProbeQuestion, why: str) -> Probe:
    detail = f"not tested: {why}"
    return Probe(question.asked, State.NOT_TESTED, question.sni, question.key, detail=detail)
