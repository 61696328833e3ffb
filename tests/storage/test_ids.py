"""Queue ids."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from letterlock.storage.ids import ALPHABET, EPOCH, QueueIds, find_time, is_queue_id
from tests.fakes import START, FakeClock

MOMENTS = st.integers(0, 87 * 365 * 86400 * 10**6).map(
    lambda us: EPOCH + timedelta(microseconds=us)
)


@given(MOMENTS, MOMENTS)
def test_their_order_is_the_order_of_time(first: datetime, second: datetime) -> None:
    ids = [QueueIds(FakeClock(moment)).make() for moment in (first, second)]
    if first != second:
        assert (ids[0] < ids[1]) == (first < second)
    assert find_time(ids[0]) == first


def test_those_of_one_process_are_ordered_though_the_clock_is_set_back() -> None:
    clock = FakeClock()
    ids = QueueIds(clock, lambda: 0.9999999999999999)
    made = [ids.make(), ids.make()]
    clock.set_wall(START - timedelta(days=1))
    made += [ids.make()]
    assert made == sorted(set(made))


def test_processes_differ_by_chance_within_a_microsecond() -> None:
    made = {QueueIds(FakeClock()).make() for _ in range(1000)}
    assert len(made) == 1000


def test_they_are_short_and_have_no_vowels() -> None:
    queue_id = QueueIds(FakeClock()).make()
    assert len(queue_id) == 15
    assert is_queue_id(queue_id)
    assert not set("aeiouAEIOU") & set(ALPHABET)
    assert list(ALPHABET) == sorted(set(ALPHABET))


def test_other_texts_are_none() -> None:
    for text in ("", "0" * 14, "0" * 16, "0" * 14 + "A", "../../../../../", "0" * 15 + "\n"):
        assert not is_queue_id(text)
        assert find_time(text) is None


@given(MOMENTS, st.floats(0, 1, exclude_max=True))
def test_any_moment_and_any_chance_has_its_own_digits(moment: datetime, chance: float) -> None:
    queue_id = QueueIds(FakeClock(moment), lambda: chance).make()
    assert is_queue_id(queue_id)
    number = 0
    for digit in queue_id[9:]:
        number = number * len(ALPHABET) + ALPHABET.index(digit)
    assert number == int(chance * len(ALPHABET) ** 6)


def test_those_made_one_after_the_other_differ_over_every_carry() -> None:
    clock = FakeClock()
    ids = QueueIds(clock, lambda: 0.0)
    start = (clock.now() - EPOCH) // timedelta(microseconds=1)
    made = []
    for step in (1, 51, 52, 53, 52**2, 52**3, 52**4 - 1, 52**4, 52**5):
        clock.set_wall(EPOCH + timedelta(microseconds=start + step))
        made.append(ids.make())
        assert find_time(made[-1]) == clock.now()
    assert made == sorted(set(made))
