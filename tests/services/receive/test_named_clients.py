"""XCLIENT and XFORWARD: who the client is then, what he may, and what is logged.

Postfix's XCLIENT_README and XFORWARD_README.
"""

from ipaddress import ip_network
from pathlib import Path

import pytest

from letterlock.network.smtp_owner import Peer
from letterlock.network.wire import Wire, connect
from letterlock.protocols.sasl.mechanisms import Mechanism
from letterlock.protocols.smtp.server_events import ClientNamed
from letterlock.services.receive.clients import ClientLimits
from letterlock.services.receive.logins import Account, SourceUnavailable
from letterlock.services.receive.proxied import name_client
from letterlock.services.receive.quotas import QuotaLimits
from letterlock.services.receive.recipients import NOBODY, RelayClients
from tests.services.receive.submitting import Limits, Talk, submitting
from tests.services.receive.test_proxied import TALK, codes
from tests.services.receive.test_receiving import MESSAGE, receiving, talk

EHLO = b"EHLO proxy.example\r\n"
NAMING = b"XCLIENT ADDR=192.0.2.7 NAME=client.example PORT=4711\r\n"


async def test_a_client_that_was_named_is_the_client(tmp_path: Path) -> None:
    """As if it had connected by itself: greeting, rights, Received, log."""
    async with receiving(tmp_path, xclient_from="127.0.0.1/32") as node:
        answers = await talk(node.port, EHLO, NAMING, *TALK[:3], b"DATA\r\n", MESSAGE, b"QUIT\r\n")
        assert codes(answers) == [220, 250, 220, 250, 250, 250, 354, 250, 221]
        assert answers[2] == answers[0]
        (stored,) = await node.store.list_messages()
        body = b"".join([piece async for piece in node.store.read_body(stored.queue_id)])
        assert body.startswith(b"Received: from client.example (client.example [192.0.2.7])\r\n")
        await node.server.wait_empty()
        assert node.log.texts[:3] == [
            "connect from unknown[127.0.0.1]",
            "disconnect from unknown[127.0.0.1] ehlo=1 xclient=1 commands=2",
            "connect from client.example[192.0.2.7] by proxy [127.0.0.1]",
        ]


@pytest.mark.parametrize(
    "address", [b"203.0.113.9", b"127.0.0.1", b"127.0.0.2", b"IPV6:::1", b"[UNAVAILABLE]"]
)
async def test_a_client_that_was_named_has_no_right_of_its_proxys(
    tmp_path: Path, address: bytes
) -> None:
    """No open relay (rule 179): the proxy may relay, and may well name its own machine."""
    async with receiving(tmp_path, xclient_from="127.0.0.1/32", relay_from="127.0.0.0/8") as node:
        answers = await talk(node.port, EHLO, b"XCLIENT ADDR=" + address + b"\r\n", *TALK)
        assert codes(answers) == [220, 250, 220, 250, 250, 554, 221]


@pytest.mark.parametrize("told", [b"NAME=client.example", b"HELO=c.example", b"PORT=1"])
async def test_a_client_whose_address_is_not_told_has_no_right_of_its_proxys(
    tmp_path: Path, told: bytes
) -> None:
    """Rule 179: the address that is left is the proxy's own."""
    async with receiving(tmp_path, xclient_from="127.0.0.1/32", relay_from="127.0.0.0/8") as node:
        answers = await talk(node.port, EHLO, b"XCLIENT " + told + b"\r\n", *TALK)
        assert codes(answers) == [220, 250, 220, 250, 250, 554, 221]


@pytest.mark.parametrize("address", [b"203.0.113.9", b"127.0.0.1"])
async def test_a_client_that_was_named_names_nobody(tmp_path: Path, address: bytes) -> None:
    """What comes behind XCLIENT is the client's, which nginx only passes on."""
    async with receiving(tmp_path, xclient_from="127.0.0.1/32") as node:
        first = b"XCLIENT ADDR=" + address + b"\r\n"
        answers = await talk(
            node.port, first, b"EHLO c\r\n", NAMING, b"XFORWARD NAME=x\r\n", b"QUIT\r\n"
        )
        assert codes(answers) == [220, 220, 250, 550, 550, 221]
        assert b"XCLIENT" not in answers[2]


async def test_a_proxy_may_name_a_client_in_more_than_one_command(tmp_path: Path) -> None:
    async with receiving(tmp_path, xclient_from="127.0.0.1/32") as node:
        steps = b"XCLIENT NAME=client.example\r\n", b"XCLIENT ADDR=192.0.2.7\r\n", b"QUIT\r\n"
        assert codes(await talk(node.port, *steps)) == [220, 220, 220, 221]


