"""What an account may send as."""

import pytest

from letterlock.protocols.smtp.own_addresses import is_own_address, parse_own_address
from letterlock.protocols.smtp.paths import AddressError, parse_mailbox

OWN = ("alice@example.org", "@example.com", "@xn--bcher-kva.example", '"a b"@example.org')


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Alice@Example.ORG", "alice@example.org"),
        ('"alice"@example.org', "alice@example.org"),
        ('"A b"@example.org', '"a b"@example.org'),
        ("@Example.com", "@example.com"),
        ("@bücher.example", "@xn--bcher-kva.example"),
        ("é@bücher.example", "é@xn--bcher-kva.example"),
        ("alice@[192.0.2.1]", "alice@[192.0.2.1]"),
    ],
)
def test_an_address_has_one_form(text: str, parsed: str) -> None:
    assert parse_own_address(text) == parsed
    assert parse_own_address(parsed) == parsed


@pytest.mark.parametrize(
    "text", ["", "alice", "@", "@.", "@a_b.example", "a b@c.example", "*@c.example ,"]
)
def test_what_is_no_address_and_no_domain_is_an_error(text: str) -> None:
    with pytest.raises(AddressError):
        parse_own_address(text)


@pytest.mark.parametrize(
    ("address", "is_own"),
    [
        ("ALICE@example.org", True),
        ("bob@example.org", False),
        ("alice@mail.example.org", False),
        ("anyone@example.com", True),
        ("anyone@mail.example.com", False),
        ("é@bücher.example", True),
        ('"A B"@example.org', True),
        ("alice+tag@example.org", False),
    ],
)
def test_an_account_sends_as_its_addresses_and_domains_only(address: str, is_own: bool) -> None:
    """RFC 6409 §6.1."""
    assert is_own_address(parse_mailbox(address), OWN) is is_own


def test_an_account_without_addresses_sends_as_nobody() -> None:
    assert not is_own_address(parse_mailbox("alice@example.org"), ())
