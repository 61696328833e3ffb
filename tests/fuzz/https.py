"""HTTP: what a server sends for a policy or a certificate, and what asks our own server."""

import asyncio
import http.client
import io
import re
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from typing import Any

from letterlock.base.domains import Domain
from letterlock.network.http_exchange import (
    MAX_REASON_CHARACTERS,
    Exchange,
    HttpBounds,
    HttpFailed,
    HttpFault,
    HttpRequest,
    HttpResponse,
    want_body,
)
from letterlock.network.http_server import MAX_REQUESTS, HttpAnswer, HttpAsked, converse
from letterlock.network.https import FetchFailed, _find_fault, _is_policy
from letterlock.network.policy_host import PolicyHost
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire
from letterlock.protocols.acme.challenges import http_path
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.http.conditions import is_known, make_etag
from letterlock.services.certify.solving.http import HttpChallenges
from letterlock.storage.challenges import PendingChallenge
from tests.fakes import START, FakeChallengeStore, FakeClock
from tests.fuzz.target import Target, split_ways, take_choices

_MAX_BODY = 100
_TOKEN = "DGyRejmCefe7v4NfDGDKfA"
_PROOF = f"{_TOKEN}.thumbprint".encode()
_PROOF_PATH = http_path(_TOKEN).encode()
_POLICY = b"version: STSv1\r\nmode: none\r\nmax_age: 1\r\n"


class _Wire(Wire):
    """A connection on which a peer sends pieces, and then ends it."""

    def __init__(self, pieces: list[bytes], tls: TlsDriver) -> None:
        super().__init__()
        self._pieces: Iterator[bytes] = iter([piece for piece in pieces if piece])
        self._driver = tls
        self.written = b""

    async def read(self, seconds: float) -> bytes | Lost:
        del seconds
        piece = next(self._pieces, None)
        if piece is not None:
            return piece
        self._driver.is_closed = True
        return Lost("closed")

    async def write(self, data: bytes, seconds: float) -> Lost | None:
        del seconds
        self.written += data
        return None

    def finish_writing(self) -> None:
        """Read on: what comes after the last answer is bounded elsewhere."""


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what awaits nothing outside."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def _exchange(pieces: list[bytes], method: str, most: int) -> HttpResponse | HttpFailed:
    tls = TlsDriver()
    request = HttpRequest("h.example", "/", method=method)
    bounds = HttpBounds(1.0, _MAX_BODY, most)
    exchange = Exchange(_Wire(pieces, tls), tls, request, bounds, want_body)
    outcome: HttpResponse | HttpFailed = run(exchange.run())
    return outcome


def check_response(octets: bytes) -> None:
    """A response is the same however it came, bounded, and what another reader takes it for."""
    (choice, bound), wire = take_choices(octets, 2)
    method = ("GET", "POST", "HEAD")[choice % 3]
    outcome = _exchange([wire], method, 10_000)
    for pieces in split_ways(wire, choice):
        again = _exchange(pieces, method, 10_000)
        # What h11 quotes of a fault is how much of it has come.
        assert again == outcome or _fault(again) is _fault(outcome) is HttpFault.NO_RESPONSE
    _exchange([wire[at : at + 1] for at in range(len(wire))], method, bound)
    if isinstance(outcome, HttpFailed):
        assert outcome.reason.isprintable()
        assert len(outcome.reason) <= MAX_REASON_CHARACTERS
        assert outcome.fault in (HttpFault.NO_RESPONSE, HttpFault.TOO_LONG, HttpFault.ENCODED)
        return
    assert len(outcome.body) <= _MAX_BODY
    assert all(name == name.lower() for name, _ in outcome.headers)
    assert not any(set(value) & set(b"\r\n\0") for _, value in outcome.headers)
    _check_by_another(wire, method, outcome)
    fault = _find_fault(Domain("mta-sts.example"), outcome)
    assert (fault is None) == _is_policy(outcome)
    assert fault is None or (isinstance(fault, FetchFailed) and fault.reason.isprintable())


def _fault(outcome: HttpResponse | HttpFailed) -> HttpFault | None:
    return outcome.fault if isinstance(outcome, HttpFailed) else None


def _check_by_another(wire: bytes, method: str, outcome: HttpResponse) -> None:
    """Read with Python's `http.client`, which knows no informational response but 100.

    Nor a version such as 0.1, which h11 takes.
    """
    if not re.match(rb"\s*HTTP/1\.\d [2-9]", wire):
        return
    reader = http.client.HTTPResponse(_Socket(wire), method=method)  # type: ignore[arg-type] # it has all that is used
    reader.begin()
    assert reader.status == outcome.status
    assert reader.read() == outcome.body


class _Socket:
    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, mode: str) -> io.BytesIO:
        assert mode == "rb"
        return io.BytesIO(self._octets)


