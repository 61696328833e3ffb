"""The envelope with what its recipients come to: RFC 5321 §3.9.1, RFC 3461 §4.2."""

import pytest

from letterlock.protocols.smtp.envelope import Envelope, Notify, Recipient
from letterlock.protocols.tables.aliases import parse_aliases
from letterlock.protocols.tables.expansion import AddressTables
from letterlock.services.receive import redirected
from letterlock.services.receive.redirected import (
    Redirected,
    find_destinations,
    find_hindrance,
    redirect,
    redirect_if_known,
)
from letterlock.services.redirect.files import Unreadable
from letterlock.services.redirect.tables import NO_TABLES, Tables

ALIASES = "team: alice, bob@far.test\nself: self, bob@far.test\nloop: pool\npool: loop\nü: alice\n"


def tables() -> Tables:
    aliases = parse_aliases(ALIASES.encode(), "al")
    return Tables(AddressTables("x.test", {"x.test"}.__contains__, aliases=aliases))


def envelope(*recipients: str | Recipient) -> Envelope:
    everyone = (Recipient(each) if isinstance(each, str) else each for each in recipients)
    return Envelope("sender@far.test", tuple(everyone))


def followed(given: Envelope) -> Envelope:
    """Give the envelope with its aliases followed."""
    found = redirect(given, tables())
    assert isinstance(found, Redirected)
    return found.envelope


def test_the_first_recipient_goes_along_as_orcpt() -> None:
    found = followed(envelope("team@x.test"))
    assert found.recipients == (
        Recipient("alice@x.test", orcpt="rfc822;team@x.test"),
        Recipient("bob@far.test", orcpt="rfc822;team@x.test"),
    )
    assert find_destinations(found) == ("x.test", "far.test")


def test_what_was_asked_for_a_recipient_is_asked_for_each() -> None:
    asked = Recipient("team@x.test", frozenset({Notify.FAILURE}), "rfc822;first@else.test")
    found = followed(envelope(asked))
    assert {(each.notify, each.orcpt) for each in found.recipients} == {(asked.notify, asked.orcpt)}


N = Notify


@pytest.mark.parametrize(
    ("address", "asked", "passed_on", "is_reported"),
    [
        ("team@x.test", (N.SUCCESS,), {N.NEVER}, True),
        ("team@x.test", (N.SUCCESS, N.FAILURE), {N.FAILURE}, True),
        ("team@x.test", (N.FAILURE, N.DELAY), {N.FAILURE, N.DELAY}, False),
        ("team@x.test", (N.NEVER,), {N.NEVER}, False),
        ("team@x.test", (), set(), False),
        ("self@x.test", (N.SUCCESS, N.DELAY), {N.DELAY}, True),
        ("ü@x.test", (N.SUCCESS, N.DELAY), {N.SUCCESS, N.DELAY}, False),
        ("alice@x.test", (N.SUCCESS,), {N.SUCCESS}, False),
    ],
)
def test_success_of_several_is_reported_as_an_expansion(
    address: str, asked: tuple[Notify, ...], passed_on: set[Notify], is_reported: bool
) -> None:
    """RFC 3461 §5.2.7.2 (one address: passed on), §5.2.7.3 (c) (several: SUCCESS is not)."""
    recipient = Recipient(address, frozenset(asked))
    found = redirect(envelope(recipient), tables())
    assert isinstance(found, Redirected)
    assert {each.notify for each in found.envelope.recipients} == {frozenset(passed_on)}
    assert found.expanded == ((recipient,) if is_reported else ())


@pytest.mark.parametrize("is_alias_first", [True, False])
def test_what_is_asked_for_an_address_itself_counts(is_alias_first: bool) -> None:
    """RFC 3461 §5.2.3 (a): its own report of success is due."""
    success = frozenset({N.SUCCESS})
    both = [Recipient("team@x.test", success), Recipient("alice@x.test", success)]
    found = followed(envelope(*(both if is_alias_first else reversed(both))))
    assert {each.address: each.notify for each in found.recipients} == {
        "alice@x.test": success,
        "bob@far.test": frozenset({N.NEVER}),
    }


def test_an_address_that_stays_stays_as_it_was() -> None:
    found = followed(envelope("self@x.test", "alice@x.test", "bob@far.test"))
    assert found.recipients == (
        Recipient("self@x.test"),
        Recipient("bob@far.test"),
        Recipient("alice@x.test"),
    )


def test_an_address_outside_ascii_is_encoded() -> None:
    """RFC 6533 §3."""
    found = followed(envelope("ü+x@x.test"))
    assert found == envelope("ü+x@x.test")
    found = followed(envelope("ü@x.test"))
    assert found.recipients[0].orcpt == r"utf-8;\x{FC}@x.test"


def test_each_address_gets_it_once() -> None:
    found = followed(envelope("team@x.test", "alice@x.test", "self@x.test"))
    addresses = [each.address for each in found.recipients]
    assert addresses == ["alice@x.test", "bob@far.test", "self@x.test"]


def test_what_is_no_address_is_left_to_delivery() -> None:
    assert followed(envelope("broken@@x")) == envelope("broken@@x")


def test_without_aliases_nothing_is_made_anew() -> None:
    given = envelope("alice@x.test")
    found = redirect(given, NO_TABLES.current())
    assert isinstance(found, Redirected)
    assert found.envelope is given


def test_tables_that_cannot_tell_say_why() -> None:
    assert redirect(envelope("loop@x.test"), tables()) == (
        "aliases go in a circle: loop@x.test -> pool@x.test -> loop@x.test"
    )
    broken = Tables(tables().addresses, unreadable=Unreadable("/al: gone"))
    assert redirect(envelope("alice@x.test"), broken) == "/al: gone"


def test_what_keeps_us_from_following_an_address_is_said() -> None:
    broken = Tables(tables().addresses, unreadable=Unreadable("/al: gone"))
    assert find_hindrance("alice@x.test", broken) == "/al: gone"
    assert find_hindrance("loop@x.test", tables()) is not None
    assert find_hindrance("team@x.test", tables()) is None
    assert find_hindrance("", broken) is None


def test_messages_of_our_own_go_on_when_tables_cannot_tell() -> None:
    given = envelope("loop@x.test")
    assert redirect_if_known(given, tables()) is given
    assert redirect_if_known(envelope("team@x.test"), tables()) == followed(envelope("team@x.test"))


def test_a_message_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redirected, "MAX_RECIPIENTS", 1)
    reason = redirect(envelope("team@x.test"), tables())
    assert reason == "the recipients come to more than 1 addresses"
