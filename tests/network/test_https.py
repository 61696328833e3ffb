"""RFC 8461 §3.3: the fetch of a policy, from good policy hosts and from misbehaving ones."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from ipaddress import ip_address

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain, parse_domain
from letterlock.network import http_client as module
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.http_client import CONNECT_SECONDS
from letterlock.network.http_exchange import MAX_REASON_CHARACTERS
from letterlock.network.https import (
    MAX_RECEIVED_OCTETS,
    PATH,
    FetchFailed,
    HttpsSettings,
    PolicyFetcher,
)
from letterlock.network.wire import Lost
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.mta_sts.policy import MAX_POLICY_OCTETS
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.throwaway_ca import Issued, Shape, ThrowawayCa, make_name
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.fakes import FixtureResolver
from tests.network.certificates import NOW, authority, issue
from tests.policy_host import POLICY, Conduct, Ending, PolicyHost, policy_host, respond

DOMAIN = parse_domain("example.org")
HOST = "mta-sts.example.org"
LAB = HttpsSettings(has_private_addresses=True, seconds=30)

FETCH_ERROR = ResultType.STS_POLICY_FETCH_ERROR
INVALID = ResultType.STS_POLICY_INVALID
UNTRUSTED = ResultType.STS_WEBPKI_INVALID


@dataclass(frozen=True)
class NoAnchors:
    reason: str = "trust.pem: No such file or directory"


def anchors() -> TrustAnchors:
    return TrustAnchors.from_pem(authority().pem)


def make_fetcher(settings: HttpsSettings, resolver: FixtureResolver) -> PolicyFetcher:
    return PolicyFetcher(resolver, ClientContexts(), anchors, SystemClock(), settings)


def lab_resolver(*addresses: str) -> FixtureResolver:
    resolver = FixtureResolver()
    for text in addresses or ("127.0.0.1",):
        ip = ip_address(text)
        resolver.set(HOST, "A" if ip.version == 4 else "AAAA", ip)
    return resolver


@asynccontextmanager
async def running(
    conduct: Conduct | None = None,
    certificate: Issued | None = None,
    settings: HttpsSettings = LAB,
) -> AsyncIterator[tuple[PolicyFetcher, PolicyHost]]:
    async with policy_host(certificate or issue((HOST,)), conduct) as host:
        yield make_fetcher(replace(settings, port=host.port), lab_resolver()), host


async def fetch_from(
    conduct: Conduct, certificate: Issued | None = None, settings: HttpsSettings = LAB
) -> bytes | FetchFailed:
    async with running(conduct, certificate, settings) as (fetcher, _):
        return await fetcher.fetch(DOMAIN)


def said(*pieces: bytes, ending: Ending = Ending.CLOSE_NOTIFY) -> Conduct:
    return Conduct(pieces=pieces, ending=ending)


async def test_a_policy_is_fetched_from_the_well_known_place() -> None:
    """RFC 8461 §3.2, §7.1 (rules 64, 82): GET, the path, the name as Host and as SNI."""
    async with running() as (fetcher, host):
        assert await fetcher.fetch(DOMAIN) == POLICY
        (request,) = host.requests
        start = f"GET {PATH} HTTP/1.1\r\nHost: {HOST}:{host.port}\r\n"
        assert request.startswith(start.encode())
        assert host.snis == [HOST]


CHUNKED = respond(b"", "Transfer-Encoding: chunked", has_length=False)


@pytest.mark.parametrize(
    "conduct",
    [
        said(*(respond()[i : i + 1] for i in range(len(respond())))),
        said(respond(media_type='Text/PLAIN ; charset="utf-8"; x=y')),
        said(respond(media_type="text/plain;charset=iso-8859-1")),
        said(respond(POLICY, "Content-Encoding: Identity")),
        said(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(POLICY), POLICY)),
        said(respond(has_length=False)),
        said(b"HTTP/1.1 103 Early Hints\r\n\r\n" + respond()),
        said(respond(), ending=Ending.FIN),
        said(respond(), ending=Ending.SILENCE),
        said(respond() + b"HTTP/1.1 200 OK\r\n\r\nmore"),
        said(respond().replace(b"HTTP/1.1", b"HTTP/1.0")),
        said(respond(POLICY, "Cache-Control: max-age=1", "Age: 99", "X: y")),
    ],
)
async def test_every_right_way_to_answer_is_taken(conduct: Conduct) -> None:
    """RFC 8461 §3.2 (parameters of the media type are ignored), RFC 9112 §6.3 (lengths)."""
    assert await fetch_from(conduct) == POLICY


LONG = b"x" * (MAX_POLICY_OCTETS + 1)
HUGE_HEADERS = "X: " + "a" * 300_000

BAD_RESPONSES: list[tuple[str, Conduct, ResultType, str]] = [
    ("404", said(respond(status="404 Not Found")), FETCH_ERROR, "HTTP status 404"),
    ("500", said(respond(status="500 Oops")), FETCH_ERROR, "HTTP status 500"),
    ("204", said(respond(b"", status="204 No Content")), FETCH_ERROR, "HTTP status 204"),
    ("206", said(respond(status="206 Partial Content")), FETCH_ERROR, "HTTP status 206"),
    (
        "redirect",
        said(respond(b"", "Location: https://mta-sts.example.org/x", status="301 Moved")),
        FETCH_ERROR,
        "301, a redirect to 'https://mta-sts.example.org/x', which is not followed",
    ),
    ("304", said(respond(b"", status="304 Not Modified")), FETCH_ERROR, "HTTP status 304"),
    ("html", said(respond(media_type="text/html")), INVALID, "the media type is 'text/html'"),
    ("no type", said(respond(media_type=None)), INVALID, "the media type is missing"),
    (
        "two types",
        said(respond(POLICY, "Content-Type: text/plain")),
        INVALID,
        "the media type is 'text/plain, text/plain'",
    ),
    ("gzip", said(respond(POLICY, "Content-Encoding: gzip")), INVALID, "encoding is 'gzip'"),
    ("long", said(respond(LONG)), INVALID, "more than 65536 octets"),
    ("long, no length", said(respond(LONG, has_length=False)), INVALID, "more than 65536 octets"),
    ("announced", said(respond(LONG)[:200], ending=Ending.SILENCE), INVALID, "more than 65536"),
    (
        "endless chunks",
        Conduct([CHUNKED, b"2000\r\n%b\r\n" % (b"y" * 0x2000)], is_endless=True),
        INVALID,
        "more than 65536 octets",
    ),
    (
        "chunk bomb",
        Conduct([CHUNKED, b"1;%b\r\ny\r\n" % (b"e" * 8000)], is_endless=True),
        FETCH_ERROR,
        f"more than {MAX_RECEIVED_OCTETS} octets of HTTP",
    ),
    (
        "huge chunk size",
        said(CHUNKED + b"f" * 40 + b"\r\n"),
        FETCH_ERROR,
        "not a response in HTTP/1.1",
    ),
    (
        "endless 1xx",
        Conduct([b"HTTP/1.1 103 x\r\n\r\n" * 500], is_endless=True),
        FETCH_ERROR,
        f"more than {MAX_RECEIVED_OCTETS} octets of HTTP",
    ),
    ("huge header", said(respond(POLICY, HUGE_HEADERS)), FETCH_ERROR, "not a response"),
    ("cut off", said(respond()[:-1]), FETCH_ERROR, "not a response"),
    ("cut off, FIN", said(respond()[:-1], ending=Ending.FIN), FETCH_ERROR, "not a response"),
    (
        "no length, FIN",
        said(respond(has_length=False), ending=Ending.FIN),
        FETCH_ERROR,
        "cut off inside the response",
    ),
    ("cut header", said(b"HTTP/1.1 200 OK\r\nContent-T", ending=Ending.FIN), FETCH_ERROR, "cut"),
    ("nothing", said(b""), FETCH_ERROR, "not a response"),
    ("not HTTP", said(b"220 mx.example.org ESMTP\r\n\r\n"), FETCH_ERROR, "not a response"),
    (
        "two lengths",
        said(respond(POLICY, "Content-Length: 3")),
        FETCH_ERROR,
        "conflicting Content-Length",
    ),
    (
        "not TLS",
        Conduct(instead_of_tls=b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        FETCH_ERROR,
        HOST,
    ),
]


@pytest.mark.parametrize(
    ("conduct", "result_type", "words"),
    [bad[1:] for bad in BAD_RESPONSES],
    ids=[bad[0] for bad in BAD_RESPONSES],
)
async def test_a_misbehaving_host_has_no_policy(
    conduct: Conduct, result_type: ResultType, words: str
) -> None:
    """RFC 8461 §3.2, §3.3 (rules 65, 69, 71); RFC 8460 §4.3.2.2: the type to report."""
    outcome = await fetch_from(conduct)
    assert isinstance(outcome, FetchFailed)
    assert words in outcome.reason
    assert outcome.result_type is result_type
    assert outcome.reason.startswith(HOST)
    assert outcome.reason.isprintable()
    assert len(outcome.reason) < 300


@pytest.mark.parametrize(
    "conduct",
    [
        said(b"", ending=Ending.SILENCE),
        said(respond()[:-5], ending=Ending.SILENCE),
        Conduct(instead_of_tls=b""),
    ],
    ids=["no response", "half a response", "no handshake"],
)
async def test_a_slow_host_is_given_up(conduct: Conduct) -> None:
    """RFC 8461 §3.3 (rule 71): the time is for all of it."""
    outcome = await fetch_from(conduct, settings=replace(LAB, seconds=0.3))
    assert isinstance(outcome, FetchFailed)
    assert outcome.result_type is FETCH_ERROR
    assert "0.3 seconds" in outcome.reason or "timed out" in outcome.reason


async def test_drops_of_a_response_do_not_extend_the_time() -> None:
    """RFC 8461 §3.3 (rule 71)."""
    drip = Conduct([respond()[:20], b"X"], is_endless=True, pause=0.02)
    outcome = await fetch_from(drip, settings=replace(LAB, seconds=0.5))
    assert outcome == FetchFailed(FETCH_ERROR, f"{HOST}: no policy within 0.5 seconds")


@cache
def stranger() -> ThrowawayCa:
    return ThrowawayCa("Stranger", NOW)


def certificate(*names: str, shape: Shape | None = None) -> Issued:
    return authority().issue(names, now=NOW, shape=shape or Shape())


UNTRUSTED_CERTIFICATES: list[tuple[str, Issued, str]] = [
    ("another name", certificate("example.org", "www.example.org"), "wanted: mta-sts.example.org"),
    ("deep wildcard", certificate("*.org"), "wanted: mta-sts.example.org"),
    ("partial wildcard", certificate("mta-*.example.org"), "wanted: mta-sts.example.org"),
    ("address only", certificate("127.0.0.1"), "wanted: mta-sts.example.org"),
    (
        "name in CN only",
        certificate("x.example", shape=Shape(subject=make_name(HOST))),
        "wanted: mta-sts.example.org",
    ),
    (
        "expired",
        certificate(HOST, shape=Shape(NOW - timedelta(days=9), NOW - timedelta(days=1))),
        "expired",
    ),
    (
        "not yet valid",
        certificate(HOST, shape=Shape(NOW + timedelta(days=1), NOW + timedelta(days=9))),
        "not valid before",
    ),
    ("long names", certificate(*(f"{'x' * 60}{n}.{'y' * 60}.example" for n in range(9))), "is for"),
    ("unknown authority", stranger().issue((HOST,), now=NOW), "Stranger"),
]


@pytest.mark.parametrize(
    ("certificate", "words"),
    [each[1:] for each in UNTRUSTED_CERTIFICATES],
    ids=[each[0] for each in UNTRUSTED_CERTIFICATES],
)
async def test_a_host_that_does_not_prove_its_name_is_asked_nothing(
    certificate: Issued, words: str
) -> None:
    """RFC 8461 §3.3 (rules 68, 148); RFC 8460 §4.3.2.2: sts-webpki-invalid."""
    async with running(certificate=certificate) as (fetcher, host):
        outcome = await fetcher.fetch(DOMAIN)
        assert isinstance(outcome, FetchFailed)
        assert words in outcome.reason
        assert len(outcome.reason) <= MAX_REASON_CHARACTERS
        assert outcome.result_type is UNTRUSTED
        assert host.requests == []


async def test_a_wildcard_for_the_left_most_label_is_enough() -> None:
    """RFC 8461 §3.3 (rule 68)."""
    assert await fetch_from(Conduct(), issue(("*.example.org",))) == POLICY


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.1.2.3", "192.168.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fe80::1", "169.254.169.254"],
    ],
)
async def test_a_name_does_not_lead_into_our_own_network(addresses: Sequence[str]) -> None:
    """Server-side request forgery: not even a connection is made."""
    async with policy_host(issue((HOST,))) as host:
        settings = HttpsSettings(port=host.port, seconds=30)
        outcome = await make_fetcher(settings, lab_resolver(*addresses)).fetch(DOMAIN)
        assert isinstance(outcome, FetchFailed)
        assert "not an address of the Internet" in outcome.reason
        assert str(ip_address(addresses[-1])) in outcome.reason
        assert outcome.result_type is FETCH_ERROR
        assert host.connections == 0


async def test_of_several_addresses_only_those_of_the_internet_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of each version of IP two, so that a long list can't use up the time."""
    tried = []

    async def connect(ip: str, port: int, seconds: float) -> Lost:
        tried.append((ip, port, seconds))
        return Lost("no route")

    monkeypatch.setattr(module, "connect", connect)
    resolver = FixtureResolver()
    resolver.set(HOST, "A", *map(ip_address, ("10.0.0.1", "1.1.1.1", "1.1.1.2")))
    resolver.set(HOST, "AAAA", *map(ip_address, ("2606:4700::1", "2606:4700::2", "2606:4700::3")))
    outcome = await make_fetcher(HttpsSettings(), resolver).fetch(DOMAIN)
    assert tried == [
        (ip, 443, CONNECT_SECONDS) for ip in ("2606:4700::1", "2606:4700::2", "1.1.1.1")
    ]
    assert isinstance(outcome, FetchFailed)
    assert "1.1.1.1: no route" in outcome.reason