async def test_who_is_not_listed_names_nobody(tmp_path: Path) -> None:
    async with receiving(tmp_path) as node:
        answers = await talk(node.port, EHLO, NAMING, b"XFORWARD NAME=x\r\n", b"QUIT\r\n")
        assert codes(answers) == [220, 250, 550, 550, 221]
        assert b"XCLIENT" not in answers[1]


async def test_a_login_is_not_for_port_25(tmp_path: Path) -> None:
    """Without accounts nobody knows what it may."""
    async with receiving(tmp_path, xclient_from="127.0.0.1/32") as node:
        answers = await talk(
            node.port,
            b"XCLIENT ADDR=192.0.2.7 LOGIN=alice\r\n",
            b"XCLIENT ADDR=192.0.2.7 LOGIN=[UNAVAILABLE]\r\n",
            b"QUIT\r\n",
        )
        assert codes(answers) == [220, 550, 220, 221]
        assert any(
            "reject: XCLIENT from unknown[127.0.0.1]: 550 5.7.0 LOGIN" in text
            for text in node.log.texts
        )


async def test_limits_are_those_of_whom_is_named(tmp_path: Path) -> None:
    limits = ClientLimits(connections_per_client=1, connection_rate_per_client=2)
    async with receiving(tmp_path, xclient_from="127.0.0.1/32", limits=limits) as node:
        named = b"XCLIENT ADDR=192.0.2.%d\r\n"
        for number in (1, 2, 3, 1, 2):
            assert codes(await talk(node.port, named % number, b"QUIT\r\n")) == [220, 220, 221]
            await node.server.wait_empty()
        assert codes(await talk(node.port, named % 1)) == [220, 421]


async def test_proxies_count_among_all_connections(tmp_path: Path) -> None:
    limits = ClientLimits(connections=1)
    async with receiving(tmp_path, xclient_from="127.0.0.1/32", limits=limits) as node:
        assert codes(await talk(node.port, NAMING, b"QUIT\r\n")) == [220, 220, 221]
        await node.server.wait_empty()
        assert codes(await talk(node.port, b"QUIT\r\n")) == [220, 221]


async def test_an_origin_is_logged_with_its_message_and_no_other(tmp_path: Path) -> None:
    """XFORWARD gives no rights: the client stays who it is."""
    async with receiving(tmp_path, xclient_from="127.0.0.1/32", relay_from="192.0.2.0/24") as node:
        mail = (b"MAIL FROM:<bob@example.net>\r\n", b"RCPT TO:<alice@example.org>\r\n")
        answers = await talk(
            node.port,
            EHLO,
            b"XFORWARD NAME=client.example ADDR=192.0.2.7 PROTO=ESMTP IDENT=4F+20B\r\n",
            mail[0],
            b"RCPT TO:<alice@elsewhere.example>\r\n",
            *(mail[1], b"DATA\r\n", MESSAGE),
            *(*mail, b"DATA\r\n", MESSAGE, b"QUIT\r\n"),
        )
        assert codes(answers) == [
            220,
            250,
            250,
            250,
            554,
            *(250, 354, 250),
            250,
            *(250, 354, 250),
            221,
        ]
        first, second = (text for text in node.log.texts if text.startswith("client="))
        origin = ", orig_queue_id=4F?B, orig_client=client.example[192.0.2.7]"
        assert first.startswith(f"client=unknown[127.0.0.1]{origin}, helo=<proxy.example>")
        assert "orig" not in second


@pytest.mark.parametrize("forgetting", [b"RSET\r\n", EHLO])
async def test_an_origin_is_forgotten_with_its_transaction(
    tmp_path: Path, forgetting: bytes
) -> None:
    async with receiving(tmp_path, xclient_from="127.0.0.1/32") as node:
        mail = (b"MAIL FROM:<bob@example.net>\r\n", b"RCPT TO:<alice@example.org>\r\n")
        steps = EHLO, b"XFORWARD NAME=x\r\n", forgetting, *mail, b"DATA\r\n", MESSAGE
        assert codes(await talk(node.port, *steps))[-1] == 250
        assert not any("orig" in text for text in node.log.texts)


