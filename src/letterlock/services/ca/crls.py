"""CRLs: each shard's is signed anew after a revocation and in time, and published by the store.

RFC 5280 §5 and §6.3.3, Baseline Requirements 4.9.7 and 7.2. A CRL is at its fixed place
(`publications`), its number only grows. Several processes may do this at a time: one commit wins,
and the others find that there is nothing left to do. A CRL is read as relying parties read it
before it is kept.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.errors import describe_defect
from letterlock.base.log import Log, Service
from letterlock.base.waiting import wait_for_event
from letterlock.protocols.audit.decisions import CrlLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.pki.crl import HTTP_PORT, CrlUnusable, CrlUrl, read_crl
from letterlock.protocols.pki.issuance.revocation_lists import (
    CrlPeriod,
    Revoked,
    draft_shard,
    keep_listed,
    next_number,
)
from letterlock.protocols.pki.issuance.signing import KeyUnavailable, SigningError
from letterlock.services.ca.hierarchy.chains import IssuingAuthority
from letterlock.services.ca.issuing.signing import sign
from letterlock.services.ca.unused_serials import UnusedSerialStore, revoke_unused
from letterlock.storage.ca.changes import PutCrl
from letterlock.storage.ca.kept import KeptCrl, ShardEntries, ShardState
from letterlock.storage.queue import StoreUnavailable

LONGEST_GAP = timedelta(days=4)
"""Baseline Requirements 4.9.7: every four days there is a new one."""
LOOK_SECONDS = 30.0
"""So soon it is seen what another process revoked, a command too."""
GATHER_SECONDS = 0.5
"""Revocations that come together are published together."""
GATHER_TIMES = 4
"""Of what the last time took: while a million are revoked, CRLs must not be all that is done."""
_MARGIN = timedelta(hours=2)


class CrlError(Exception):
    """A CRL that was signed does not say what it must: our fault, and it is not published."""


class CrlStore(UnusedSerialStore, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_shard(self, issuer: bytes, shard: int) -> ShardEntries: ...

    async def load_shard_states(self, issuer: bytes) -> tuple[ShardState, ...]: ...

    async def load_crl(self, issuer: bytes, shard: int) -> KeptCrl | None: ...


@dataclass(frozen=True, slots=True)
class CrlRules:
    """`shards`: over how many CRLs new certificates are spread; `lifetime`: how long one counts."""

    shards: int = 1
    lifetime: timedelta = timedelta(days=7)

    @property
    def renewed_after(self) -> timedelta:
        """How old a CRL gets. So much is left, then, to notice that none comes any more."""
        return min(self.lifetime / 2, LONGEST_GAP - _MARGIN)


class CrlPublisher:
    """Publishes the CRLs of all issuers of an authority, those of former keys too."""

    def __init__(
        self,
        store: CrlStore,
        authorities: Sequence[IssuingAuthority],
        rules: CrlRules,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store = store
        self._authorities = tuple(authorities)
        self._rules = rules
        self._clock = clock
        self._log = log
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Say that something was revoked: its CRL is made anew at once."""
        self._hurried.set()

    async def run(self) -> None:
        """Publish until cancelled. What fails is told, and tried again."""
        while True:
            began = self._clock.monotonic()
            try:
                await revoke_unused(self._store, self._clock, self._log)
                await self.publish_due()
            except StoreUnavailable as error:
                self._log.write(Service.CA, f"error: no CRL can be published: {error}")
            took = self._clock.monotonic() - began
            if await wait_for_event(self._hurried, LOOK_SECONDS):
                await asyncio.sleep(max(GATHER_SECONDS, GATHER_TIMES * took))
                self._hurried.clear()

    async def publish_due(self) -> int:
        """Publish what is due now, and give how many it was; what fails is told.

        Raises StoreUnavailable.
        """
        count = 0
        for authority in self._authorities:
            for shard in await self._find_due(authority):
                count += await self._try(authority, shard)
        return count

    async def _try(self, authority: IssuingAuthority, shard: int) -> bool:
        try:
            return await self.publish(authority, shard)
        except StoreUnavailable:
            raise
        except (KeyUnavailable, SigningError, CrlError) as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - one shard's defect is not the others'
            why = describe_defect(error)
        what = f"CRL {shard} of {authority.key_identifier.hex()}"
        self._log.write(Service.CA, f"error: {what} was not made anew: {why}")
        return False

    async def publish(self, authority: IssuingAuthority, shard: int) -> bool:
        """Sign a shard's CRL and keep it. False: another process has just done so.

        Raises StoreUnavailable, KeyUnavailable, SigningError and CrlError.
        """
        issuer = authority.key_identifier
        # In this order: who is overtaken has older entries, and an older CRL to replace, too.
        last = await self._store.load_crl(issuer, shard)
        found = await self._store.load_shard(issuer, shard)
        now = self._clock.now().replace(microsecond=0)
        number = next_number(last.period.number if last else None, now)
        period = CrlPeriod(number, now, now + self._rules.lifetime)
        entries = keep_listed(found.entries, last.period.this_update if last else None)
        der = await self._sign(authority, shard, entries, period)
        crl = KeptCrl(issuer, shard, period, found.revision, der)
        change = PutCrl(crl, last.period.number if last else None)
        logged = log_crl(crl, len(entries))
        return await self._store.commit((change,), (AuditEntry(self._clock.now(), logged),))

    async def _find_due(self, authority: IssuingAuthority) -> list[int]:
        states = await self._store.load_shard_states(authority.key_identifier)
        known = {each.shard: each for each in states}
        shards = sorted({*range(1, self._rules.shards + 1), *known})
        return [each for each in shards if self._is_due(known.get(each))]

    def _is_due(self, state: ShardState | None) -> bool:
        if state is None or state.period is None or state.covers is None:
            return True
        age = self._clock.now() - state.period.this_update
        return state.covers < state.revision or age >= self._rules.renewed_after

    async def _sign(
        self,
        authority: IssuingAuthority,
        shard: int,
        entries: tuple[Revoked, ...],
        period: CrlPeriod,
    ) -> bytes:
        issuer = authority.issuer
        # In a thread: it takes a second for 40,000 entries.
        draft = await asyncio.to_thread(draft_shard, issuer, shard, entries, period)
        der = await sign(draft, issuer.signer)
        place = CrlUrl(issuer.places.crl_url(shard), "", HTTP_PORT, "/")
        serials = frozenset(each.serial for each in entries)
        # However many are revoked: it is ours.
        bound = partial(read_crl, limit=len(der))
        read = await asyncio.to_thread(bound, der, place, issuer.certificate, serials)
        if isinstance(read, CrlUnusable):
            raise CrlError(f"what was signed is no good: {read.reason}")
        if read.found.keys() != serials or read.ends != period.next_update:
            raise CrlError("what was signed does not say what was revoked")
        return der


def find_ending(crl: KeptCrl | None, now: datetime, warned_before: timedelta) -> str | None:
    """Say what is wrong with a CRL that somebody must sign by hand, a root's; None: nothing yet."""
    if crl is None:
        return "there is none"
    left = crl.period.next_update - now
    if left > warned_before:
        return None
    ends = f"{crl.period.next_update:%Y-%m-%d}"
    return f"it ended on {ends}" if left <= timedelta() else f"it ends on {ends}"


def log_crl(crl: KeptCrl, entries: int) -> CrlLogged:
    """Write down that a CRL with so many entries was signed."""
    return CrlLogged(
        issuer=crl.issuer.hex(),
        shard=crl.shard,
        number=crl.period.number,
        entries=entries,
        this_update=crl.period.this_update,
        next_update=crl.period.next_update,
        crl=sha256(crl.der).hexdigest(),
    )
