"""What `init` and `config check --outside` ask: what the settings say, of real servers."""

import asyncio
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.base.config.values import parse_resolver_address
from letterlock.network.zone_server import ZoneServer
from letterlock.node.first_look import look_at_host, make_question
from tests.fakes import FakeClock

ADDRESS = ip_address("198.41.0.7")
ZONES = {
    "example.org": "@ MX 10 mx1.example.org.\nmx1 A 198.41.0.7",
    "0.41.198.in-addr.arpa": "7 PTR mx1.example.org.",
    "gmail.com": "@ MX 10 mx.gmail.com.\nmx A 127.0.0.1",
    "com": "@ NS ns.com.",
}


def make_config(settings: str = "") -> Config:
    text = f"""\
hostname = "mx1.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "/nonexistent"
{settings}
"""
    return parse_config(text, Path("/nonexistent/letterlock.toml"))


def list_ports(settings: str) -> list[tuple[str, int, str, bool]]:
    question = make_question(
        make_config(settings), FakeClock(), is_new=True, find_addresses=lambda: (ADDRESS,)
    )
    return [(each.ip, each.port, each.setting, each.is_smtp) for each in question.ports]


ACME = '[[certificates.authorities]]\ndirectory = "https://ca.example/dir"\n'
SMTP = [("127.0.0.1", 25, "receive.listen", True), ("::1", 25, "receive.listen", True)]
HTTP = [
    ("127.0.0.1", 80, "certificates.http_listen", False),
    ("::1", 80, "certificates.http_listen", False),
]


@pytest.mark.parametrize(
    ("settings", "ports"),
    [
        ("", SMTP),
        ('[receive]\nlisten = ["192.0.2.1:2525"]', [("192.0.2.1", 2525, "receive.listen", True)]),
        ('[receive]\nproxy_from = ["192.0.2.1"]', []),
        (ACME, SMTP + HTTP),
        (f'[certificates]\nwebroot = "/srv/www"\nhttp_listen = []\n{ACME}', SMTP),
    ],
)
def test_the_ports_are_those_that_the_node_is_to_have(
    settings: str, ports: list[tuple[str, int, str, bool]]
) -> None:
    assert list_ports(settings) == ports


def test_what_is_known_comes_from_the_settings() -> None:
    settings = '[deliver]\nown_addresses = ["198.41.0.9"]\nrelayhost = "[relay.example]:587"'
    inside = ip_address("10.0.0.7")
    question = make_question(
        make_config(settings), FakeClock(), is_new=False, find_addresses=lambda: (inside,)
    )
    assert question.outgoing == (inside,)
    assert question.known == (ip_address("198.41.0.9"),)
    assert (question.sends_itself, question.is_new) == (False, False)
    assert list(question.plans) == ["example.org"]


async def test_it_asks_dns_the_ports_here_and_one_of_others() -> None:
    """The way out is tried at the port of MX hosts, which is another one here."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 other.example ESMTP\r\n")
        await reader.read()
        writer.close()

    dns = ZoneServer(ZONES, authentic_data=True)
    host, port = await dns.start("127.0.0.1", 0)
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    smtp = server.sockets[0].getsockname()[1]
    config = make_config(f'[receive]\nlisten = ["127.0.0.1:{smtp}"]\n[deliver]\nport = {smtp}')
    config = replace(
        config, dns=replace(config.dns, resolver=parse_resolver_address(f"{host}:{port}"))
    )
    try:
        remarks = await look_at_host(
            config, SystemClock(), is_new=False, find_addresses=lambda: (ADDRESS,)
        )
    finally:
        server.close()
        await server.wait_closed()
        await dns.close()
    told = {each.code: each.text for each in remarks}
    assert f"at port {smtp} of 127.0.0.1, and says 220 other.example" in told["port-taken"]
    # The MX host that was tried greeted, names and addresses are as they should be.
    assert told.keys() == {"port-taken"}
