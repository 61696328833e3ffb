"""Whether a host shows certificates that an incident affects: asked for by anybody, so bounded.

OWASP's rule against server-side request forgery: nobody chooses an address or a port that we would
not go to by ourselves. Only the usual ports are asked, only addresses that `may_connect` lets be,
each looked up once; each address, each host and all together have a limit, whose count is in the
store. What a host says is never shown, but for its certificates.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.protocols.acme.fields import format_line
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.rate_limits import Counter, Limit, find_address_keys
from letterlock.protocols.incidents.places import PORTS, Place, PlaceError, parse_place
from letterlock.protocols.incidents.serials import format_serial
from letterlock.services.ca.incidents.public import CertificateReads, find_known
from letterlock.services.ca.requests.revoking import read_name
from letterlock.services.incidents.findings import Finding, NotAsked, Shown
from letterlock.storage.ca.changes import UseCounter
from letterlock.storage.ca.store import Commits
from letterlock.web.ca.status.answers import Answered, HostAnswer, Verdict

SECONDS = 30.0
AT_ONCE = 4
MAX_FOUND = 40
PER_ADDRESS = Limit("host checks of an address", 10, 10, timedelta(hours=1))
PER_HOST = Limit("checks of a host", 10, 20, timedelta(hours=1))
FOR_ALL = Limit("host checks", 60, 600, timedelta(hours=1))
TOO_MANY = 429
UNAVAILABLE = 503

Look = Callable[[Sequence[Place]], Awaitable[list[Finding]]]
"""`services.incidents.hosts.HostLooker.look_at`, over addresses that may be connected to."""


@dataclass(frozen=True, slots=True)
class CheckLimits:
    """How often somebody may ask, how often a host is asked, and how often we ask at all."""

    per_address: Limit = PER_ADDRESS
    per_host: Limit = PER_HOST
    for_all: Limit = FOR_ALL


class CheckStore(Commits, CertificateReads, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""


class HostChecker:
    """Checks hosts for anybody."""

    def __init__(
        self,
        store: CheckStore,
        look: Look,
        clock: Clock,
        limits: CheckLimits | None = None,
        *,
        ports: Collection[int] = tuple(PORTS),
    ) -> None:
        self._store = store
        self._look = look
        self._clock = clock
        self._limits = limits or CheckLimits()
        self._ports = ports
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def check(self, text: str, asker: IPv4Address | IPv6Address | None) -> HostAnswer:
        """Check a host. Raises StoreUnavailable."""
        asked = format_line(text, 100)
        try:
            place = parse_place(text)
        except PlaceError as error:
            return HostAnswer(asked, f"{format_line(str(error))}.", status=400)
        if place.port is not None and place.port not in self._ports:
            ports = ", ".join(str(each) for each in self._ports)
            return HostAnswer(asked, f"Only these ports are asked: {ports}.", status=400)
        if self._slots.locked():
            return HostAnswer(asked, "Too many are asking: try again soon.", status=UNAVAILABLE)
        async with self._slots:
            if not await self._count(place, asker, self._clock.now()):
                text = "That was asked too often: try again in an hour."
                return HostAnswer(asked, text, status=TOO_MANY)
            return await self._check(asked, place)

    async def _count(
        self, place: Place, asker: IPv4Address | IPv6Address | None, now: datetime
    ) -> bool:
        limits = self._limits
        keys = find_address_keys(asker) if asker is not None else ("unknown",)
        counters = [Counter(limits.per_address, key) for key in keys]
        counters += [Counter(limits.per_host, str(place.host)), Counter(limits.for_all, "")]
        return await self._store.commit(tuple(UseCounter(each, now) for each in counters))

    async def _check(self, asked: str, place: Place) -> HostAnswer:
        try:
            async with asyncio.timeout(SECONDS):
                findings = await self._look([place])
        except TimeoutError:
            return HostAnswer(asked, "It did not answer in time: nobody knows what it shows.")
        found = [
            await self._judge(each)
            for each in findings[:MAX_FOUND]
            if isinstance(each, Shown | NotAsked)
        ]
        return HostAnswer(asked, _summarize(found), tuple(found))

    async def _judge(self, finding: Shown | NotAsked) -> Answered:
        source = format_line(finding.source, 200)
        if isinstance(finding, NotAsked):
            # What it said is its own: a stranger is told no more than that there was nothing.
            return Answered(source, Verdict.UNKNOWN, reason="no certificate could be seen")
        name = read_name(finding.der)
        if name is None:
            return Answered(source, Verdict.NOT_OURS)
        return await self._judge_name(source, name)

    async def _judge_name(self, source: str, name: CertificateId) -> Answered:
        known = await find_known(self._store, name)
        serial = format_serial(name.serial)
        if known is None:
            return Answered(source, Verdict.NOT_OURS, serial)
        if known.incidents:
            ids = ", ".join(each.id for each in known.incidents)
            return Answered(source, Verdict.AFFECTED, serial, f"incident {ids}")
        verdict = Verdict.REVOKED if known.is_revoked else Verdict.NOT_AFFECTED
        return Answered(source, verdict, serial)


def _summarize(found: Sequence[Answered]) -> str:
    verdicts = {each.verdict for each in found}
    if Verdict.AFFECTED in verdicts or Verdict.REVOKED in verdicts:
        return "It shows a certificate that has to be renewed."
    if Verdict.UNKNOWN in verdicts or not found:
        return "Not all of its certificates could be seen: it may be affected or not."
    return "None of the certificates that it shows is affected."
