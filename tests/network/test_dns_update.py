"""Updates: at BIND and Knot, and at servers that answer wrongly, late or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dns.message
import dns.rcode
import dns.tsig
import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.network.dns_authority import Served, ask_authority
from letterlock.network.dns_update import (
    Add,
    Change,
    DnsUpdater,
    Remove,
    RemoveAll,
    UpdateFailed,
    load_tsig_key,
)
from letterlock.network.zone_records import ZoneRecord
from letterlock.protocols.dns.tsig_keys import TsigAlgorithm, TsigKey
from tests.accepting import accepting
from tests.event_loops import make_time_pass
from tests.free_ports import free_port
from tests.name_servers import KEY, KEYS, UPDATABLE, NameServers, updatable

ZONE = Domain("example.org")
NAME = Domain("_acme-challenge.example.org")
RECORD = ZoneRecord(NAME, "TXT", "a", 60)
TLSA = ZoneRecord(Domain("_25._tcp.mx1.example.org"), "TLSA", "3 1 1 " + "AB" * 32, 3600)
DNSPYTHON_KEY = dns.tsig.Key(f"{KEY.name}.", KEY.secret, str(KEY.algorithm))


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.peer(name)) for name in UPDATABLE]
)
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NameServers]:
    folder = tmp_path_factory.mktemp(request.param)
    with updatable(request.param, folder, {"example.org.": "", "example.net.": ""}) as running:
        yield running


def now() -> float:
    return SystemClock().now().timestamp()


async def update(
    server: NameServers,
    *changes: Change,
    zone: Domain = ZONE,
    key: TsigKey | None = KEY,
    seconds: float = 10.0,
) -> UpdateFailed | None:
    return await DnsUpdater(key, SystemClock(), seconds).update(server.primary, zone, changes)


async def served(server: NameServers, name: Domain = NAME, rdtype: str = "TXT") -> Served:
    found = await ask_authority(server.primary, name, rdtype)
    assert isinstance(found, Served), found
    return found


@pytest.mark.parametrize("key", KEYS, ids=[key.algorithm for key in KEYS])
async def test_records_come_and_go_one_by_one(servers: NameServers, key: TsigKey) -> None:
    """RFC 2136 §2.5.1, §2.5.4; RFC 8945 §6: what is not named stays."""
    one, other = replace(RECORD, value="one"), replace(RECORD, value="other")
    assert await update(servers, Add(one), key=key) is None
    assert await update(servers, Add(other), key=key) is None
    assert await update(servers, Add(other), key=key) is None
    assert await served(servers) == Served(frozenset({"one", "other"}), 60)
    assert await update(servers, Remove(one), key=key) is None
    assert await update(servers, Remove(one), key=key) is None
    assert (await served(servers)).values == {"other"}
    assert await update(servers, Remove(other), key=key) is None
    assert await served(servers) == Served(frozenset())


async def test_a_set_of_records_is_replaced_at_once(servers: NameServers) -> None:
    """RFC 2136 §2.5.2, §3.4.2: in one update, so that nobody sees none."""
    assert await update(servers, Add(replace(RECORD, value="old"))) is None
    new = [Add(replace(RECORD, value=value)) for value in ("new", "x" * 300)]
    assert await update(servers, RemoveAll(NAME, "TXT"), *new) is None
    assert (await served(servers)).values == {"new", "x" * 300}
    assert await update(servers, RemoveAll(NAME, "TXT")) is None
    assert (await served(servers)).values == frozenset()


async def test_tlsa_records_are_changed_too(servers: NameServers) -> None:
    """RFC 6698 §2.2: however the digits are written."""
    assert await update(servers, Add(TLSA)) is None
    assert await served(servers, TLSA.name, "TLSA") == Served(frozenset({TLSA.value.lower()}), 3600)
    assert await update(servers, Remove(replace(TLSA, value=TLSA.value.lower()))) is None
    assert await served(servers, TLSA.name, "TLSA") == Served(frozenset())


async def test_a_key_that_is_not_known_there(servers: NameServers) -> None:
    """RFC 8945 §5.2.1: by its name, or for its algorithm."""
    for key in (
        replace(KEY, name=Domain("nobody")),
        replace(KEY, algorithm=TsigAlgorithm.HMAC_SHA512),
    ):
        failed = await update(servers, Add(RECORD), key=key)
        assert failed is not None
        assert failed.code == "BADKEY"
        assert failed.reason == (
            f"127.0.0.1:{servers.port}: BADKEY: it does not know the key {key.name}"
            f" ({key.algorithm}), or not for this change"
        )
    assert RECORD.value not in (await served(servers)).values


async def test_another_secret(servers: NameServers) -> None:
    """RFC 8945 §5.2.2."""
    failed = await update(servers, Add(RECORD), key=replace(KEY, secret=b"another"))
    assert failed is not None
    assert failed.code == "BADSIG"
    assert "the secret of the key acme-key (hmac-sha256) is another one there" in failed.reason
    assert RECORD.value not in (await served(servers)).values


@pytest.mark.parametrize("apart", [-1000, 1000])
async def test_a_clock_that_is_wrong(
    servers: NameServers, monkeypatch: pytest.MonkeyPatch, apart: int
) -> None:
    """RFC 8945 §5.2.3, §5.4.3: the server says what time it is there."""
    wrong = SimpleNamespace(time=lambda: now() + apart)
    monkeypatch.setattr(dns.message, "time", wrong)
    failed = await update(servers, Add(RECORD))
    assert failed is not None
    assert failed.code == "BADTIME"
    assert "Z there and " in failed.reason
    assert RECORD.value not in (await served(servers)).values


async def test_what_the_server_does_not_allow(servers: NameServers) -> None:
    """RFC 2136 §3.3. Knot says of a key that may not do this what it says of an unknown one."""
    address = ZoneRecord(Domain("www.example.org"), "A", "192.0.2.1", 60)
    failed = await update(servers, Add(address))
    assert failed is not None
    assert failed.code in ("REFUSED", "BADKEY")
    unsigned = await update(servers, Add(RECORD), key=None)
    assert unsigned is not None
    assert unsigned.code in ("REFUSED", "NOTAUTH")
    assert unsigned.reason.endswith(" without a key")


async def test_a_zone_that_is_not_there(servers: NameServers) -> None:
    """RFC 2136 §3.1.1, §3.4.1.1."""
    elsewhere = replace(RECORD, name=Domain("_acme-challenge.example.com"))
    failed = await update(servers, Add(elsewhere), zone=Domain("example.com"))
    assert failed is not None
    assert failed.code == "NOTAUTH"
    assert "not the primary of the zone example.com" in failed.reason
    failed = await update(servers, Add(elsewhere))
    assert failed is not None
    assert failed.code == "NOTZONE"


# servers that misbehave

Answers = Callable[[bytes], list[bytes]]
"""What is sent back for a request."""


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for answer in self._answers(data):
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def answering(by_tcp: Answers | None, by_udp: Answers | None) -> AsyncIterator[NameServers]:
    """Answer by each transport, or be closed there."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert by_tcp is not None
        size = int.from_bytes(await reader.readexactly(2))
        for answer in by_tcp(await reader.readexactly(size)):
            writer.write(len(answer).to_bytes(2) + answer)

    async with AsyncExitStack() as stack:
        tcp = await stack.enter_async_context(AsyncExitStack())
        port = await tcp.enter_async_context(accepting(serve, port=free_port()))
        if by_udp is not None:
            udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Udp(by_udp), local_addr=("127.0.0.1", port)
            )
            stack.callback(udp.close)
        if by_tcp is None:
            await tcp.aclose()
        yield NameServers(Path(), port)


