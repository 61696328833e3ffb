"""http-01 by listeners of our own: the proof is in the store, and any node answers.

RFC 8555 §8.3. The listener is `network.http_server`. Whatever the Host, a token has one answer: an
authority may come by a redirect from elsewhere, and a token can't be guessed. All else on port 80
is not found; it is no place to send a browser on to HTTPS, where a mail server has nothing for it.
"""

from functools import partial
from http import HTTPStatus

from letterlock.base.clock import Clock
from letterlock.network.challenge_look import Unseen, look_at_http
from letterlock.network.http_server import HttpAnswer, HttpAsked
from letterlock.protocols.acme.challenges import find_token
from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.services.certify.solvers import Proof
from letterlock.services.certify.solving.stored import NO_LOOK, OwnListeners, StoredProofs
from letterlock.storage.challenges import ChallengeStore
from letterlock.storage.queue import StoreUnavailable

MEDIA_TYPE = "application/octet-stream"
"""As in the example of RFC 8555 §8.3; to a browser it is nothing to show."""


class HttpChallenges:
    """What the listeners on port 80 answer."""

    def __init__(self, store: ChallengeStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def answer(self, asked: HttpAsked) -> HttpAnswer:
        """Fulfil `network.http_server.Find`."""
        token = find_token(asked.path)
        if token is None:
            return HttpAnswer(HTTPStatus.NOT_FOUND)
        try:
            found = await self._store.find_by_token("http-01", token, self._clock.now())
        except StoreUnavailable:
            return HttpAnswer(HTTPStatus.SERVICE_UNAVAILABLE)
        if found is None:
            return HttpAnswer(HTTPStatus.NOT_FOUND)
        return HttpAnswer(HTTPStatus.OK, found.key_authorization.encode("ascii"), MEDIA_TYPE)


class HttpSolver:
    """Puts proofs where the listeners find them."""

    kind: ChallengeType = "http-01"

    def __init__(self, store: ChallengeStore, clock: Clock, own: OwnListeners = NO_LOOK) -> None:
        self._proofs = StoredProofs(self.kind, store, clock, own)

    async def present(self, proof: Proof) -> str | None:
        return await self._proofs.put(proof, partial(_look, proof))

    async def cleanup(self, proof: Proof) -> None:
        await self._proofs.remove(proof)


async def _look(proof: Proof, ip: str, port: int) -> Unseen | None:
    return await look_at_http(ip, port, proof.identifier, proof.token, proof.key_authorization)