def test_what_a_proxy_does_not_say_stays() -> None:
    proxy = Peer("10.0.0.5", 1, name="proxy.example")
    listed = RelayClients(())
    named = name_client(proxy, ClientNamed({"NAME": "c.example"}), listed, None)
    assert (named.ip, named.name, named.is_named) == ("10.0.0.5", "c.example", False)
    named = name_client(proxy, ClientNamed({"LOGIN": "a"}), NOBODY, None)
    assert (named.ip, named.name, named.is_named) == ("10.0.0.5", "proxy.example", True)
    named = name_client(proxy, ClientNamed({"ADDR": "192.0.2.7"}), NOBODY, None)
    assert (named.ip, named.name, named.has_rights) == ("192.0.2.7", None, True)


PROXIES = RelayClients((ip_network("127.0.0.1/32"),))


async def converse(port: int) -> Talk:
    wire = await connect("127.0.0.1", port, 5)
    assert isinstance(wire, Wire)
    proxy = Talk(wire)
    assert (await proxy.read()).startswith(b"220")
    return proxy


async def test_a_login_that_a_proxy_tells_is_an_accounts(tmp_path: Path) -> None:
    """Without TLS and a password; addresses, limits and the log are the account's."""
    limits = Limits(proxies=PROXIES, quotas=QuotaLimits(messages=1))
    async with submitting(tmp_path, limits) as desk:
        proxy = await converse(desk.starttls_port)
        steps = (
            EHLO,
            b"MAIL FROM:<alice@example.org>\r\n",
            b"XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE] LOGIN=Alice\r\n",
            EHLO,
            b"MAIL FROM:<carol@example.org>\r\n",
            b"MAIL FROM:<alice@example.org>\r\n",
            b"RCPT TO:<alice@elsewhere.example>\r\n",
            b"DATA\r\n",
        )
        assert await proxy.codes(*steps) == [250, 530, 220, 250, 550, 250, 250, 354]
        text = b"From: alice@example.org\r\n\r\nhello\r\n.\r\n"
        again = b"MAIL FROM:<alice@example.org>\r\n"
        assert await proxy.codes(text, again) == [250, 450]
        proxy.close()
        body = await desk.body()
        assert b"with ESMTPA id" in body
        assert any(
            "client=unknown[192.0.2.7], sasl_method=XCLIENT, sasl_username=alice" in text
            for text in desk.log.texts
        )


@pytest.mark.parametrize(("name", "code"), [("nobody", 550), ("bob", 550), ("a+07", 501)])
async def test_a_login_that_is_no_accounts_is_refused(tmp_path: Path, name: str, code: int) -> None:
    async with submitting(tmp_path, Limits(proxies=PROXIES)) as desk:
        proxy = await converse(desk.starttls_port)
        naming = f"XCLIENT ADDR=192.0.2.7 LOGIN={name}\r\n".encode()
        assert await proxy.codes(naming, EHLO, b"MAIL FROM:<>\r\n") == [code, 250, 530]
        proxy.close()


async def test_accounts_that_cannot_be_asked_are_a_fault_for_now(tmp_path: Path) -> None:
    class Down:
        mechanisms = (Mechanism.PLAIN,)

        async def find_account(self, name: str) -> Account | None:
            raise SourceUnavailable(f"nobody knows {name}")

    async with submitting(tmp_path, Limits(proxies=PROXIES), Down()) as desk:  # type: ignore[arg-type] # all that is asked
        proxy = await converse(desk.starttls_port)
        assert await proxy.codes(b"XCLIENT LOGIN=alice\r\n") == [454]
        proxy.close()
        assert any("XCLIENT LOGIN: nobody knows alice" in text for text in desk.log.texts)


async def test_under_implicit_tls_a_proxy_names_clients_too(tmp_path: Path) -> None:
    async with (
        submitting(tmp_path, Limits(proxies=PROXIES)) as desk,
        desk.client() as proxy,
    ):
        naming = b"XCLIENT ADDR=192.0.2.7 LOGIN=alice\r\n"
        assert await proxy.codes(naming, EHLO, b"MAIL FROM:<alice@example.org>\r\n") == [
            220,
            250,
            250,
        ]


async def test_a_client_that_is_named_without_a_login_logs_in_itself(tmp_path: Path) -> None:
    async with submitting(tmp_path, Limits(proxies=PROXIES)) as desk, desk.client() as proxy:
        assert await proxy.codes(b"XCLIENT ADDR=192.0.2.7\r\n", EHLO) == [220, 250]
        assert await proxy.codes(b"MAIL FROM:<alice@example.org>\r\n") == [530]
        assert (await proxy.log_in()).startswith(b"235")
        assert await proxy.codes(b"MAIL FROM:<alice@example.org>\r\n") == [250]