def answer(
    request: bytes,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    *,
    key: dns.tsig.Key | None = DNSPYTHON_KEY,
) -> bytes:
    """Answer as a server that has this key, and found the request's signature good."""
    query = dns.message.from_wire(request, keyring=DNSPYTHON_KEY)
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    response.request_mac = query.mac or b""
    response.tsig = None
    if key is not None:
        response.use_tsig(key)
    return response.to_wire()


def answer_by(key: dns.tsig.Key, request: bytes) -> list[bytes]:
    return [answer(request, key=key)]


async def test_an_answer_without_a_signature_is_not_believed() -> None:
    """RFC 8945 §5.4."""
    async with answering(lambda request: [answer(request, key=None)], None) as server:
        failed = await update(server, Add(RECORD))
    assert failed == UpdateFailed(
        f"127.0.0.1:{server.port}: its answer is NOERROR (not believed: it has no signature)"
    )


async def test_an_answer_with_a_wrong_signature_is_not_believed() -> None:
    """RFC 8945 §5.4."""
    forged = dns.tsig.Key(f"{KEY.name}.", b"guessed", str(KEY.algorithm))
    other = dns.tsig.Key("other.", KEY.secret, str(KEY.algorithm))
    for key in (forged, other):
        async with answering(partial(answer_by, key), None) as server:
            failed = await update(server, Add(RECORD))
        assert failed is not None
        assert failed.reason.endswith(
            "its answer is NOERROR (not believed: its signature is wrong)"
        )


