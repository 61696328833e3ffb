"""What is told of alerts: once, again after a silence, and when they are over."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.services.alert.conditions import Condition, Found, make_text
from letterlock.services.alert.deciding import MAX_OF_RULE, NODE_SILENT, decide, list_open
from letterlock.storage.alerts import Alert, AlertKey, Rule, Told, Turn
from tests.fakes import START, FakeClock

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SILENCE = 7 * DAY
KEY = AlertKey(Rule.SEVERE, "example.org", "tlsa-invalid mx.example.org")
FIRST_SEEN = AlertKey(Rule.FIRST_SEEN, "example.org", "sts validation-failure")
NODE_KEY = AlertKey(Rule.EXPIRY, "", "certificate mx.example.org", "node1")


def wrong(key: AlertKey = KEY, level: int = 0, *, may_begin: bool = True) -> Condition:
    return Condition(key, make_text("it fails", START, ["seen"], "mend it"), level, may_begin)


@dataclass
class Book:
    """What is kept, over many rounds."""

    node: str = "node1"
    clock: FakeClock = field(default_factory=FakeClock)
    alerts: tuple[Alert, ...] = ()

    def look(self, *conditions: Condition, **mended: str) -> list[tuple[Turn, AlertKey]]:
        return [(each.turn, each.key) for each in self.tell(*conditions, **mended)]

    def tell(self, *conditions: Condition, mended: str = "") -> tuple[Told, ...]:
        found = Found(conditions, {KEY: mended} if mended else {})
        self.alerts, told = decide(self.alerts, found, self.node, SILENCE, self.clock.now())
        return told


def test_an_alert_is_told_once_while_it_goes_on() -> None:
    """Rule 260."""
    book = Book()
    assert book.look(wrong()) == [(Turn.BEGAN, KEY)]
    for _ in range(20):
        book.clock.move(8 * HOUR)
        assert book.look(wrong()) == []
    assert [each.key for each in list_open(book.alerts)] == [KEY]
    assert book.alerts[0].began == START


def test_what_goes_on_is_told_again_after_the_silence_and_only_then() -> None:
    book = Book()
    book.look(wrong())
    book.clock.move(SILENCE - HOUR)
    assert book.look(wrong()) == []
    book.clock.move(HOUR)
    assert book.look(wrong()) == [(Turn.GOES_ON, KEY)]
    book.clock.move(SILENCE - HOUR)
    assert book.look(wrong()) == []


def test_that_it_is_over_is_told_once_with_the_proof() -> None:
    book = Book()
    book.look(wrong())
    book.clock.move(DAY)
    (told,) = book.tell(mended="x.example met the policy")
    assert (told.turn, told.key, told.note) == (Turn.ENDED, KEY, "x.example met the policy")
    assert list_open(book.alerts) == []
    assert book.look() == []


def test_an_end_without_proof_says_so() -> None:
    book = Book()
    book.look(wrong())
    (told,) = book.tell()
    assert told.note == "no report tells of it any more; none proves that it is mended"


def test_what_comes_and_goes_is_told_once_within_the_silence() -> None:
    book = Book()
    assert book.look(wrong()) == [(Turn.BEGAN, KEY)]
    assert book.look() == [(Turn.ENDED, KEY)]
    for _ in range(10):
        book.clock.move(HOUR)
        assert book.look(wrong()) == []
        assert list_open(book.alerts) != []
        book.clock.move(HOUR)
        assert book.look() == []


def test_what_came_again_silently_and_stays_is_told_when_the_silence_is_over() -> None:
    book = Book()
    book.look(wrong())
    book.look()
    book.clock.move(DAY)
    assert book.look(wrong()) == []
    book.clock.move(SILENCE - DAY)
    assert book.look(wrong()) == [(Turn.BEGAN, KEY)]
    assert book.look() == [(Turn.ENDED, KEY)]


def test_an_alert_that_is_over_is_forgotten_after_the_silence() -> None:
    book = Book()
    book.look(wrong())
    book.look()
    assert book.alerts != ()
    book.clock.move(SILENCE)
    book.look()
    assert book.alerts == ()
    assert book.look(wrong()) == [(Turn.BEGAN, KEY)]


def test_a_higher_level_is_told_at_once_and_a_lower_one_is_not() -> None:
    book = Book()
    assert book.look(wrong(level=1)) == [(Turn.BEGAN, KEY)]
    book.clock.move(HOUR)
    assert book.look(wrong(level=2)) == [(Turn.BEGAN, KEY)]
    book.clock.move(HOUR)
    assert book.look(wrong(level=1)) == []
    assert book.look(wrong(level=2)) == []
    assert book.look(wrong(level=3)) == [(Turn.BEGAN, KEY)]


def test_what_may_not_begin_keeps_an_alert_open_and_opens_none() -> None:
    """A5: after its first days a failure is not new, and not over either."""
    book = Book()
    assert book.look(wrong(FIRST_SEEN, may_begin=False)) == []
    assert book.look(wrong(FIRST_SEEN)) == [(Turn.BEGAN, FIRST_SEEN)]
    assert book.look(wrong(FIRST_SEEN, may_begin=False)) == []
    assert len(list_open(book.alerts)) == 1
    assert book.look() == [(Turn.ENDED, FIRST_SEEN)]
    assert book.look(wrong(FIRST_SEEN, may_begin=False)) == []
    assert list_open(book.alerts) == []


def test_what_only_another_node_sees_stays_until_that_has_not_looked_for_days() -> None:
    one, two = Book("node1"), Book("node2")
    assert one.look(wrong(NODE_KEY)) == [(Turn.BEGAN, NODE_KEY)]
    two.alerts = one.alerts
    assert two.look() == []
    two.clock.move(NODE_SILENT)
    assert two.look() == []
    two.clock.move(DAY)
    (told,) = two.tell()
    assert (told.turn, told.note) == (Turn.ENDED, "node1 has not looked since 2026-03-01")
    assert one.look() == [(Turn.ENDED, NODE_KEY)]


def test_nobody_can_have_any_number_of_alerts_told() -> None:
    """Rule 261: hosts and reasons are a stranger's words; other rules have their own room."""
    book = Book()
    junk = [wrong(AlertKey(Rule.SEVERE, "example.org", f"{n:04}")) for n in range(500)]
    assert len(book.look(*junk)) == MAX_OF_RULE
    assert book.look(*junk) == []
    other = AlertKey(Rule.SEVERE, "example.net", "x")
    rate = AlertKey(Rule.RATE, "example.org", "sts")
    assert book.look(*junk, wrong(other), wrong(rate)) == [(Turn.BEGAN, other), (Turn.BEGAN, rate)]


