"""Asks addresses, politely: so many connections each, one at a time, and each only once in a run.

RFC 5321 §4.2.5 and §3.8: who was put off comes again later. Domains often share their hosts, so
what an address showed is kept for the whole run; it is paced by address, not by domain.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.network.probes import ProbeQuestion
from letterlock.protocols.check.facts import AskedSni, IpAddress, Probe, State
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.pki.certificate import CertificateFacts, KeyKind, read_certificate
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed

DEFAULT_CONNECTIONS = 3
PACE_SECONDS = 1.0
"""Between two connections to one address."""
AT_ONCE = 32
MAX_KEPT = 20_000
"""Addresses whose answers are kept; the oldest are asked again."""
UNKNOWN_NAME = Domain("unknown.invalid")
"""RFC 6761 §6.4: no host is called so."""

Wait = Callable[[float], Awaitable[None]]

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


Probing = Callable[[Door, ProbeQuestion], Awaitable[Probe]]


class Asker:
    """Asks each door once. `connections`: at most so many to one address."""

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
        self._turns: dict[tuple[IpAddress, int], asyncio.Lock] = {}
        self._last: dict[tuple[IpAddress, int], float] = {}

    async def ask(self, door: Door) -> tuple[Probe, ...]:
        """Give the probes of a door; those that were not made are there as `not tested`."""
        async with self._turns.setdefault((door.ip, door.port), asyncio.Lock()):
            found = self._answers.get(door)
            if found is None:
                found = self._answers[door] = await self._ask(door)
                self._forget_oldest()
        return found

    def forget(self, door: Door) -> None:
        """Ask it again the next time: it had put us off."""
        self._answers.pop(door, None)

    def _forget_oldest(self) -> None:
        if len(self._answers) <= MAX_KEPT:
            return
        door, _ = self._answers.popitem(last=False)
        place = door.ip, door.port
        if (turn := self._turns.get(place)) is not None and not turn.locked():
            del self._turns[place]
            self._last.pop(place, None)

    async def _ask(self, door: Door) -> tuple[Probe, ...]:
        first = await self._connect(door, ProbeQuestion(AskedSni.OWN, door.sni))
        probes, left = [first], self._connections - 1
        if _may_be_too_old(first) and left > 0:
            question = ProbeQuestion(AskedSni.OWN, door.sni, is_old_welcome=True)
            probes[0], left = _join(first, await self._connect(door, question)), left - 1
        for question in _list_further(door, probes[0]):
            if left <= 0:
                why = "it hung up on us" if left < 0 else "as many connections as are allowed"
                probes.append(_leave_out(question, why))
                continue
            probes.append(await self._connect(door, question))
            is_over = probes[-1].state in (State.BLOCKED, State.UNREACHABLE)
            left = -1 if is_over else left - 1
        return tuple(probes)

    async def _connect(self, door: Door, question: ProbeQuestion) -> Probe:
        place = door.ip, door.port
        last = self._last.get(place)
        if last is not None and (left := last + self._pace - self._clock.monotonic()) > 0:
            await self._wait(left)
        async with self._slots:
            probe = await self._probe(door, question)
        self._last[place] = self._clock.monotonic()
        return probe


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


def _list_further(door: Door, own: Probe) -> Sequence[ProbeQuestion]:
    """Say what else is worth asking, what tells most first."""
    if not isinstance(own.handshake, Handshake):
        # Without TLS for who asks rightly nothing else is worth a connection.
        return [ProbeQuestion(AskedSni.NONE, None)] if own.is_starttls_offered else []
    questions = []
    if door.sni is not None:
        questions += [
            ProbeQuestion(AskedSni.NONE, None),
            ProbeQuestion(AskedSni.WRONG, UNKNOWN_NAME),
        ]
    other = _find_other_type(own.handshake)
    if other is not None:
        questions.append(ProbeQuestion(AskedSni.OWN, door.sni, other))
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
