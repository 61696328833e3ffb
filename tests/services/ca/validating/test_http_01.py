"""http-01 against hosts that are in order, and hosts that are not.

RFC 8555 §8.3, §10.4; Baseline Requirements 3.2.2.4.19.
"""

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urljoin

import pytest

from letterlock.network.http_server import HttpServer
from letterlock.protocols.acme.identifiers import Identifier, parse_identifier
from letterlock.protocols.dns.answers import Security
from letterlock.services.ca.validating.looks import look_at_challenge
from letterlock.services.ca.validating.outcomes import Looked
from letterlock.services.certify.solvers import Proof
from letterlock.services.certify.solving.http import HttpChallenges, HttpSolver
from tests.fakes import FakeChallengeStore, FakeClock
from tests.listening import listening
from tests.services.ca.validating.scene import (
    BOUNDS,
    PATH,
    PROOF,
    TOKEN,
    RecordingDialer,
    Scene,
    Web,
    answer,
    expect,
    redirect,
    serving,
)

URL = f"http://a.example{PATH}"
GOOD = answer("200 OK", body=PROOF)


async def look(scene: Scene, name: str = "a.example", seconds: float = 20.0) -> Looked:
    bounds = replace(BOUNDS, seconds=seconds)
    return await look_at_challenge(expect(name, "http-01"), scene.perspective(), bounds)


async def look_at_page(tmp_path: Path, page: bytes | None, seconds: float = 20.0) -> Looked:
    async with serving(Web({URL: page}), tmp_path) as scene:
        scene.host("a.example")
        return await look(scene, seconds=seconds)


async def look_at_redirect(tmp_path: Path, over: str, page: bytes) -> Looked:
    web = Web({URL: redirect(over), urljoin(URL, over): page})
    async with serving(web, tmp_path) as scene:
        scene.host("a.example", "b.example")
        return await look(scene)


def describe(looked: Looked) -> str:
    assert looked.problem is not None
    assert looked.problem.detail.isprintable()
    assert len(looked.problem.detail) <= 1000
    return f"{looked.problem.type}: {looked.problem.detail}"


async def test_a_file_that_has_the_key_authorization_proves_a_name(tmp_path: Path) -> None:
    web = Web({URL: GOOD})
    async with serving(web, tmp_path) as scene:
        scene.host("a.example")
        looked = await look(scene)
    assert looked.is_passed
    assert looked.steps == ("connected to 127.0.0.1 port 80", f"GET {URL}: status 200")
    assert [(each.rdtype, each.name) for each in looked.lookups] == [
        ("AAAA", "a.example"),
        ("A", "a.example"),
    ]
    (request,) = web.requests
    assert b"Host: a.example\r\n" in request
    assert b"Accept: */*\r\n" in request


@pytest.mark.parametrize(("name", "host"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_an_address_is_asked_without_dns(tmp_path: Path, name: str, host: str) -> None:
    """RFC 8738 §4, §5; rule 235"""
    web = Web({f"http://{host}{PATH}": GOOD})
    async with serving(web, tmp_path, name) as scene:
        looked = await look(scene, name)
        assert scene.resolver.asked == []
    assert looked.is_passed, looked


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_followed_to_both_schemes(tmp_path: Path, status: int) -> None:
    """RFC 8555 §8.3; the certificate of another name counts for nothing there."""
    pages: dict[str, bytes | None] = {
        URL: redirect("https://b.example/over?x=1", status),
        "https://b.example/over?x=1": redirect("/there", status),
        "https://b.example/there": redirect("http://c.example/", status),
        "http://c.example/": GOOD,
    }
    web = Web(pages)
    async with serving(web, tmp_path) as scene:
        scene.host("a.example", "b.example", "c.example")
        looked = await look(scene)
    assert looked.is_passed, looked
    assert web.asked == list(pages)
    assert len(looked.lookups) == 8


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://b.example:8080/", "on another port"),
        ("ftp://b.example/", "of another scheme"),
        ("http://127.0.0.1/", "at another address"),
        ("http://169.254.169.254/latest/meta-data/", "at another address"),
        (f"http://a.example{PATH}", "lead back to"),
        ("https://user@b.example/", "names no host"),
    ],
)
async def test_redirects_to_elsewhere_are_not_followed(
    tmp_path: Path, location: str, reason: str
) -> None:
    """RFC 8555 §10.4"""
    web = Web({URL: redirect(location)})
    async with serving(web, tmp_path) as scene:
        scene.host("a.example", "b.example")
        text = describe(await look(scene))
    assert text.startswith(f"incorrectResponse: {URL}: ")
    assert reason in text
    assert web.asked == [URL]