async def test_an_answer_that_was_signed_long_ago_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RFC 8945 §5.4.3."""

    def late(request: bytes) -> list[bytes]:
        made = answer(request)
        monkeypatch.setattr(dns.message, "time", SimpleNamespace(time=lambda: now() + 400))
        return [made]

    async with answering(late, None) as server:
        failed = await update(server, Add(RECORD))
    assert failed is not None
    assert "the clocks differ" in failed.reason


async def test_udp_is_used_where_tcp_is_closed() -> None:
    async with answering(None, lambda request: [answer(request)]) as server:
        assert await update(server, Add(RECORD)) is None
        long = [Add(replace(RECORD, value=str(number) * 250)) for number in range(5)]
        failed = await update(server, *long)
    assert failed == UpdateFailed(
        f"127.0.0.1:{server.port}: it can't be reached: Connection refused"
    )


async def test_a_forged_datagram_is_passed_over() -> None:
    """RFC 8945 §5.4: it goes on waiting for one that is signed."""

    def forge(request: bytes) -> list[bytes]:
        stray = bytes(2) + answer(request)[2:]
        return [
            b"",
            b"\0",
            stray,
            request,
            answer(request, dns.rcode.REFUSED, key=None),
            answer(request),
        ]

    async with answering(None, forge) as server:
        assert await update(server, Add(RECORD)) is None


async def test_what_only_an_unsigned_datagram_says_is_told_when_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RFC 8945 §5.4."""
    pass_time = make_time_pass(monkeypatch)

    def refuse(request: bytes) -> list[bytes]:
        pass_time(3600.0)
        return [answer(request, dns.rcode.REFUSED, key=None)]

    async with answering(None, refuse) as server:
        failed = await update(server, Add(RECORD))
    assert failed is not None
    assert failed.code == "REFUSED"
    assert failed.reason.endswith("(not believed: it has no signature)")


async def test_a_flood_of_datagrams_ends_it() -> None:
    async with answering(None, lambda request: [request] * 200) as server:
        failed = await update(server, Add(RECORD))
    assert failed is not None
    assert "Connection refused" in failed.reason


@pytest.mark.parametrize(
    ("by_tcp", "reason"),
    [
        (lambda _: [], "it ended the connection without an answer"),
        (lambda _: [b"\0" * 12], "it sent no answer to this"),
        (lambda request: [request], "it sent no answer to this"),
    ],
)
async def test_what_is_no_answer(by_tcp: Answers, reason: str) -> None:
    async with answering(by_tcp, None) as server:
        assert await update(server, Add(RECORD)) == UpdateFailed(
            f"127.0.0.1:{server.port}: {reason}"
        )


async def test_a_server_that_says_nothing() -> None:
    async def serve(*_: object) -> None:
        await asyncio.Event().wait()

    async with accepting(serve) as port:
        server = NameServers(Path(), port)
        failed = await update(server, Add(RECORD), seconds=0.1)
    assert failed == UpdateFailed(f"127.0.0.1:{server.port}: no answer within 0.1 seconds")


async def test_a_value_that_can_not_be_is_the_callers_mistake() -> None:
    updater = DnsUpdater(KEY, SystemClock())
    with pytest.raises(ValueError, match="not the text of a TLSA record"):
        await updater.update(("127.0.0.1", 1), ZONE, [Add(replace(TLSA, value="3 1"))])


# key files


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "acme.key"
    path.write_text("hmac-sha384:acme:AAAA\n")
    path.chmod(0o600)
    key = TsigKey(Domain("acme"), TsigAlgorithm.HMAC_SHA384, bytes(3))
    assert load_tsig_key(path) == key
    path.write_text("AAAA\n")
    assert load_tsig_key(path, Domain("acme")).secret == bytes(3)


def test_a_key_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "acme.key"
    path.write_text("hmac-sha384:acme:AAAA\n")
    path.chmod(0o644)
    with pytest.raises(LocalError, match=r"acme\.key: everyone on this machine can read"):
        load_tsig_key(path)


def test_a_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "acme.key"
    with pytest.raises(LocalError, match=r"acme\.key: cannot be read: No such file"):
        load_tsig_key(path)
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    with pytest.raises(LocalError, match=r"acme\.key: it has a secret and no name"):
        load_tsig_key(path)
