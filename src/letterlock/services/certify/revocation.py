"""Whether certificates of ours are revoked, as the CRLs say that they name.

RFC 5280 §4.2.1.13. A CRL is fetched once for all of our certificates that it is about, and its
answer held for some hours: authorities sign a new one once a day or so. What a CRL means is
`protocols.pki.crl`'s. OCSP is not asked: it tells no more, and authorities give it up.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from cryptography import x509

from letterlock.base.clock import Clock
from letterlock.network.http_exchange import HttpBounds, HttpFailed, HttpRequest, HttpResponse
from letterlock.protocols.pki.crl import (
    MAX_CRL_OCTETS,
    CrlUnusable,
    CrlUrl,
    Revocation,
    Revocations,
    find_crl_urls,
    read_crl,
)

FETCH_SECONDS = 120.0
HELD_SECONDS = 6 * 3600.0
MAX_HELD = 1000


class HttpAsker(Protocol):
    """`network.http_client.HttpClient` is one."""

    async def ask(self, request: HttpRequest, bounds: HttpBounds) -> HttpResponse | HttpFailed: ...


@dataclass(frozen=True, slots=True)
class _Held:
    fetched: float
    serials: frozenset[int]
    answer: Revocations | CrlUnusable


class RevocationFinder:
    """Fetches CRLs. `askers` are those for the certificates of an authority, by its directory."""

    def __init__(self, askers: Mapping[str, HttpAsker], asker: HttpAsker, clock: Clock) -> None:
        """`asker` is for the certificates of all other authorities."""
        self._askers = askers
        self._asker = asker
        self._clock = clock
        self._held: dict[str, _Held] = {}
        # One at a time: others most likely wait for the same one.
        self._turn = asyncio.Lock()

    async def find(
        self, directory: str, chain: list[x509.Certificate], ours: Iterable[int]
    ) -> Revocation | CrlUnusable | None:
        """Say if a certificate is revoked; None: its CRL does not have it, or there is no CRL.

        `ours` are the serial numbers of all our certificates.
        """
        leaf, urls = chain[0], find_crl_urls(chain[0])
        if not urls:
            return None
        if len(chain) == 1:
            return CrlUnusable("the certificate of the issuer is missing, which signs its CRL")
        serials = frozenset(ours) | {leaf.serial_number}
        asker = self._askers.get(directory, self._asker)
        answer: Revocations | CrlUnusable = CrlUnusable("no CRL was asked for")
        for url in urls:
            async with self._turn:
                answer = await self._find_answer(asker, url, chain[1], serials)
            if isinstance(answer, Revocations):
                break
        return self._judge(leaf, answer)

    def _judge(
        self, leaf: x509.Certificate, answer: Revocations | CrlUnusable
    ) -> Revocation | CrlUnusable | None:
        if isinstance(answer, CrlUnusable):
            return answer
        revocation = answer.found.get(leaf.serial_number)
        if revocation is None and answer.ends is not None and answer.ends < self._clock.now():
            # What is revoked stays so; what is not may be by now (RFC 5280 §6.3.3 (a)).
            return CrlUnusable(f"the CRL is out of date since {answer.ends:%Y-%m-%d %H:%M} UTC")
        return revocation

    async def _find_answer(
        self, asker: HttpAsker, url: CrlUrl, issuer: x509.Certificate, serials: frozenset[int]
    ) -> Revocations | CrlUnusable:
        now = self._clock.monotonic()
        held = self._held.get(url.text)
        if held is not None and now - held.fetched < HELD_SECONDS and serials <= held.serials:
            return held.answer
        answer = await _fetch(asker, url, issuer, serials)
        if len(self._held) >= MAX_HELD:
            self._held.clear()
        if isinstance(answer, Revocations):
            self._held[url.text] = _Held(now, serials, answer)
        return answer


async def _fetch(
    asker: HttpAsker, url: CrlUrl, issuer: x509.Certificate, serials: frozenset[int]
) -> Revocations | CrlUnusable:
    request = HttpRequest(url.host, url.target, url.port)
    bounds = HttpBounds(FETCH_SECONDS, MAX_CRL_OCTETS, 2 * MAX_CRL_OCTETS)
    response = await asker.ask(request, bounds)
    if isinstance(response, HttpFailed):
        return CrlUnusable(response.reason)
    if response.status != HTTPStatus.OK:
        return CrlUnusable(f"{url.text}: HTTP status {response.status}")
    answer = await asyncio.to_thread(read_crl, response.body, url, issuer, serials)
    if isinstance(answer, CrlUnusable):
        return CrlUnusable(f"{url.text}: {answer.reason}")
    return answer
