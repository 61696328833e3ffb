"""The domains and mailboxes that are ours."""

from dataclasses import replace

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.services.queue.directory import LocalDirectory, local_mailboxes

ORG, NET = Domain("example.org"), Domain("example.net")
DIRECTORY = LocalDirectory(
    Domain("mx.example.org"),
    frozenset({ORG, NET}),
    local_mailboxes(["alice", "Bob@example.net", "hostmaster"], [ORG, NET]),
    "hostmaster",
)


@pytest.mark.parametrize(
    ("address", "home"),
    [
        ("alice@example.org", (ORG, "alice")),
        ("ALICE@example.net", (NET, "alice")),
        ("bob@example.net", (NET, "bob")),
        ("bob@example.org", None),
        ("postmaster@example.net", (NET, "hostmaster")),
        ("Abuse@example.org", (ORG, "hostmaster")),
        ("postmaster@mx.example.org", (NET, "hostmaster")),
        ("MAILER-DAEMON@mx.example.org", (NET, "hostmaster")),
        ("alice@mx.example.org", None),
        ("alice@elsewhere.example", None),
        ("postmaster@elsewhere.example", None),
    ],
)
def test_where_an_address_of_ours_goes(address: str, home: tuple[Domain, str] | None) -> None:
    """RFC 5321 §4.5.1, RFC 2142 §4: always there. RFC 3464 §2: so is who writes notifications."""
    assert DIRECTORY.find_mailbox(parse_mailbox(address)) == home


@pytest.mark.parametrize("address", ["postmaster@example.org", "abuse@mx.example.org"])
def test_a_postmaster_of_one_domain_is_postmaster_of_all(address: str) -> None:
    """The mailbox is where it was said to be: one of that name elsewhere belongs to nobody."""
    directory = replace(DIRECTORY, postmaster="bob@example.net")
    assert directory.find_mailbox(parse_mailbox(address)) == (NET, "bob")


@pytest.mark.parametrize(
    ("address", "is_local"),
    [("x@example.org", True), ("x@mx.example.org", True), ("x@sub.example.org", False)],
)
def test_what_is_local(address: str, is_local: bool) -> None:
    assert DIRECTORY.is_local(parse_mailbox(address)) is is_local


def test_a_name_without_at_is_a_mailbox_in_each_domain() -> None:
    assert local_mailboxes(["Alice", "bob@example.net"], [ORG, NET]) == {
        "alice@example.org",
        "alice@example.net",
        "bob@example.net",
    }
