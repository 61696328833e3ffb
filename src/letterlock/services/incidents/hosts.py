"""Which certificates live hosts show: on each address, with a name and without, of each key type.

RFC 6066 §3 (a server may have one for each name, and another for clients that send none), RFC 3207
(STARTTLS), RFC 8314 §3 (TLS at once). A server asked for RSA alone may show another certificate
than the one it likes best. Who refuses such a question after showing one has no other; who is
silent has not answered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from letterlock.base.domains import Domain
from letterlock.network.challenge_look import Unseen
from letterlock.network.served_look import AskedName
from letterlock.protocols.incidents.places import Place, Speech, find_speech
from letterlock.protocols.pki.certificate import KeyKind, Unreadable, read_certificate
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import FailureCause
from letterlock.services.incidents.findings import Finding, NotAsked, NotOffered, Shown

MAX_AT_A_TIME = 16
REFUSED = "Connection refused"
_REFUSALS = (FailureCause.ALERT_RECEIVED, FailureCause.VERSION)
_HANG_UPS = (FailureCause.CLOSED, FailureCause.RESET)
_KEY_TYPES = {KeyKind.RSA: KeyType.RSA, KeyKind.EC: KeyType.ECDSA}

IpAddress = IPv4Address | IPv6Address
LOCALHOST = ("localhost", (IPv4Address("127.0.0.1"), IPv6Address("::1")))
"""RFC 6761 §6.3: such a name is this machine, and no question for DNS."""

FindAddresses = Callable[[Domain], Awaitable[Sequence[IpAddress] | str]]
"""Gives a host's addresses, or why there are none."""
Look = Callable[[str, int, AskedName, Speech], Awaitable[bytes | Unseen]]
"""Connects to an address and port, and gives the leaf (DER) that is shown."""


@dataclass(frozen=True, slots=True)
class _Door:
    """One port of one address; `source` is its name for people. `is_given`: it was asked for."""

    source: str
    ip: str
    port: int
    is_given: bool


@dataclass(slots=True)
class _Seen:
    """What one door showed, and to which questions; what was not answered, and why."""

    shown: dict[bytes, list[str]] = field(default_factory=dict)
    unanswered: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    is_closed: bool = False


