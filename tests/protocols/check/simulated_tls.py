"""A server's choices without a server: what it has, and what it makes of an offer."""

from collections.abc import Callable
from dataclasses import dataclass

from letterlock.protocols.check.deep import DeepTls, Explorer
from letterlock.protocols.tls.client_hello import TLS_1_2, TLS_1_3
from letterlock.protocols.tls.hello_writer import Offer
from letterlock.protocols.tls.server_flight import Alerted, Answer, ServerChoice
from letterlock.protocols.tls.suites import (
    SUITES,
    has_finite_field,
    has_key_exchange,
    is_tls_1_3,
)

NUMBERS = {name: number for number, name in SUITES.items()}
ECDHE, ECDHE_OLD = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
AES_128 = "TLS_AES_128_GCM_SHA256"


@dataclass(frozen=True, slots=True)
class SimulatedTls:
    """What a server has, in its order."""

    versions: tuple[int, ...] = (TLS_1_2, TLS_1_3)
    suites: tuple[str, ...] = (AES_128, ECDHE, ECDHE_OLD)
    groups: tuple[int, ...] = (0x11EC, 29, 23)
    dh_bits: int = 2048
    is_client_order: bool = False
    compression: int = 0
    has_secure_renegotiation: bool = True
    is_old_answered: bool = False
    """A newer version than it has is answered with its newest, and not refused."""

    def answer(self, offer: Offer) -> Answer:
        """Choose, or refuse."""
        version = offer.version
        if version not in self.versions:
            older = [each for each in self.versions if each < version < TLS_1_3]
            if not self.is_old_answered or not older:
                return Alerted("protocol_version")
            version = max(older)
        has = [NUMBERS[name] for name in self.suites]
        has = [suite for suite in has if is_tls_1_3(suite) == (version == TLS_1_3)]
        common = [suite for suite in has if suite in offer.suites]
        if self.is_client_order:
            common = [suite for suite in offer.suites if suite in has]
        group = next((each for each in self.groups if each in offer.groups), None)
        for suite in common:
            is_curve = has_key_exchange(suite) and not has_finite_field(suite)
            if version == TLS_1_3 or is_curve:
                if group is not None:
                    return self._take(version, suite, group, None)
            elif has_finite_field(suite):
                return self._take(version, suite, None, self.dh_bits)
            else:
                return self._take(version, suite, None, None)
        return Alerted("handshake_failure")

    def _take(self, version: int, suite: int, group: int | None, bits: int | None) -> ServerChoice:
        is_new = version == TLS_1_3
        return ServerChoice(
            version,
            suite,
            group,
            bits,
            compression=0 if is_new else self.compression,
            is_retry=is_new,
            has_secure_renegotiation=self.has_secure_renegotiation and not is_new,
        )


def explore(server: SimulatedTls, connections: int = 1000) -> tuple[DeepTls, list[Offer]]:
    """Ask it everything, with so many connections; gives what is known, and what was asked."""
    return explore_by(server.answer, connections)


def explore_by(
    ask: Callable[[Offer], Answer], connections: int = 1000
) -> tuple[DeepTls, list[Offer]]:
    """Do so with what answers an offer."""
    explorer = Explorer("mx.example.org")
    offers: list[Offer] = []
    asking = explorer.explore()
    offer = next(asking, None)
    while offer is not None:
        answer: Answer | None = None
        if len(offers) < connections:
            offers.append(offer)
            answer = ask(offer)
        try:
            offer = asking.send(answer)
        except StopIteration:
            offer = None
    return explorer.conclude(), offers