@pytest.mark.parametrize("over", ["http://b.example/plans", "/plans", f"{PATH}?plans"])
async def test_a_redirect_shows_nobody_another_page(tmp_path: Path, over: str) -> None:
    """RFC 8555 §10.4: or who redirects reads what only the authority can reach. Rule 239"""
    text = describe(await look_at_redirect(tmp_path, over, answer("200 OK", body="secret plans")))
    assert text.startswith("incorrectResponse: ")
    assert "which is not shown" in text
    assert "secret" not in text


async def test_a_redirect_to_the_same_path_elsewhere_tells_what_is_there(tmp_path: Path) -> None:
    """The usual mistake, such as a page of a web server, stays easy to find."""
    over = f"http://b.example{PATH}"
    text = describe(await look_at_redirect(tmp_path, over, answer("200 OK", body="<html>")))
    assert "it has '<html>'" in text


async def test_a_status_that_is_no_redirect_is_none(tmp_path: Path) -> None:
    """Baseline Requirements 3.2.2.4.19: 301, 302, 307 and 308 alone. Rule 229"""
    for status in (300, 303, 304, 305):
        text = describe(await look_at_page(tmp_path, redirect("http://a.example/x", status)))
        assert text.endswith(f"the status is {status}, not 200")


@pytest.mark.parametrize(("redirects", "is_passed"), [(10, True), (11, False)])
async def test_ten_redirects_are_followed_and_no_more(
    tmp_path: Path, redirects: int, *, is_passed: bool
) -> None:
    pages: dict[str, bytes | None] = {URL: redirect("/1")}
    for number in range(1, redirects):
        pages[f"http://a.example/{number}"] = redirect(f"/{number + 1}")
    pages[f"http://a.example/{redirects}"] = GOOD
    web = Web(pages)
    async with serving(web, tmp_path) as scene:
        scene.host("a.example")
        looked = await look(scene)
    assert looked.is_passed is is_passed
    assert len(web.asked) == 11
    if not is_passed:
        assert "more than 10 redirects" in describe(looked)


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (answer("404 Not Found"), "incorrectResponse: {}: the status is 404, not 200"),
        (answer("500 Oops", body=PROOF), "incorrectResponse: {}: the status is 500, not 200"),
        (answer("200 OK", body="<html>"), "incorrectResponse: {}: it has '<html>', not"),
        (
            answer("200 OK", body="\x1b[31m\r\nX"),
            "incorrectResponse: {}: it has '\\x1b[31m\\r\\nX'",
        ),
        (answer("200 OK"), "incorrectResponse: {}: there is nothing in it"),
        (answer("200 OK", body=f"{TOKEN}.other"), "incorrectResponse: {}: it has the key auth"),
        (answer("200 OK", body="x" * 5000), "incorrectResponse: {}: a.example: the body has more"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(20_000), "incorrectResponse: {}: a.example: the body"),
        (
            answer("200 OK", "Content-Encoding: gzip", body=PROOF),
            "incorrectResponse: {}: a.example: the content encoding",
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 50_000, "connection: {}: a.example: not a response"),
        (b"SSH-2.0-OpenSSH_9\r\n", "connection: {}: a.example: not a response in HTTP/1.1"),
        (b"", "connection: {}: a.example: not a response in HTTP/1.1"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, "connection: {}: a.example: more than 65536"),
    ],
)
async def test_what_a_host_shows_instead_is_told(tmp_path: Path, page: bytes, problem: str) -> None:
    """RFC 8555 §6.7, §10.4: on one line, bounded, and not all that was fetched. Rule 239"""
    text = describe(await look_at_page(tmp_path, page))
    assert text.startswith(problem.format(URL))


async def test_a_host_that_says_nothing_costs_the_time_that_it_may(tmp_path: Path) -> None:
    looked = await look_at_page(tmp_path, None, seconds=0.2)
    told = "connection: a.example: no proof within 0.2 seconds"
    if looked.steps:  # else this machine was too busy to connect
        told += "; the last that was seen: connected to 127.0.0.1 port 80"
    assert describe(looked) == told


async def test_a_redirect_to_a_server_without_tls_is_told(tmp_path: Path) -> None:
    web = Web({URL: redirect("https://a.example/")})
    async with serving(web, tmp_path) as scene:
        scene.host("a.example")
        scene.dialer = RecordingDialer(dict.fromkeys((80, 443), scene.dialer.ports[80]))
        text = describe(await look(scene))
    assert text.startswith("tls: https://a.example/: ")


# Addresses


async def test_ipv6_comes_first_and_then_ipv4_where_nobody_answers(tmp_path: Path) -> None:
    """As Let's Encrypt has it: one address of each."""
    async with serving(Web({URL: GOOD}), tmp_path) as scene:
        scene.host("a.example", address="::1")  # where nobody listens
        scene.host("a.example", address="127.0.0.1")
        looked = await look(scene)
        assert looked.is_passed, looked
        assert scene.dialer.dialed == [("::1", 80), ("127.0.0.1", 80)]
    assert looked.steps[0].startswith("::1 port 80: ")


