"""tls-alpn-01: the proof is in the store, and any node makes the certificate of it.

RFC 8737 §3, RFC 8738 §6. The listeners are `network.alpn_server` and, on a port that is shared,
`network.policy_host`.
"""

from functools import partial

from letterlock.base.clock import Clock
from letterlock.network.challenge_look import Unseen, look_at_alpn
from letterlock.protocols.acme.challenges import ChallengeCertificate, make_challenge_certificate
from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.services.certify.solvers import Proof
from letterlock.services.certify.solving.stored import NO_LOOK, OwnListeners, StoredProofs
from letterlock.storage.challenges import ChallengeStore
from letterlock.storage.queue import StoreUnavailable


class AlpnChallenges:
    """What validators are shown."""

    def __init__(self, store: ChallengeStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find_certificate(self, server_name: str) -> ChallengeCertificate | None:
        """Fulfil `network.alpn_server.FindCertificate`."""
        now = self._clock.now()
        try:
            found = await self._store.find_by_server_name("tls-alpn-01", server_name, now)
        except StoreUnavailable:
            return None
        if found is None:
            return None
        return make_challenge_certificate(found.identifier, found.key_authorization, now)


class AlpnSolver:
    """Puts proofs where the listeners find them."""

    kind: ChallengeType = "tls-alpn-01"

    def __init__(self, store: ChallengeStore, clock: Clock, own: OwnListeners = NO_LOOK) -> None:
        self._proofs = StoredProofs(self.kind, store, clock, own)

    async def present(self, proof: Proof) -> str | None:
        return await self._proofs.put(proof, partial(_look, proof))

    async def cleanup(self, proof: Proof) -> None:
        await self._proofs.remove(proof)


async def _look(proof: Proof, ip: str, port: int) -> Unseen | None:
    return await look_at_alpn(ip, port, proof.identifier, proof.key_authorization)