def check_request(octets: bytes) -> None:
    """Requests get short answers in their order; a policy or a proof only who asks for it."""
    (choice,), wire = take_choices(octets, 1)
    # The event loop is asked for the time alone.
    with asyncio.Runner() as runner:
        written = runner.run(_ask([wire]))
        for pieces in split_ways(wire, choice):
            assert runner.run(_ask(pieces)) == written
    answers = list(_split_answers(written))
    assert len(answers) <= MAX_REQUESTS
    for number, (head, body) in enumerate(answers, 1):
        status = int(head[9:12])
        assert status in (200, 400, 404, 405, 413, 414, 431, 501, 505)
        assert status != 400 or number == len(answers)
        assert body in (b"", _POLICY, _PROOF, head[9:].partition(b"\r\n")[0] + b"\r\n")
        if status == 200:
            is_policy = b"Content-Type: text/plain\r\n" in head
            assert (b"/.well-known/mta-sts.txt" if is_policy else _PROOF_PATH) in wire
            assert not is_policy or b"mta-sts.d.example" in wire.lower()
            assert body in (b"", _POLICY if is_policy else _PROOF)


def check_conditions(octets: bytes) -> None:
    """A body is kept back only from who names its tag; others beside it change nothing."""
    is_any = octets.strip(b" \t") == b"*"
    known = is_known([(b"if-none-match", octets)], _ETAG, "")
    assert not known or is_any or _ETAG.encode() in octets
    beside = [(b"if-none-match", b'W/"other"'), (b"if-none-match", octets)]
    assert is_any or is_known(beside, _ETAG, "") is known


def _split_answers(written: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give head and body of each answer; one to HEAD has none, whatever its length says."""
    while written:
        head, end, written = written.partition(b"\r\n\r\n")
        assert end
        assert head.startswith(b"HTTP/1.1 ")
        lengths = re.findall(rb"(?m)^Content-Length: (\d+)\r?$", head)
        assert len(lengths) == 1
        size = 0 if written[:9] in (b"", b"HTTP/1.1 ") else int(lengths[0])
        assert len(written) >= size
        yield head, written[:size]
        written = written[size:]


async def _ask(pieces: list[bytes]) -> bytes:
    clock = FakeClock()
    host = PolicyHost(
        lambda domain: _POLICY if domain == "d.example" else None, _certificates(), clock
    )
    store = FakeChallengeStore()
    proof = PendingChallenge(
        "http-01",
        _TOKEN,
        Identifier("dns", "d.example"),
        _PROOF.decode(),
        START + timedelta(hours=1),
    )
    await store.put(proof, START)
    challenges = HttpChallenges(store, clock)

    async def find(asked: HttpAsked) -> HttpAnswer:
        is_policy = asked.path == "/.well-known/mta-sts.txt"
        return await (host._answer(asked) if is_policy else challenges.answer(asked))

    wire = _Wire(pieces, TlsDriver())
    await converse(wire, find, clock, asyncio.get_running_loop().time() + 60)
    return wire.written


def _certificates() -> ServerCertificates:
    # They have been used when a request is read.
    return ServerCertificates.__new__(ServerCertificates)


_HTTP_WORDS = (
    *(b"HTTP/1.1 ", b"HTTP/1.0 ", b"200 OK", b"100 \r\n\r\n", b"103 x", b"204 ", b"304 ", b"301 "),
    *(b"\r\n", b"\n", b"\r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n"),
    *(b"Content-Encoding: gzip\r\n", b"Connection: close\r\n", b"Location: /\r\n", b"0\r\n\r\n"),
    *(
        b"Content-Type: text/plain\r\n",
        b"5\r\nhello\r\n",
        b";a=b",
        b"+5",
        b"-1",
        b"0x5",
        b" ",
        b":",
    ),
    *(b"GET ", b"HEAD ", b"POST ", b"Host: mta-sts.d.example\r\n", b"Expect: 100-continue\r\n"),
    *(
        b"/.well-known/mta-sts.txt",
        _PROOF_PATH,
        b"/..",
        b"%2e",
        b"?",
        b"#",
        b"http://",
        b"\0",
        b"\t",
        b"\xff",
        b"101",
        b"Upgrade",
    ),
)
_ETAG = make_etag(b"a CRL")
TARGETS = (
    Target(
        "https-response",
        check_response,
        (
            (
                b"\x80\x40HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                b"Content-Length: 5\r\n\r\nhello"
            ),
            (
                b"\x21\x20HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"
                b"2;a=b\r\nab\r\n0\r\nc: d\r\n\r\n"
            ),
            b"\x02\xffHTTP/1.1 100 \r\n\r\nHTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n",
            b"\0\0HTTP/1.0 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello",
        ),
        _HTTP_WORDS,
        600,
        runs=150,
    ),
    Target(
        "https-request",
        check_request,
        (
            b"\x80GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.d.example\r\n\r\n",
            b"\x11HEAD /.well-known/mta-sts.txt?a HTTP/1.1\r\nHost: MTA-STS.d.example:443\r\n\r\n",
            b"\x11POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            b"\x09GET " + _PROOF_PATH + b" HTTP/1.1\r\nHost: a:80\r\n\r\nGET / HTTP/1.0\r\n\r\n",
            b"\x09HEAD http://a" + _PROOF_PATH + b" HTTP/1.1\r\nHost:\r\n\r\n",
        ),
        _HTTP_WORDS,
        500,
        runs=60,
    ),
    Target(
        "http-conditions",
        check_conditions,
        (_ETAG.encode(), b'"a,b" , W/' + _ETAG.encode(), b" *", b',,"", ' + _ETAG.encode()),
        (_ETAG.encode(), b"W/", b'"', b"*", b", "),
        200,
    ),
)
