"""Whether our own listeners show what is in the store.

RFC 7672 §8.1 and RFC 8461 §4.2: what senders judge is what is shown, whatever the store has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.config.values import ListenAddress
from letterlock.base.errors import LocalError
from letterlock.network.challenge_look import Unseen
from letterlock.network.key_pairs import load_chain
from letterlock.network.served_look import (
    LOOK_SECONDS,
    AskedName,
    look_over_smtp,
    look_over_tls,
)
from letterlock.protocols.acme.identifiers import IP, parse_identifier
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.certify.solving.stored import find_own_address
from letterlock.storage.certificates import CertificateId

BETWEEN_SECONDS = 1.0
"""Between two looks over SMTP: a listener limits how often one client may come."""
_ANY_LABEL = "any"


@dataclass(frozen=True, slots=True)
class OwnServers:
    """Where our certificates are shown. `policy_names` are shown at `policies`, others by SMTP.

    `configured` are chains that the operator has put in place, which go before those of the store.
    `has_tls_1_2`: so that each type of key can be asked for. `pause` waits for seconds:
    asyncio.sleep, or a fake's. `look_seconds` is how long an answer may take.
    """

    smtp: Sequence[ListenAddress]
    policies: Sequence[ListenAddress]
    policy_names: frozenset[str]
    configured: Sequence[Path]
    helo: str
    has_tls_1_2: bool = True
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    look_seconds: float = LOOK_SECONDS
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def find_difference(
        self, which: CertificateId, stored: Mapping[KeyType, bytes]
    ) -> str | None:
        """Say in one line what is shown instead of a certificate; None: nothing else is.

        `stored` has the name's leaves (DER). An address can't be asked for by name: None.
        """
        sni = _find_server_name(which.name)
        if sni is None:
            return None
        has_choice = len(stored) > 1
        asked = AskedName(sni, which.key_type if has_choice and self.has_tls_1_2 else None)
        expected = {stored[which.key_type]} if asked.key_type else set(stored.values())
        places = self._find_places(which.name)
        seen = [(place, await self._look(which.name, place, asked)) for place in places]
        silent = [
            f"{place}: {shown.reason}"
            for place, shown in seen
            if isinstance(shown, Unseen) and not shown.is_answered
        ]
        wrong = [
            f"{place}: {self._explain(shown)}"
            for place, shown in seen
            if shown not in expected and not (isinstance(shown, Unseen) and not shown.is_answered)
        ]
        # `::` is listened at where there is no IPv6 too.
        return "; ".join(wrong or (silent if len(silent) == len(places) else ())) or None

    def _find_places(self, name: str) -> list[ListenAddress]:
        listen = self.policies if name in self.policy_names else self.smtp
        # Of port 0 nobody knows which it became.
        return [find_own_address(each) for each in dict.fromkeys(listen) if each.port]

    async def _look(self, name: str, place: ListenAddress, asked: AskedName) -> bytes | Unseen:
        if name in self.policy_names:
            return await look_over_tls(place.host, place.port, asked, self.look_seconds)
        async with self._turn:
            seen = await look_over_smtp(place.host, place.port, asked, self.helo, self.look_seconds)
            await self.pause(BETWEEN_SECONDS)
        return seen

    def _explain(self, shown: bytes | Unseen) -> str:
        if isinstance(shown, Unseen):
            return shown.reason
        path = next((path for path, leaf in self._list_configured() if leaf == shown), None)
        if path is not None:
            return f"{path} of tls.certificates is shown instead; one of both has to go"
        return "another certificate is shown than the one in the store"

    def _list_configured(self) -> Iterator[tuple[Path, bytes]]:
        for path in self.configured:
            with suppress(LocalError):  # a node that can't read it shows what it had before
                yield path, load_chain(path)[0].public_bytes(Encoding.DER)


def _find_server_name(name: str) -> str | None:
    """Find what a client asks for who wants this certificate."""
    identifier = parse_identifier(name)
    if identifier.type == IP:
        return None
    return f"{_ANY_LABEL}.{identifier.base}" if identifier.is_wildcard else identifier.value
