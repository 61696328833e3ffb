"""Own listeners are known by address and port, and by what the machine has."""

from ipaddress import ip_address

import pytest

from letterlock.base.config.values import ListenAddress
from letterlock.network.own_addresses import OwnAddresses

EXACT = (ListenAddress("127.0.0.2", 2525), ListenAddress("::1", 25))
WILDCARD = (ListenAddress("0.0.0.0", 25),)


@pytest.mark.parametrize(
    ("listen", "address", "port", "is_own"),
    [
        (EXACT, "127.0.0.2", 2525, True),
        (EXACT, "127.0.0.2", 25, False),
        (EXACT, "127.0.0.3", 2525, False),
        (EXACT, "::1", 25, True),
        (WILDCARD, "127.0.0.1", 25, True),
        (WILDCARD, "127.0.0.1", 2525, False),
        (WILDCARD, "192.0.2.1", 25, False),
        (WILDCARD, "::1", 25, False),
        ((), "127.0.0.1", 25, False),
    ],
)
def test_own_listeners_are_known(
    listen: tuple[ListenAddress, ...], address: str, port: int, is_own: bool
) -> None:
    """RFC 5321 §5.1: never to ourselves; another port on this machine is another server."""
    assert OwnAddresses(listen).has(ip_address(address), port) is is_own


@pytest.mark.parametrize(
    ("address", "port", "is_own"),
    [
        ("192.0.2.1", 25, True),
        ("192.0.2.1", 2525, False),
        ("2001:db8::1", 25, True),
        ("192.0.2.2", 25, False),
        ("127.0.0.2", 2525, True),
    ],
)
def test_addresses_in_front_of_a_router_are_ours_on_port_25(
    address: str, port: int, *, is_own: bool
) -> None:
    """RFC 5321 §5.1: what an MX record has for us behind NAT."""
    own = OwnAddresses(EXACT, (ip_address("192.0.2.1"), ip_address("2001:db8::1")))
    assert own.has(ip_address(address), port) is is_own


def test_a_wildcard_of_one_version_does_not_stand_for_the_other() -> None:
    own = OwnAddresses((ListenAddress("::", 25),))
    assert not own.has(ip_address("127.0.0.1"), 25)
    assert not own.has(ip_address("2001:db8::1"), 25)
