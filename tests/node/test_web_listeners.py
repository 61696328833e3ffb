"""Which sockets are opened for authorities and for readers of policies."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from socket import socket

import pytest

from letterlock.base.config.faults import SettingFaults
from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.node.web_listeners import WebListeners
from tests.free_ports import free_port

HEAD = """
hostname = "mx1.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "data"
"""
AUTHORITY = 'authorities = [{ directory = "https://ca.example/directory" }]'


@pytest.fixture
def listeners() -> Iterator[WebListeners]:
    with closing(WebListeners()) as made:
        yield made


def config(text: str) -> Config:
    return parse_config(HEAD + text, Path("/etc/letterlock/letterlock.toml"))


def ports(sockets: Sequence[socket]) -> list[int]:
    return [each.getsockname()[1] for each in sockets]


def test_nothing_is_opened_that_nobody_asked_for(listeners: WebListeners) -> None:
    listeners.open(config(""))
    assert not (*listeners.http, *listeners.alpn, *listeners.policies)


def test_each_challenge_has_its_port(listeners: WebListeners) -> None:
    http, alpn = free_port(), free_port()
    text = f"""
[certificates]
{AUTHORITY}
http_listen = ["127.0.0.1:{http}"]
alpn_listen = ["127.0.0.1:{alpn}"]
"""
    listeners.open(config(text))
    assert (ports(listeners.http), ports(listeners.alpn)) == ([http], [])
    listeners.open(config(text + 'challenges = ["http-01", "tls-alpn-01"]'))
    assert (ports(listeners.http), ports(listeners.alpn)) == ([http], [alpn])
    listeners.open(config(""))
    assert not (*listeners.http, *listeners.alpn)


def test_another_web_server_keeps_port_80(listeners: WebListeners) -> None:
    listeners.open(config(f'[certificates]\n{AUTHORITY}\nwebroot = "/var/www"'))
    assert not listeners.http


def test_an_address_of_policies_is_shared(listeners: WebListeners) -> None:
    shared, own = free_port(), free_port()
    text = f"""
[certificates]
{AUTHORITY}
challenges = ["tls-alpn-01"]
alpn_listen = ["127.0.0.1:{shared}", "127.0.0.1:{own}"]
[publishing.mta_sts]
domains = ["example.org"]
listen = ["127.0.0.1:{shared}"]
"""
    listeners.open(config(text))
    assert ports(listeners.policies) == [shared]
    assert ports(listeners.alpn) == [own]


def test_a_port_that_is_taken_is_told_with_its_key(listeners: WebListeners) -> None:
    with closing(WebListeners()) as other:
        text = f'[certificates]\n{AUTHORITY}\nhttp_listen = ["127.0.0.1:{free_port()}"]'
        other.open(config(text))
        with pytest.raises(SettingFaults) as caught:
            listeners.open(config(text))
    assert caught.value.faults[0].key[:2] == ("certificates", "http_listen")
