"""The envelope with what its recipients come to: RFC 5321 §3.9.1, RFC 3461 §4.2."""

import pytest

from letterlock.protocols.smtp.envelope import Envelope, Notify, Recipient
from letterlock.protocols.tables.aliases import parse_aliases
from letterlock.protocols.tables.expansion import AddressTables
from letterlock.services.receive import redirected
from letterlock.services.receive.redirected import find_destinations, redirect, redirect_if_known
from letterlock.services.redirect.files import Unreadable
from letterlock.services.redirect.tables import NO_TABLES, Tables

ALIASES = "team: alice, bob@far.test\nself: self, bob@far.test\nloop: pool\npool: loop\nü: alice\n"


def tables() -> Tables:
    aliases = parse_aliases(ALIASES.encode(), "al")
    return Tables(AddressTables("x.test", {"x.test"}.__contains__, aliases=aliases))


def envelope(*recipients: str | Recipient) -> Envelope:
    everyone = (Recipient(each) if isinstance(each, str) else each for each in recipients)
    return Envelope("sender@far.test", tuple(everyone))


def test_the_first_recipient_goes_along_as_orcpt() -> None:
    found = redirect(envelope("team@x.test"), tables())
    assert isinstance(found, Envelope)
    assert found.recipients == (
        Recipient("alice@x.test", orcpt="rfc822;team@x.test"),
        Recipient("bob@far.test", orcpt="rfc822;team@x.test"),
    )
    assert find_destinations(found) == ("x.test", "far.test")


def test_what_was_asked_for_a_recipient_is_asked_for_each() -> None:
    asked = Recipient("team@x.test", frozenset({Notify.FAILURE}), "rfc822;first@else.test")
    found = redirect(envelope(asked), tables())
    assert isinstance(found, Envelope)
    assert {(each.notify, each.orcpt) for each in found.recipients} == {(asked.notify, asked.orcpt)}


def test_an_address_that_stays_stays_as_it_was() -> None:
    found = redirect(envelope("self@x.test", "alice@x.test", "bob@far.test"), tables())
    assert isinstance(found, Envelope)
    assert found.recipients == (
        Recipient("self@x.test"),
        Recipient("bob@far.test", orcpt="rfc822;self@x.test"),
        Recipient("alice@x.test"),
    )


def test_an_address_outside_ascii_is_encoded() -> None:
    """RFC 6533 §3."""
    found = redirect(envelope("ü+x@x.test"), tables())
    assert found == envelope("ü+x@x.test")
    found = redirect(envelope("ü@x.test"), tables())
    assert isinstance(found, Envelope)
    assert found.recipients[0].orcpt == r"utf-8;\x{FC}@x.test"


def test_each_address_gets_it_once() -> None:
    found = redirect(envelope("team@x.test", "alice@x.test", "self@x.test"), tables())
    assert isinstance(found, Envelope)
    addresses = [each.address for each in found.recipients]
    assert addresses == ["alice@x.test", "bob@far.test", "self@x.test"]


def test_what_is_no_address_is_left_to_delivery() -> None:
    assert redirect(envelope("broken@@x"), tables()) == envelope("broken@@x")


def test_without_aliases_nothing_is_made_anew() -> None:
    given = envelope("alice@x.test")
    assert redirect(given, NO_TABLES.current()) is given


def test_tables_that_cannot_tell_say_why() -> None:
    assert redirect(envelope("loop@x.test"), tables()) == (
        "aliases go in a circle: loop@x.test -> pool@x.test -> loop@x.test"
    )
    broken = Tables(tables().addresses, unreadable=Unreadable("/al: gone"))
    assert redirect(envelope("alice@x.test"), broken) == "/al: gone"


def test_messages_of_our_own_go_on_when_tables_cannot_tell() -> None:
    given = envelope("loop@x.test")
    assert redirect_if_known(given, tables()) is given
    assert redirect_if_known(envelope("team@x.test"), tables()) == redirect(
        envelope("team@x.test"), tables()
    )


def test_a_message_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redirected, "MAX_RECIPIENTS", 1)
    reason = redirect(envelope("team@x.test"), tables())
    assert reason == "the recipients come to more than 1 addresses"