async def test_the_name_is_looked_up_once() -> None:
    """What was checked is what is connected to: a second answer could be another."""
    async with policy_host(issue((HOST,))) as host:
        resolver = lab_resolver()
        await make_fetcher(replace(LAB, port=host.port), resolver).fetch(DOMAIN)
        assert sorted(resolver.asked) == [(HOST, "A"), (HOST, "AAAA")]
        assert host.connections == 1


async def test_an_address_that_does_not_answer_leaves_the_next_one_its_turn() -> None:
    async with policy_host(issue((HOST,))) as host:
        resolver = FixtureResolver()
        resolver.set(HOST, "A", ip_address("127.0.0.2"), ip_address("127.0.0.1"))
        fetcher = make_fetcher(replace(LAB, port=host.port), resolver)
        assert await fetcher.fetch(DOMAIN) == POLICY


@pytest.mark.parametrize("security", [Security.FAILED, Security.BOGUS])
async def test_a_host_whose_addresses_are_not_known_has_no_policy(security: Security) -> None:
    resolver = FixtureResolver()
    resolver.fail(HOST, "A", security)
    resolver.fail(HOST, "AAAA", security)
    outcome = await make_fetcher(LAB, resolver).fetch(DOMAIN)
    assert isinstance(outcome, FetchFailed)
    assert outcome.result_type is FETCH_ERROR
    assert ("DNSSEC" if security is Security.BOGUS else "no answer") in outcome.reason


