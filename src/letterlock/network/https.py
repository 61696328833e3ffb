"""Fetch an MTA-STS policy file over HTTPS.

RFC 8461 §3.3 (one GET, no redirects, no HTTP cache, bounds), §3.2 (media type). The request itself
is `network.https_client`'s. What the policy says is `protocols.mta_sts`; keeping it and when to
fetch, `services.discover.mta_sts`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from letterlock.base.clock import Clock
from letterlock.base.domains import MAX_DOMAIN_OCTETS, Domain
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.dns import Resolver
from letterlock.network.http_exchange import (
    MAX_REASON_CHARACTERS,
    HttpBounds,
    HttpFailed,
    HttpFault,
    HttpRequest,
    HttpResponse,
    show,
)
from letterlock.network.https_client import HttpsClient, UnusableAnchors
from letterlock.protocols.mta_sts.policy import MAX_POLICY_OCTETS, MIME_TYPE
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.tlsrpt.result_types import ResultType

HOST_LABEL = "mta-sts"
PATH = "/.well-known/mta-sts.txt"
FETCH_SECONDS = 60.0
"""RFC 8461 §3.3: for everything, from the first lookup to the last octet."""
MAX_RECEIVED_OCTETS = 256 * 1024

_SHOWN_CHARACTERS = 100
_OK = 200

_RESULT_TYPES = {
    HttpFault.NOT_TRUSTED: ResultType.STS_WEBPKI_INVALID,
    # Something came that a policy file can't be.
    HttpFault.TOO_LONG: ResultType.STS_POLICY_INVALID,
    HttpFault.ENCODED: ResultType.STS_POLICY_INVALID,
}


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """There is no policy file, and why; `reason` is one line, in which a peer's words are bounded.

    RFC 8460 §4.3.2.2: STS_POLICY_FETCH_ERROR, STS_POLICY_INVALID or STS_WEBPKI_INVALID.
    """

    result_type: ResultType
    reason: str


@dataclass(frozen=True, slots=True)
class HttpsSettings:
    """Where policies may be fetched from. Other than these only where everything is one's own."""

    port: int = 443
    has_private_addresses: bool = False
    """Policy hosts may have loopback, private and other special addresses."""
    seconds: float = FETCH_SECONDS


class PolicyFetcher:
    """Fetches policy files. `find_anchors` gives the trust anchors as they are now."""

    def __init__(
        self,
        resolver: Resolver,
        contexts: ClientContexts,
        find_anchors: Callable[[], TrustAnchors | UnusableAnchors],
        clock: Clock,
        settings: HttpsSettings = HttpsSettings(),
    ) -> None:
        self._client = HttpsClient(
            resolver,
            contexts,
            find_anchors,
            clock,
            has_private_addresses=settings.has_private_addresses,
        )
        self._settings = settings

    async def fetch(self, domain: Domain) -> bytes | FetchFailed:
        """Fetch the policy file of a policy domain. How many do so at a time is the caller's."""
        host = Domain(f"{HOST_LABEL}.{domain}")
        if len(host) > MAX_DOMAIN_OCTETS:
            return _fail(f"the name of the policy host is too long: {host[:_SHOWN_CHARACTERS]}...")
        request = HttpRequest(host, PATH, self._settings.port, headers=(("Accept", MIME_TYPE),))
        bounds = HttpBounds(self._settings.seconds, MAX_POLICY_OCTETS, MAX_RECEIVED_OCTETS)
        response = await self._client.ask(request, bounds, _is_policy)
        if isinstance(response, HttpFailed):
            return self._explain(host, response)
        return _find_fault(host, response) or response.body

    def _explain(self, host: Domain, failed: HttpFailed) -> FetchFailed:
        if failed.fault is HttpFault.TIMED_OUT:
            return _fail(f"{host}: no policy within {self._settings.seconds:g} seconds")
        result_type = _RESULT_TYPES.get(failed.fault, ResultType.STS_POLICY_FETCH_ERROR)
        return FetchFailed(result_type, failed.reason)


def _is_policy(head: HttpResponse) -> bool:
    return _find_fault(Domain(""), head) is None


def _find_fault(host: Domain, head: HttpResponse) -> FetchFailed | None:
    if head.status != _OK:
        return _fail(f"{host}: {_explain_status(head)}")
    # RFC 8461 §3.2 has the media type's parameters ignored.
    if head.media_types != [MIME_TYPE]:
        types = head.find(b"content-type")
        shown = show(b", ".join(types)) if types else "missing"
        reason = f"{host}: the media type is {shown}, not {MIME_TYPE}"
        return FetchFailed(ResultType.STS_POLICY_INVALID, reason[:MAX_REASON_CHARACTERS])
    return None


def _explain_status(response: HttpResponse) -> str:
    text = f"HTTP status {response.status}"
    if places := response.find(b"location"):
        # RFC 8461 §3.3: redirects MUST NOT be followed.
        text += f", a redirect to {show(places[0])}, which is not followed"
    return text


def _fail(reason: str) -> FetchFailed:
    return FetchFailed(ResultType.STS_POLICY_FETCH_ERROR, reason[:MAX_REASON_CHARACTERS])