@pytest.mark.parametrize("back", [timedelta(minutes=1), 400 * DAY])
def test_a_clock_that_is_set_back_neither_repeats_nor_silences_for_long(back: timedelta) -> None:
    book = Book()
    book.look(wrong())
    book.clock.move(-back)
    assert book.look(wrong()) == []
    book.clock.move(SILENCE)
    assert book.look(wrong()) == [(Turn.GOES_ON, KEY)]


def test_a_clock_that_is_set_back_after_the_end_forgets_in_time() -> None:
    book = Book()
    book.look(wrong())
    book.look()
    book.clock.move(-400 * DAY)
    book.look()
    book.clock.move(SILENCE)
    book.look()
    assert book.alerts == ()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=60))
def test_whatever_happens_begin_and_end_alternate_and_repeats_are_rare(
    steps: list[tuple[bool, int]],
) -> None:
    """A restart is no step: all that is known is in what is kept."""
    book = Book()
    known, last = False, None
    for is_wrong, hours in steps:
        book.clock.move(hours * HOUR)
        now = book.clock.now()
        for turn, _ in book.look(*([wrong()] if is_wrong else [])):
            assert known is (turn is not Turn.BEGAN)
            if turn is not Turn.ENDED:
                assert last is None or now - last >= SILENCE
                last = now
            known = turn is not Turn.ENDED
        assert is_wrong is bool(list_open(book.alerts))