async def test_a_wrong_answer_by_ipv6_is_not_tried_again_by_ipv4(tmp_path: Path) -> None:
    async with serving(Web(), tmp_path, "::1") as scene:
        scene.host("a.example", address="::1")
        scene.host("a.example", address="127.0.0.1")
        assert not (await look(scene)).is_passed
        assert scene.dialer.dialed == [("::1", 80)]


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "64:ff9b::7f00:1"]
)
async def test_a_special_address_is_not_connected_to(tmp_path: Path, address: str) -> None:
    """RFC 8555 §10.4: unless the configuration lists it, for names and addresses. Rule 230"""
    bounds = replace(BOUNDS, networks=())
    async with serving(Web({URL: GOOD}), tmp_path) as scene:
        scene.host("a.example", address=address)
        for name in ("a.example", address):
            looked = await look_at_challenge(expect(name, "http-01"), scene.perspective(), bounds)
            assert describe(looked).endswith("not an address of the Internet")
        assert scene.dialer.dialed == []


async def test_no_redirect_leads_to_a_special_address(tmp_path: Path) -> None:
    """RFC 8555 §10.4: judged anew at each redirect, by what DNS says. Rule 230"""
    async with serving(Web({URL: redirect("http://inner.example/")}), tmp_path) as scene:
        scene.host("a.example")
        scene.host("inner.example", address="10.1.2.3")
        assert describe(await look(scene)) == (
            "connection: http://inner.example/: inner.example: 10.1.2.3: "
            "not an address of the Internet"
        )
        assert scene.dialer.dialed == [("127.0.0.1", 80)]


async def test_a_public_address_beside_a_special_one_is_the_one(tmp_path: Path) -> None:
    async with serving(Web({URL: GOOD}), tmp_path) as scene:
        scene.host("a.example", address="fe80::1")
        scene.host("a.example")
        assert (await look(scene)).is_passed
        assert scene.dialer.dialed == [("127.0.0.1", 80)]


# DNS


@pytest.mark.parametrize("rdtype", ["A", "AAAA"])
async def test_forged_addresses_are_not_used(tmp_path: Path, rdtype: str) -> None:
    """Baseline Requirements 3.2.2.4: also where the other answer is good. Rule 232"""
    async with serving(Web({URL: GOOD}), tmp_path) as scene:
        scene.host("a.example")
        scene.resolver.fail("a.example", rdtype, Security.BOGUS)
        text = describe(await look(scene))
        assert scene.dialer.dialed == []
    assert text.startswith(f"dns: {URL}: a.example {rdtype}: DNSSEC validation failed")


async def test_one_answer_of_two_is_enough_where_the_other_failed(tmp_path: Path) -> None:
    async with serving(Web({URL: GOOD}), tmp_path) as scene:
        scene.host("a.example")
        scene.resolver.fail("a.example", "AAAA")
        assert (await look(scene)).is_passed


async def test_a_name_without_addresses_is_a_problem_of_dns(tmp_path: Path) -> None:
    async with serving(Web(), tmp_path) as scene:
        assert "the name has no address" in describe(await look(scene))
        scene.resolver.fail("a.example", "A")
        assert describe(await look(scene)).endswith("a.example A: no answer")
        expected = replace(expect("a.example", "http-01"), identifier=Identifier("dns", "-a.b"))
        looked = await look_at_challenge(expected, scene.perspective(), BOUNDS)
        assert describe(looked) == f"dns: http://-a.b{PATH}: '-a' is not a label of a domain name"


async def test_nobody_there_is_told_with_the_address(tmp_path: Path) -> None:
    async with serving(Web(), tmp_path) as scene:
        scene.dialer = RecordingDialer({80: 1})
        scene.host("a.example")
        text = describe(await look(scene))
    assert text == f"connection: {URL}: a.example: 127.0.0.1 port 80: Connection refused"


async def test_wildcards_are_not_proved_by_http_01() -> None:
    """Baseline Requirements 3.2.2.4.19. Rule 236"""
    scene = Scene()
    text = describe(await look(scene, "*.a.example"))
    assert text == "malformed: *.a.example cannot be proved by http-01"
    assert scene.resolver.asked == []


async def test_our_own_solver_is_seen() -> None:
    """The client's side that a node has, seen by the authority's."""
    store, clock = FakeChallengeStore(), FakeClock()
    solver = HttpSolver(store, clock)
    proof = Proof(parse_identifier("a.example"), TOKEN, PROOF)
    assert await solver.present(proof) is None
    async with listening(HttpServer(HttpChallenges(store, clock).answer, clock).run) as port:
        scene = Scene(dialer=RecordingDialer({80: port}))
        scene.resolver.set("a.example", "A", ip_address("127.0.0.1"))
        assert (await look(scene)).is_passed
        await solver.cleanup(proof)
        assert describe(await look(scene)).endswith("the status is 404, not 200")
