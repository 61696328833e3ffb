"""Since when each certificate has the key that it has: for roll-overs on schedule.

What is remembered of issued certificates says it; nothing else has to be kept.
"""

from datetime import datetime
from hashlib import sha256

from letterlock.protocols.pki.certificate import read_spki
from letterlock.storage.certificates import CertificateId, CertificateState
from letterlock.storage.issued import IssuedStore


class KeyAges:
    """Asks the store once for each new certificate."""

    def __init__(self, issued: IssuedStore) -> None:
        self._issued = issued
        self._known: dict[CertificateId, tuple[str, datetime]] = {}

    async def find_since(self, state: CertificateState) -> datetime | None:
        """Give since when the key in use is in use; None: there is none. Raises StoreUnavailable.

        What was forgotten is taken to have had another key: a roll-over is then late, never early.
        """
        if state.facts is None:
            return None
        known = self._known.get(state.id)
        if known is None or known[0] != state.facts.serial:
            since = state.facts.issued
            for certificate in await self._issued.list_issued_for(state.id):
                if certificate.issued > since:
                    continue  # of a next pair, not in use yet
                spki = read_spki(certificate.leaf)
                if spki is None or sha256(spki).digest() != state.facts.spki_sha256:
                    break
                since = certificate.issued
            known = self._known[state.id] = (state.facts.serial, since)
        return known[1]
