"""The listening sockets: one for each worker and address, changed as a whole or not at all."""

import errno
import socket
from collections.abc import Iterator

import pytest

from letterlock.base.config.values import ListenAddress
from letterlock.base.errors import LocalError
from letterlock.node.listeners import Listeners

ANY_PORT = ListenAddress("127.0.0.1", 0)
OTHER = ListenAddress("127.0.0.2", 0)


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    made = Listeners()
    yield made
    made.close()


def test_workers_share_a_port_and_have_sockets_of_their_own(listeners: Listeners) -> None:
    listeners.open([ANY_PORT, OTHER], 3)
    assert len(listeners.groups) == 3
    for column in zip(*listeners.groups, strict=True):
        assert len({each.getsockname() for each in column}) == 1
        assert len({each.fileno() for each in column}) == 3
    first, second = listeners.addresses
    assert (first.host, second.host) == ("127.0.0.1", "127.0.0.2")
    socket.create_connection((first.host, first.port), 5).close()


def test_what_stays_is_not_opened_anew(listeners: Listeners) -> None:
    """Its backlog is kept, and so are clients in it."""
    listeners.open([ANY_PORT], 2)
    before = [row[0] for row in listeners.groups]
    listeners.open([OTHER, ANY_PORT], 2)
    assert [row[1] for row in listeners.groups] == before
    listeners.open([OTHER, ANY_PORT], 2)
    assert [row[1] for row in listeners.groups] == before
    listeners.open([OTHER], 2)
    assert [each.fileno() for each in before] == [-1, -1]
    assert len(listeners.groups[0]) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_one_that_fails_leaves_all_as_it_was(listeners: Listeners, workers: int) -> None:
    listeners.open([ANY_PORT], workers)
    groups = listeners.groups
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalError, match=rf"receive.listen: 127\.0\.0\.1:{port}: Address al"):
            listeners.open([OTHER, ListenAddress("127.0.0.1", port)], workers)
    assert listeners.groups is groups
    assert groups[0][0].fileno() >= 0


def test_another_node_s_port_is_not_shared(listeners: Listeners) -> None:
    """SO_REUSEPORT lets all sockets of one user in: two nodes would each get half of the mail."""
    listeners.open([ANY_PORT], 2)
    other = Listeners()
    with pytest.raises(LocalError, match="Address already in use; is another server"):
        other.open(listeners.addresses, 2)
    other.close()


def test_sockets_of_systemd_serve_all_workers() -> None:
    inherited = socket.create_server(("127.0.0.1", 0))
    listeners = Listeners([inherited])
    listeners.open([ListenAddress("192.0.2.1", 25)], 2)
    assert listeners.groups == [[inherited], [inherited]]
    assert listeners.addresses[0].port == inherited.getsockname()[1]
    assert not inherited.getblocking()
    listeners.close()
    assert inherited.fileno() == -1


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6_is_ipv6_only(listeners: Listeners) -> None:
    try:
        listeners.open([ListenAddress("::1", 0)], 1)
    except LocalError:
        pytest.skip("no IPv6 loopback here")
    (only,) = listeners.groups[0]
    assert only.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_a_kernel_without_ipv6_listens_on_the_rest(
    listeners: Listeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default asks for both families, and must not keep such a node from starting."""
    make = socket.socket

    def refuse_ipv6(family: int, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return make(family, *rest)

    monkeypatch.setattr(socket, "socket", refuse_ipv6)
    listeners.open([ANY_PORT, ListenAddress("::", 0)], 1)
    assert [each.host for each in listeners.addresses] == ["127.0.0.1"]
    with pytest.raises(LocalError, match="not supported"):
        Listeners().open([ListenAddress("::", 0)], 1)
