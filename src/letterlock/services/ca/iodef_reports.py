"""A report of what CAA prevented, posted to where a domain wants it by HTTPS.

RFC 8659 §4.4, RFC 9110 §15.3. Whether it may be sent, and what it says, is `protocols.caa.iodef`;
that its host has no special address is the client's business. No redirect is followed and nothing
of the answer is read: it is no way to have us fetch something. Reports by mail are not sent yet.
"""

from typing import Protocol

from letterlock.network.http_exchange import HttpBounds, HttpFailed, HttpRequest, HttpResponse
from letterlock.protocols.acme.fields import Url
from letterlock.protocols.caa.iodef import MEDIA_TYPE

BOUNDS = HttpBounds(seconds=10.0, max_body_octets=4 * 1024, max_received_octets=32 * 1024)


class Https(Protocol):
    """`network.https_client.HttpsClient`."""

    async def ask(self, request: HttpRequest, bounds: HttpBounds) -> HttpResponse | HttpFailed: ...


async def post_report(client: Https, url: Url, document: bytes) -> str | None:
    """Post once. Gives why it was not taken, in one line; None: it was. It is not tried again."""
    headers = (("Content-Type", MEDIA_TYPE),)
    request = HttpRequest(url.host, url.target, url.port, "POST", headers, document)
    answer = await client.ask(request, BOUNDS)
    if isinstance(answer, HttpFailed):
        return answer.reason
    is_taken = 200 <= answer.status < 300
    return None if is_taken else f"{url.host}: the status is {answer.status}"
