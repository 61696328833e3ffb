"""RFC 3207 §4, RFC 6066 §3: what our own listeners show, beside what is in the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.values import ListenAddress
from letterlock.network.policy_host import PolicyHost
from letterlock.protocols.pki.throwaway_ca import Issued
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.certify.served import OwnServers
from letterlock.storage.certificates import CertificateId
from tests.accepting import accepting
from tests.listening import listening
from tests.network.certificates import authority, issue, make_chooser, write_pair
from tests.services.receive.test_receiving import receiving

MX, POLICY, WIDE = "mx.example.org", "mta-sts.example.org", "*.example.org"
ECDSA = CertificateId(MX, KeyType.ECDSA)
RSA = CertificateId(MX, KeyType.RSA)


async def pause(seconds: float) -> None:
    assert seconds > 0


def servers(
    port: int, policies: int = 0, *configured: Path, has_tls_1_2: bool = True
) -> OwnServers:
    return OwnServers(
        [ListenAddress("0.0.0.0", port)],
        [ListenAddress("127.0.0.1", policies)],
        frozenset({POLICY}),
        configured,
        "mx.example.org",
        has_tls_1_2,
        pause,
    )


@asynccontextmanager
async def smtp(folder: Path, *issued: Issued) -> AsyncIterator[int]:
    certificates = make_chooser(folder, *issued) if issued else None
    async with receiving(folder, certificates=certificates) as node:
        yield node.port


async def test_what_is_shown_by_name_is_compared(tmp_path: Path) -> None:
    """The default certificate is another: without the name this would be a difference."""
    ours, default = issue((MX,)), issue(("default.example.org",))
    async with smtp(tmp_path, default, ours) as port:
        looking = servers(port)
        assert await looking.find_difference(ECDSA, {KeyType.ECDSA: ours.der}) is None
        newer = authority().issue([MX], now=SystemClock().now())
        fault = await looking.find_difference(ECDSA, {KeyType.ECDSA: newer.der})
        assert fault == (
            f"127.0.0.1:{port}: another certificate is shown than the one in the store"
        )


async def test_each_type_of_key_is_asked_for(tmp_path: Path) -> None:
    ecdsa, rsa = issue((MX,)), issue((MX,), "rsa")
    stored = {KeyType.ECDSA: ecdsa.der, KeyType.RSA: rsa.der}
    async with smtp(tmp_path, ecdsa, rsa) as port:
        for which in (ECDSA, RSA):
            assert await servers(port).find_difference(which, stored) is None
    async with smtp(tmp_path, ecdsa) as port:
        assert await servers(port).find_difference(ECDSA, stored) is None
        fault = await servers(port).find_difference(RSA, stored)
        assert fault is not None
        assert "handshake" in fault.lower()
        # By TLS 1.3 nobody can ask for one type: each will do.
        assert await servers(port, has_tls_1_2=False).find_difference(RSA, stored) is None


async def test_a_wildcard_is_asked_for_by_a_name_below_it(tmp_path: Path) -> None:
    wide = issue((WIDE,))
    which = CertificateId(WIDE, KeyType.ECDSA)
    async with smtp(tmp_path, issue((MX,)), wide) as port:
        assert await servers(port).find_difference(which, {KeyType.ECDSA: wide.der}) is None


async def test_an_address_is_nobodys_name() -> None:
    """RFC 6066 §3: a literal address is not sent as a name, so the default is shown."""
    which = CertificateId("192.0.2.1", KeyType.ECDSA)
    assert await servers(9).find_difference(which, {KeyType.ECDSA: b"another"}) is None


async def test_the_operators_own_certificate_is_named(tmp_path: Path) -> None:
    path, _ = write_pair(tmp_path, issue((MX,)), "own")
    missing = tmp_path / "missing.pem"
    async with smtp(tmp_path, issue((MX,))) as port:
        looking = servers(port, 0, missing, path)
        fault = await looking.find_difference(ECDSA, {KeyType.ECDSA: b"another"})
    assert fault is not None
    assert f"{path} of tls.certificates is shown instead" in fault


async def test_a_policy_host_is_looked_at_over_https(tmp_path: Path) -> None:
    ours = issue((POLICY,))
    which = CertificateId(POLICY, KeyType.ECDSA)
    host = PolicyHost(lambda _: None, make_chooser(tmp_path, ours), SystemClock())
    async with listening(host.run) as port:
        looking = servers(9, port)
        assert await looking.find_difference(which, {KeyType.ECDSA: ours.der}) is None
        fault = await looking.find_difference(which, {KeyType.ECDSA: b"another"})
        assert fault is not None
        assert fault.startswith(f"127.0.0.1:{port}: another")


async def test_a_listener_without_tls_shows_nothing(tmp_path: Path) -> None:
    async with smtp(tmp_path) as port:
        fault = await servers(port).find_difference(ECDSA, {KeyType.ECDSA: b""})
    assert fault == f"127.0.0.1:{port}: it does not offer STARTTLS"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([b"421 too many\r\n"], "it said 421 too many"),
        ([b"hello\r\n"], "not SMTP"),
        ([b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"454 not now\r\n"], "it refused STARTTLS"),
        ([b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n", b"no TLS\r\n"], "TLS"),
        ([], "no answer within 0.2 seconds"),
    ],
)
async def test_what_else_answers_is_told(said: list[bytes], reason: str) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in said:
            writer.write(each)
            await reader.read(1000)
        while await reader.read(1000):
            pass
        ended.set()

    async with accepting(serve) as port:
        looking = replace(servers(port), look_seconds=20.0 if said else 0.2)
        fault = await looking.find_difference(ECDSA, {KeyType.ECDSA: b""})
        await asyncio.wait_for(ended.wait(), 60)
    assert fault is not None
    assert reason in fault


async def test_nobody_there_is_a_fault_only_where_there_is_no_other(tmp_path: Path) -> None:
    """`::` is in the settings where there is no IPv6, too."""
    ours = issue((MX,))
    nobody = ListenAddress("127.0.0.1", 9)
    async with smtp(tmp_path, ours) as port:
        both = [nobody, ListenAddress("127.0.0.1", port)]
        looking = OwnServers(both, (), frozenset(), (), MX, pause=pause)
        assert await looking.find_difference(ECDSA, {KeyType.ECDSA: ours.der}) is None
        fault = await looking.find_difference(ECDSA, {KeyType.ECDSA: b"another"})
        assert fault is not None
        assert fault.startswith(f"127.0.0.1:{port}: another")
    alone = OwnServers([nobody], (), frozenset(), (), MX, pause=pause)
    fault = await alone.find_difference(ECDSA, {KeyType.ECDSA: ours.der})
    assert fault is not None
    assert fault.startswith("127.0.0.1:9: ")


async def test_a_port_that_the_system_chose_is_not_looked_at() -> None:
    assert await servers(0).find_difference(ECDSA, {KeyType.ECDSA: b""}) is None
