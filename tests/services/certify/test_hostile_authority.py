"""RFC 8555 §6.7, §10: whatever an authority answers, at any step, is a failure or a certificate.

Its answers are its own but for one, of which some member is another: of another type, too long, too
deep, an address of somebody else.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.network.http_exchange import HttpBounds, HttpRequest, HttpResponse
from letterlock.protocols.acme.renewal import WAITS
from letterlock.services.certify.tending import Wish
from tests.acme_server import FakeAcmeServer, Reply, respond
from tests.services.certify.scene import making_scene

STEPS = (
    *("directory", "new-nonce", "new-account", "new-order", "authz", "challenge", "order"),
    *("finalize", "certificate", "renewal-info"),
)
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e308, "", "x" * 100_000, [], {}, [[]], [None], {"": None}, "\0\r\n"),
    *("valid", "pending", "invalid", "processing", "2026-01-01T00:00:00Z"),
    *("https://ca.example/", "https://localhost/", "http://ca.example/order/1", "file:///etc/x"),
    *("https://[::1", "https://ca.example:99999/", "https://u:p@ca.example/", "mailto:a@b"),
    [{"type": "dns", "value": "*" * 300}] * 50,
    [{"type": "http-01", "status": "pending", "token": "../../x", "url": "https://ca.example/"}],
    {"start": "9999-12-31T23:59:59Z", "end": "0001-01-01T00:00:00Z"},
    {"type": "urn:ietf:params:acme:error:badNonce", "detail": "\x1b[2J" * 99},
)
BODIES = (
    b"",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"\xff\xfe",
    b"NaN",
    b"-----BEGIN CERTIFICATE-----",
)
HEADERS = (
    (b"retry-after", b"9" * 400),
    (b"retry-after", b"Fri, 31 Dec 9999 23:59:59 GMT"),
    (b"location", b"https://ca.example:0/"),
    (b"location", b"\xff"),
    (b"link", b'<https://localhost/>;rel="alternate"' + b"," * 5000),
    (b"content-type", b"application/pem-certificate-chain;" + b"x=" * 3000),
    (b"replay-nonce", b""),
)


class Hostile(FakeAcmeServer):
    """As its own as it can be, but for the answers to one kind of question."""

    step: str
    change: Callable[[HttpResponse], HttpResponse]

    async def ask(self, request: HttpRequest, bounds: HttpBounds) -> Reply:
        try:
            reply = await super().ask(request, bounds)
        except (AssertionError, KeyError, StopIteration, RuntimeError):
            return respond(404)  # it sent us there itself
        what = request.target.split("/")[1].partition("?")[0]
        if what != self.step or not isinstance(reply, HttpResponse):
            return reply
        return self.change(reply)


def change_member(reply: HttpResponse, name: str, value: Any) -> HttpResponse:
    try:
        document = json.loads(reply.body)
    except ValueError:
        return HttpResponse(reply.status, reply.headers, json.dumps(value).encode())
    document[name] = value
    return HttpResponse(reply.status, reply.headers, json.dumps(document).encode())


MEMBERS = (
    *("status", "identifiers", "authorizations", "finalize", "certificate", "error", "challenges"),
    *("identifier", "wildcard", "newNonce", "newAccount", "newOrder", "renewalInfo", "meta"),
    *("suggestedWindow", "explanationURL", "type", "detail", "subproblems", "notBefore"),
)


@st.composite
def changes(draw: st.DrawFn) -> Callable[[HttpResponse], HttpResponse]:
    kind = draw(st.sampled_from(["member", "body", "header", "status"]))
    if kind == "member":
        name, value = draw(st.sampled_from(MEMBERS)), draw(st.sampled_from(ODD))
        return lambda reply: change_member(reply, name, value)
    if kind == "body":
        body = draw(st.sampled_from(BODIES) | st.binary(max_size=50))
        return lambda reply: HttpResponse(reply.status, reply.headers, body)
    if kind == "header":
        header = draw(st.sampled_from(HEADERS))
        return lambda reply: HttpResponse(reply.status, (header, *reply.headers), reply.body)
    status = draw(st.sampled_from([201, 204, 301, 400, 404, 409, 429, 500, 503]))
    return lambda reply: HttpResponse(status, reply.headers, reply.body)


@pytest.mark.parametrize("step", STEPS)
@settings(max_examples=12, deadline=None)
@given(change=changes())
async def test_whatever_an_authority_answers_is_a_value(
    step: str, change: Callable[[HttpResponse], HttpResponse]
) -> None:
    async with making_scene() as scene:
        hostile = Hostile(now=scene.clock.now)
        hostile.directory = {"renewalInfo": "https://ca.example/renewal-info"}
        hostile.step, hostile.change = step, change
        scene.use_server(hostile)
        for wish in (Wish(), Wish(renew=True)):
            state = await scene.tend(wish)
            assert state.facts is not None or len(state.troubles) == 1
            for trouble in state.troubles:
                assert "\n" not in trouble.reason
                assert trouble.reason.isprintable()
                assert len(trouble.reason) < 20_000
                assert trouble.not_before - scene.clock.now() <= 2 * WAITS[-1] * 4
