"""Posting a report of what CAA prevented: once, bounded, and nothing is followed.

RFC 8659 §4.4.
"""

import pytest

from letterlock.network.http_exchange import (
    HttpBounds,
    HttpFailed,
    HttpFault,
    HttpRequest,
    HttpResponse,
)
from letterlock.protocols.acme.fields import parse_url
from letterlock.services.ca.iodef_reports import post_report

URL = parse_url("https://a.example/reports?x=1")


class FakeHttps:
    """Answers each request alike."""

    def __init__(self, answer: HttpResponse | HttpFailed) -> None:
        self._answer = answer
        self.asked: list[HttpRequest] = []

    async def ask(self, request: HttpRequest, bounds: HttpBounds) -> HttpResponse | HttpFailed:
        assert bounds.seconds <= 10
        self.asked.append(request)
        return self._answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (HttpResponse(204, ()), None),
        (HttpResponse(200, ()), None),
        (
            HttpResponse(307, ((b"location", b"https://b.example/"),)),
            "a.example: the status is 307",
        ),
        (HttpResponse(500, ()), "a.example: the status is 500"),
        (HttpFailed(HttpFault.TIMED_OUT, "a.example: no response"), "a.example: no response"),
    ],
)
async def test_a_report_is_posted_once(
    answer: HttpResponse | HttpFailed, reason: str | None
) -> None:
    """Rule 178"""
    client = FakeHttps(answer)
    assert await post_report(client, URL, b"<x/>") == reason
    (request,) = client.asked
    assert (request.method, request.host, request.port) == ("POST", "a.example", 443)
    assert (request.target, request.body) == ("/reports?x=1", b"<x/>")
    assert request.headers == (("Content-Type", "application/xml"),)
