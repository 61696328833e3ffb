"""Says in time that a root's CRL ends: somebody must get its key out of the safe."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.node.ca.keys import LoadedIssuer
from letterlock.services.ca.crls import find_ending
from letterlock.services.ca.hierarchy.making import OF_AUTHORITIES_SHARDS
from letterlock.services.ca.publications import find_key_identifier
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.queue import StoreUnavailable

WARN_BEFORE = timedelta(days=60)
WARN_EVERY = timedelta(days=1)


class RootWatch:
    """Looks when it is called, and says it once a day."""

    def __init__(self, store: AuthorityStore, clock: Clock, log: Log) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._looked: datetime | None = None

    async def look(self, issuers: Sequence[LoadedIssuer]) -> None:
        """Look at the CRLs of all roots."""
        now = self._clock.now()
        if self._looked is not None and timedelta() <= now - self._looked < WARN_EVERY:
            return
        for issuer in issuers:
            identifier = find_key_identifier(issuer.root)
            if identifier is None:
                continue
            try:
                crl = await self._store.load_crl(identifier, OF_AUTHORITIES_SHARDS)
            except StoreUnavailable:
                return
            if (ending := find_ending(crl, now, WARN_BEFORE)) is not None:
                name = issuer.root.subject.rfc4514_string()
                text = f"warning: the CRL of the root {name}: {ending}: letterlock ca root-crl"
                self._log.write(Service.CA, text)
        self._looked = now
