"""Watches our certificates in use: revoked, forbidden by CAA, in step with TLSA, served, exported.

RFC 5280 §4.2.1.13, RFC 8659 §3, RFC 7672 §3.1. Every node looks for itself: what it serves only it
can see, and the rest costs little. Each certificate has its own moment once a day, and one soon
after its pair changed; what was not as it should be is looked at again sooner.

A revoked certificate is renewed at once. What CAA forbids now is only told: the certificate stays
good (RFC 8659 §1: nobody judges one by CAA), and the order for another would be refused. So it is
told long before the renewal fails by it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.errors import describe_defect
from letterlock.base.log import Service
from letterlock.protocols.pki.crl import CrlUnusable, Revocation
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.certify.caa import CaaExamination
from letterlock.services.certify.keeping import list_states
from letterlock.services.certify.overview import TlsaState, compare_tlsa, is_lasting
from letterlock.services.certify.revocation import RevocationFinder
from letterlock.services.certify.revoking import note_revoked
from letterlock.services.certify.served import OwnServers
from letterlock.services.certify.tools import Tools
from letterlock.storage.certificates import CertificateId, CertificateState
from letterlock.storage.issued import KEPT_AFTER_END
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.watched import REMEMBERED, Look, Watched, WatchFinding, WatchStore

START_SECONDS = 5.0
"""Before the first look: what a new process begins with holds the leases meanwhile."""
ROUND_SECONDS = 60.0
AT_A_TIME = 4
EVERY = timedelta(days=1)
AGAIN = timedelta(minutes=20)
"""Until the next look at what was not as it should be."""
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class WatchTools:
    """What is looked at with. `node` is this node's name among those that share the store.

    `find_unexported` says why other programs may not have the pair in use; None: they have it.
    `kept_after_end`: for how long what was issued is remembered.
    """

    node: str
    store: WatchStore
    revocations: RevocationFinder
    servers: OwnServers
    find_unexported: Callable[[CertificateId], Awaitable[str | None]]
    kept_after_end: timedelta = KEPT_AFTER_END


@dataclass(frozen=True, slots=True)
class _Kept:
    """All that is in the store, and their serial numbers."""

    ids: frozenset[CertificateId]
    serials: frozenset[int]


def find_next_look(state: CertificateState, watched: Watched | None, now: datetime) -> datetime:
    """Say when a certificate is looked at next: at once when it is not the one seen last."""
    if watched is None or watched.version != state.version:
        return now
    # A moment far ahead comes from a clock that was wrong.
    return watched.again if watched.again <= now + EVERY else now


def join_findings(
    before: Watched | None, found: Mapping[Look, str], version: int, now: datetime
) -> tuple[WatchFinding, ...]:
    """Join what is seen now to what was: it lasts since it was seen first of the same pair."""
    known: dict[str, datetime] = {}
    if before is not None and before.version == version:
        known = {each.look: min(each.since, now) for each in before.findings}
    return tuple(WatchFinding(look, known.get(look, now), reason) for look, reason in found.items())


class Watching:
    """Watches the wanted certificates. `tell` is called when one is to be renewed."""

    def __init__(
        self,
        tools: Tools,
        watch: WatchTools,
        wanted: Sequence[CertificateId],
        tell: Callable[[], None],
    ) -> None:
        self._tools = tools
        self._watch = watch
        self._wanted = frozenset(wanted)
        self._tell = tell
        self._fault = ""
        self._pruned: float | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        await asyncio.sleep(START_SECONDS)
        while True:
            await self.look_around()
            await asyncio.sleep(ROUND_SECONDS)

    async def look_around(self) -> None:
        """Look at all that are due."""
        try:
            states = await list_states(self._tools.store)
            await self._prune()
            watched = await self._list_watched()
        except StoreUnavailable as error:
            self._tell_fault(f"certificates cannot be watched: {error}")
            return
        self._tell_fault("")
        now = self._tools.clock.now()
        due = [
            state
            for state in states.values()
            if state.id in self._wanted
            and state.facts is not None
            and find_next_look(state, watched.get(state.id), now) <= now
        ]
        slots = asyncio.Semaphore(AT_A_TIME)
        kept = _Kept(
            frozenset(states),
            frozenset(int(each.facts.serial, 16) for each in states.values() if each.facts),
        )

        async def look(state: CertificateState) -> None:
            async with slots:
                await self._look_safely(state, watched.get(state.id), kept)

        async with asyncio.TaskGroup() as tasks:
            for state in due:
                tasks.create_task(look(state))

    async def _look_safely(
        self, state: CertificateState, before: Watched | None, kept: _Kept
    ) -> None:
        try:
            await self._look(state, before, kept)
        except StoreUnavailable as error:
            self._tell_fault(f"certificates cannot be watched: {error}")
        except Exception as error:  # noqa: BLE001 - one certificate's defect is not the others'
            self._write(state.id, f"error: {describe_defect(error)}")

    async def _look(self, state: CertificateState, before: Watched | None, kept: _Kept) -> None:
        found = await self._find(state, kept)
        now = self._tools.clock.now()
        findings = join_findings(before, found, state.version, now)
        chance = self._tools.chance()
        again = now + (AGAIN * (1 + chance / 4) if findings else EVERY * (1 - chance / 4))
        if Look.REVOKED in found:
            again = now
        seen = Watched(self._watch.node, state.id, state.version, now, again, findings)
        await self._watch.store.note(seen)
        told = set() if before is None else set(_list_lasting(before))
        for finding in findings:
            if is_lasting(finding, now) and (finding.look, finding.since) not in told:
                self._write(state.id, f"warning: {finding.reason}")

    async def _find(self, state: CertificateState, kept: _Kept) -> dict[Look, str]:
        """Look at one; gives what is not as it should be, one line each."""
        leaves: dict[KeyType, bytes] = {}
        chain: list[x509.Certificate] = []
        for kind in KeyType:
            which = CertificateId(state.id.name, kind)
            pair = await self._tools.store.load_pair(which) if which in kept.ids else None
            if pair is not None:
                certificates = x509.load_pem_x509_certificates(pair.chain)
                leaves[kind] = certificates[0].public_bytes(Encoding.DER)
                chain = certificates if which == state.id else chain
        if not chain:
            return {}
        revoked, unknown = await self._look_at_crl(state, chain, kept.serials)
        reasons = {
            Look.REVOKED: revoked,
            Look.REVOCATION: unknown,
            Look.CAA: await self._look_at_caa(state),
            Look.TLSA: await self._look_at_tlsa(state, chain),
            Look.SERVED: await self._watch.servers.find_difference(state.id, leaves),
            Look.EXPORTED: await self._watch.find_unexported(state.id),
        }
        return {look: reason for look, reason in reasons.items() if reason is not None}

    async def _look_at_crl(
        self, state: CertificateState, chain: list[x509.Certificate], ours: frozenset[int]
    ) -> tuple[str | None, str | None]:
        """Say that it is revoked and not marked so yet; and why nothing is known of that."""
        assert state.facts is not None
        found = await self._watch.revocations.find(state.facts.directory, chain, ours)
        match found:
            case Revocation():
                return await self._note_revoked(state, chain[0], found), None
            case CrlUnusable(reason):
                return None, f"not known whether it is revoked: {reason}"
            case None:
                return None, None

    async def _note_revoked(
        self, state: CertificateState, leaf: x509.Certificate, revocation: Revocation
    ) -> str | None:
        """Have it renewed; a text says that this has to be tried again."""
        assert state.facts is not None
        now = self._tools.clock.now()
        for issued in await self._tools.issued.find_issued(state.facts.serial):
            if issued.leaf == leaf.public_bytes(Encoding.DER):
                await self._tools.issued.note_revoked(issued.fingerprint, now)
        if state.revoked is not None:
            return None
        text = f"revoked by its authority at {revocation.at:%Y-%m-%d %H:%M} UTC"
        if not await note_revoked(self._tools, state.id, state.facts.serial):
            # Whoever is at it may only have asked when to renew it.
            return f"{text}, and not marked so yet"
        self._write(state.id, f"warning: {text} ({revocation.reason}); it is renewed now")
        self._tell()
        return None

    async def _look_at_caa(self, state: CertificateState) -> str | None:
        assert state.facts is not None
        if state.facts.directory not in self._tools.directories:
            return None  # another one is asked for the next
        examined = await self._tools.renewer.examine_caa(state.id, state.facts.directory)
        if not isinstance(examined, CaaExamination) or not examined.refusals:
            return None
        advice = examined.refusals[0]
        publish = f"; publish instead: {advice.publish}" if advice.publish else ""
        return f"its renewal would be refused by CAA: {advice.reason}{publish}"

    async def _look_at_tlsa(
        self, state: CertificateState, chain: list[x509.Certificate]
    ) -> str | None:
        published = await self._tools.zone.look(state.id.name)
        ders = [each.public_bytes(Encoding.DER) for each in chain]
        compared = compare_tlsa(published, state.id.name, ders, self._tools.clock.now())
        return compared.reason if compared.state is TlsaState.MISMATCH else None

    async def _list_watched(self) -> dict[CertificateId, Watched]:
        found: dict[CertificateId, Watched] = {}
        after: CertificateId | None = None
        for _ in count():
            page = await self._watch.store.list_watched(self._watch.node, limit=_PAGE, after=after)
            found |= {each.id: each for each in page}
            if len(page) < _PAGE:
                break
            after = page[-1].id
        return found

    async def _prune(self) -> None:
        """Once a day forget what is of no more use."""
        clock = self._tools.clock
        if self._pruned is not None and clock.monotonic() - self._pruned < EVERY.total_seconds():
            return
        await self._tools.issued.prune_issued(clock.now() - self._watch.kept_after_end)
        await self._watch.store.prune(clock.now() - REMEMBERED)
        self._pruned = clock.monotonic()

    def _tell_fault(self, fault: str) -> None:
        if fault and fault != self._fault:
            self._tools.log.write(Service.CERTIFICATES, f"warning: {fault}")
        self._fault = fault

    def _write(self, which: CertificateId, text: str) -> None:
        self._tools.log.write(Service.CERTIFICATES, f"{which}: {text}")


def _list_lasting(watched: Watched) -> Iterator[tuple[str, datetime]]:
    """List what was a problem at that look already."""
    for each in watched.findings:
        if is_lasting(each, watched.looked):
            yield each.look, each.since
