"""Whether certificates are revoked, as the CRLs say that they name: ours, and those of a check.

RFC 5280 §4.2.1.13. A CRL is fetched once for all of our certificates that it is about, and its
answer held for some hours: authorities sign a new one once a day or so. A check does not know
beforehand whose certificates it will see: it keeps the CRLs themselves, as far as they fit. What a
CRL means is `protocols.pki.crl`'s. OCSP is not asked: it tells no more, and authorities give it up.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
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

HELD_SECONDS = 6 * 3600.0
MAX_HELD = 1000


@dataclass(frozen=True, slots=True)
class CrlBounds:
    """What a CRL may cost: seconds and octets of one, octets of all that are kept.

    `failure_seconds`: how long a CRL that could not be had is not asked for again.
    """

    seconds: float = 120.0
    octets: int = MAX_CRL_OCTETS
    kept_octets: int = 0
    failure_seconds: float = 0.0


class HttpAsker(Protocol):
    """`network.http_client.HttpClient` is one."""

    async def ask(self, request: HttpRequest, bounds: HttpBounds) -> HttpResponse | HttpFailed: ...


@dataclass(frozen=True, slots=True)
class _Held:
    fetched: float
    serials: frozenset[int]
    answer: Revocations | CrlUnusable
    body: bytes = b""
    """The CRL itself, where it is kept."""


class RevocationFinder:
    """Fetches CRLs. `askers` are those for the certificates of an authority, by its directory."""

    def __init__(
        self,
        askers: Mapping[str, HttpAsker],
        asker: HttpAsker,
        clock: Clock,
        bounds: CrlBounds = CrlBounds(),
    ) -> None:
        """`asker` is for the certificates of all other authorities."""
        self._askers = askers
        self._asker = asker
        self._clock = clock
        self._bounds = bounds
        self._held: dict[str, _Held] = {}
        # One at a time at each place: others most likely wait for the same CRL.
        self._turns: dict[str, asyncio.Lock] = {}

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
            async with self._turns.setdefault(url.text, asyncio.Lock()):
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
        now, held = self._clock.monotonic(), self._held.get(url.text)
        is_failed = held is not None and isinstance(held.answer, CrlUnusable)
        patience = self._bounds.failure_seconds if is_failed else HELD_SECONDS
        if held is not None and now - held.fetched < patience:
            if is_failed or serials <= held.serials:
                return held.answer
            if held.body:
                return await self._read(held.body, url, issuer, serials)
        body = await self._fetch(asker, url)
        if isinstance(body, CrlUnusable):
            self._hold(url.text, _Held(now, serials, body))
            return body
        answer = await self._read(body, url, issuer, serials)
        self._hold(url.text, _Held(now, serials, answer, body))
        return answer

    def _hold(self, place: str, new: _Held) -> None:
        is_failed = isinstance(new.answer, CrlUnusable)
        if is_failed and not self._bounds.failure_seconds:
            self._held.pop(place, None)
            return
        if len(self._held) >= MAX_HELD:
            self._held.clear()
            self._turns = {text: turn for text, turn in self._turns.items() if turn.locked()}
        kept = sum(len(each.body) for text, each in self._held.items() if text != place)
        if is_failed or kept + len(new.body) > self._bounds.kept_octets:
            new = replace(new, body=b"")
        self._held[place] = new

    async def _fetch(self, asker: HttpAsker, url: CrlUrl) -> bytes | CrlUnusable:
        request = HttpRequest(url.host, url.target, url.port)
        most = self._bounds.octets
        response = await asker.ask(request, HttpBounds(self._bounds.seconds, most, 2 * most))
        if isinstance(response, HttpFailed):
            return CrlUnusable(response.reason)
        if response.status != HTTPStatus.OK:
            return CrlUnusable(f"{url.text}: HTTP status {response.status}")
        return response.body

    async def _read(
        self, body: bytes, url: CrlUrl, issuer: x509.Certificate, serials: frozenset[int]
    ) -> Revocations | CrlUnusable:
        answer = await asyncio.to_thread(
            read_crl, body, url, issuer, serials, limit=self._bounds.octets
        )
        if isinstance(answer, CrlUnusable):
            return CrlUnusable(f"{url.text}: {answer.reason}")
        return answer