class HostLooker:
    """Looks at hosts, several at a time. `names` are asked for at each, beside its own."""

    def __init__(
        self, find_addresses: FindAddresses, look: Look, names: Sequence[Domain] = ()
    ) -> None:
        self._find_addresses = find_addresses
        self._look = look
        self._names = tuple(names)
        self._slots = asyncio.Semaphore(MAX_AT_A_TIME)

    async def look_at(self, places: Sequence[Place]) -> list[Finding]:
        """Give what was found, in the order of the places."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._look_at_place(place)) for place in places]
        return [finding for task in tasks for finding in task.result()]

    async def _look_at_place(self, place: Place) -> list[Finding]:
        addresses = await self._find(place.host)
        if isinstance(addresses, str):
            return [NotAsked(_format_source(place.host, place.port), addresses)]
        own = [] if isinstance(place.host, IPv4Address | IPv6Address) else [place.host]
        names = [*dict.fromkeys([*own, *self._names]), None]
        async with asyncio.TaskGroup() as group:
            tasks = [
                [group.create_task(self._look_at_door(door, names)) for door in doors]
                for doors in _list_doors(place, addresses)
            ]
        ports = [_conclude([task.result() for task in doors]) for doors in tasks]
        if any(not isinstance(each, NotOffered) for port in ports for each in port):
            return [each for port in ports for each in port]
        reasons = ", ".join(each.source for port in ports for each in port)
        source = _format_source(place.host, place.port)
        return [NotAsked(source, f"nothing listens there: {reasons}: {REFUSED}")]

    async def _find(self, host: Domain | IpAddress) -> Sequence[IpAddress] | str:
        if isinstance(host, IPv4Address | IPv6Address):
            return [host]
        if host == LOCALHOST[0]:
            return LOCALHOST[1]
        async with self._slots:
            return await self._find_addresses(host)

    async def _look_at_door(
        self, door: _Door, names: Sequence[Domain | None]
    ) -> tuple[_Door, _Seen]:
        seen = _Seen()
        async with self._slots:
            asker = _Asker(door, self._look, seen)
            for name in names:
                if not await asker.ask_for(name):
                    break
        return door, seen


class _Asker:
    """Asks at one door, one question after the other, until nobody answers."""

    def __init__(self, door: _Door, look: Look, seen: _Seen) -> None:
        self._door = door
        self._look = look
        self._seen = seen
        self._speech = find_speech(door.port)

    async def ask_for(self, name: Domain | None) -> bool:
        """Ask for a name's certificates; gives whether there is any use in going on."""
        first = await self._ask(AskedName(name, is_old_welcome=True))
        if isinstance(first, Unseen):
            return self._note_unseen(name, None, first)
        self._note(name, None, first)
        for key_type in (KeyType.ECDSA, KeyType.RSA):
            if _find_key_type(first) is key_type:
                continue
            other = await self._ask_type(name, key_type)
            if not isinstance(other, Unseen):
                self._note_other(name, key_type, other)
            elif not _is_refusal(other, *_HANG_UPS) and not self._note_unseen(
                name, key_type, other
            ):
                return False
        return True

    async def _ask_type(self, name: Domain | None, key_type: KeyType) -> bytes | Unseen:
        seen = await self._ask(AskedName(name, key_type, is_old_welcome=True))
        if isinstance(seen, bytes) or seen.handshake is None:
            return seen
        if seen.handshake.cause is FailureCause.VERSION:
            return await self._ask(AskedName(name, key_type, is_old_welcome=True, is_tls_1_3=True))
        if seen.handshake.cause in _HANG_UPS:
            # An accident, or the server's way to refuse: once more tells.
            return await self._ask(AskedName(name, key_type, is_old_welcome=True))
        return seen

    async def _ask(self, asked: AskedName) -> bytes | Unseen:
        door = self._door
        if self._speech is not Speech.UNKNOWN:
            return await self._look(door.ip, door.port, asked, self._speech)
        seen = await self._look(door.ip, door.port, asked, Speech.TLS)
        if isinstance(seen, bytes):
            self._speech = Speech.TLS
        elif seen.handshake is not None and seen.handshake.cause is FailureCause.NOT_TLS:
            self._speech = Speech.STARTTLS
            return await self._look(door.ip, door.port, asked, self._speech)
        return seen

    def _note(self, name: Domain | None, key_type: KeyType | None, der: bytes) -> None:
        self._seen.shown.setdefault(der, []).append(_describe(name, key_type))

    def _note_other(self, name: Domain | None, key_type: KeyType, der: bytes) -> None:
        found = _find_key_type(der)
        if found is None and der in self._seen.shown:
            return  # with a key of another type, which some take for the one asked for
        if found in (None, key_type):
            self._note(name, key_type, der)
        else:
            reason = f"it cannot be asked for {key_type} alone"
            self._seen.unanswered.append((_describe(name, key_type), reason))

    def _note_unseen(self, name: Domain | None, key_type: KeyType | None, why: Unseen) -> bool:
        if why.reason == REFUSED:
            self._seen.is_closed = True
        fate = self._seen.refusals if _is_refusal(why) else self._seen.unanswered
        fate.append((_describe(name, key_type), why.reason))
        # Who hangs up on one name, or has no STARTTLS, is there; who is silent keeps us waiting.
        return why.handshake is not None and why.handshake.cause is not FailureCause.TIMED_OUT


def _conclude(doors: Sequence[tuple[_Door, _Seen]]) -> list[Finding]:
    """Make findings of what the addresses showed on one port of a host."""
    is_shown = any(seen.shown for _, seen in doors)
    findings: list[Finding] = []
    for door, seen in doors:
        if seen.is_closed and not seen.shown and (is_shown or not door.is_given):
            findings.append(NotOffered(door.source, REFUSED))
            continue
        findings += [Shown(door.source, der, tuple(asked)) for der, asked in seen.shown.items()]
        # A name that is refused where others are served has no certificate there.
        silent = seen.unanswered + ([] if seen.shown else seen.refusals)
        reasons: dict[str, list[str]] = {}
        for asked, reason in silent:
            reasons.setdefault(reason, []).append(asked)
        findings += [NotAsked(door.source, why, tuple(asked)) for why, asked in reasons.items()]
    return findings


def _list_doors(place: Place, addresses: Sequence[IpAddress]) -> list[list[_Door]]:
    """Give the doors of each port."""
    return [
        [
            _Door(_format_source(place.host, port, ip), str(ip), port, place.port is not None)
            for ip in addresses
        ]
        for port in place.ports
    ]


def _format_source(host: Domain | IpAddress, port: int | None, ip: IpAddress | None = None) -> str:
    words = f"[{host}]" if isinstance(host, IPv6Address) else str(host)
    words += "" if port is None else f":{port}"
    return words if ip is None or ip == host else f"{words} [{ip}]"


def _describe(name: Domain | None, key_type: KeyType | None) -> str:
    words = "no SNI" if name is None else f"SNI {name}"
    return words if key_type is None else f"{words}, {key_type} only"


def _is_refusal(why: Unseen, *more: FailureCause) -> bool:
    return why.handshake is not None and why.handshake.cause in (*_REFUSALS, *more)


def _find_key_type(der: bytes) -> KeyType | None:
    """Give the type of a certificate's key; None: another, or it cannot be read."""
    facts = read_certificate(der)
    return None if isinstance(facts, Unreadable) else _KEY_TYPES.get(facts.key_kind)