async def test_a_host_without_an_address_has_no_policy() -> None:
    outcome = await make_fetcher(LAB, FixtureResolver()).fetch(DOMAIN)
    assert outcome == FetchFailed(FETCH_ERROR, f"{HOST}: the name has no address")


async def test_a_host_that_refuses_connections_has_no_policy() -> None:
    async with policy_host(issue((HOST,))) as host:
        port = host.port
    outcome = await make_fetcher(replace(LAB, port=port), lab_resolver()).fetch(DOMAIN)
    assert outcome == FetchFailed(FETCH_ERROR, f"{HOST}: 127.0.0.1: Connection refused")


@pytest.mark.parametrize("name", ["a" * 60 + ("." + "b" * 61) * 3, ".".join(["x"] * 125)])
async def test_a_domain_too_long_for_a_policy_host_has_no_policy(name: str) -> None:
    outcome = await make_fetcher(LAB, FixtureResolver()).fetch(Domain(name))
    assert isinstance(outcome, FetchFailed)
    assert "too long" in outcome.reason


async def test_without_trust_anchors_there_is_no_policy() -> None:
    async with policy_host(issue((HOST,))) as host:
        settings = replace(LAB, port=host.port)
        contexts = ClientContexts()
        fetcher = PolicyFetcher(lab_resolver(), contexts, NoAnchors, SystemClock(), settings)
        outcome = await fetcher.fetch(DOMAIN)
        assert outcome == FetchFailed(FETCH_ERROR, f"{HOST}: {NoAnchors().reason}")
        assert host.requests == []
