"""A client is called by its reverse name only when that name has the client's address."""

from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Security
from letterlock.services.discover.client_names import MAX_NAMES, find_client_name
from tests.fakes import FixtureResolver

V4, V6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
NAME = Domain("mail.example.com")


@pytest.fixture
def dns() -> FixtureResolver:
    dns = FixtureResolver()
    for address in (V4, V6):
        dns.set(address.reverse_pointer, "PTR", NAME)
    dns.set(NAME, "A", ip_address("192.0.2.9"), V4)
    dns.set(NAME, "AAAA", V6)
    return dns


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"])
async def test_a_confirmed_name_is_the_client_s(dns: FixtureResolver, address: str) -> None:
    assert await find_client_name(dns, ip_address(address)) == NAME


async def test_a_name_that_has_not_the_address_is_not_believed(dns: FixtureResolver) -> None:
    dns.set(NAME, "A", ip_address("192.0.2.9"))
    assert await find_client_name(dns, V4) is None


@pytest.mark.parametrize("rdtype", ["PTR", "A"])
@pytest.mark.parametrize("security", [Security.FAILED, Security.BOGUS])
async def test_a_failed_lookup_gives_no_name(
    dns: FixtureResolver, rdtype: str, security: Security
) -> None:
    dns.fail(V4.reverse_pointer if rdtype == "PTR" else NAME, rdtype, security)
    assert await find_client_name(dns, V4) is None


async def test_an_address_without_a_name_has_none(dns: FixtureResolver) -> None:
    assert await find_client_name(dns, ip_address("192.0.2.77")) is None


async def test_of_very_many_names_only_the_first_are_tried(dns: FixtureResolver) -> None:
    claims = [Domain(f"n{number}.example") for number in range(MAX_NAMES)]
    dns.set(V4.reverse_pointer, "PTR", *claims, NAME)
    assert await find_client_name(dns, V4) is None
    assert len(dns.asked) == 1 + MAX_NAMES
