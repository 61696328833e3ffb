"""Who is meant by a recipient: U-labels, our own addresses, quotes, and the letters of a name.

RFC 5321 §2.4 (case), §4.1.2 (quotes), §4.1.3 (literals), §4.5.1 (postmaster); RFC 6531 §3.3;
RFC 6532 §3.1.
"""

import pytest

from letterlock.base.config.values import ListenAddress
from letterlock.base.domains import Domain, parse_domain
from letterlock.network.own_addresses import OwnAddresses
from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.services.queue.directory import LocalDirectory, local_mailboxes
from letterlock.services.receive.recipients import judge_recipient
from letterlock.services.redirect.tables import NO_TABLES

BOOKS = parse_domain("bücher.example")
HOST = Domain("mx.bücher.example".encode("idna").decode())
OWN = OwnAddresses([ListenAddress("192.0.2.1", 25), ListenAddress("2001:db8::1", 2525)])
DIRECTORY = LocalDirectory(
    HOST,
    frozenset({BOOKS}),
    local_mailboxes(["Grün", "info", "a.b", f"straße@{BOOKS}", "hostmaster"], [BOOKS]),
    "hostmaster",
    "+",
    OWN.has_literal,
)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("info@bücher.example", "info"),
        ("info@BÜCHER.EXAMPLE", "info"),
        ("info@xn--bcher-kva.example", "info"),
        ("INFO@bücher.example", "info"),
        ('"info"@bücher.example', "info"),
        ('"in\\fo"@bücher.example', "info"),
        ('"a.b"@bücher.example', "a.b"),
        ("grün@bücher.example", "grün"),
        ("GRU\u0308N@bücher.example", "grün"),
        ("STRASSE@bücher.example", None),
        ("straße@bücher.example", "straße"),
        ('"in fo"@bücher.example', None),
        ("info+tag@bücher.example", "info"),
        ('"info+a b"@bücher.example', "info"),
        ("postmaster@[192.0.2.1]", "hostmaster"),
        ("postmaster@[IPv6:2001:db8:0::1]", "hostmaster"),
        ("MAILER-DAEMON@mx.bücher.example", "hostmaster"),
        ("info@[192.0.2.1]", None),
    ],
)
def test_a_mailbox_is_found_however_it_is_written(address: str, name: str | None) -> None:
    mailbox = parse_mailbox(address)
    found = DIRECTORY.find_mailbox(mailbox)
    assert found == (None if name is None else (BOOKS, name))
    refused = judge_recipient(mailbox, DIRECTORY, NO_TABLES.current(), may_relay=False)
    assert (refused and refused.reply.status) == (None if name is not None else "5.1.1")


@pytest.mark.parametrize(
    "address",
    ["info@[192.0.2.9]", "postmaster@[IPv6:2001:db8::9]", '"info@bücher.example"@far.test'],
)
def test_what_is_elsewhere_is_not_ours(address: str) -> None:
    """RFC 5321 §3.6.2: no way around the decision by a strange form."""
    refused = judge_recipient(
        parse_mailbox(address), DIRECTORY, NO_TABLES.current(), may_relay=False
    )
    assert refused is not None
    assert refused.reply.status == "5.7.1"


@pytest.mark.parametrize("literal", ["[", "[]", "[x]", "[IPv6:x]", "[192.0.2.300]"])
def test_what_is_no_address_is_not_ours(literal: str) -> None:
    assert not OWN.has_literal(literal)
