"""Lines on their way: in order, bounded, and counted where they are lost."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.log_outbox import Outbox


class Slow:
    """A sink that takes as much as it is let."""

    fault = ""

    def __init__(self) -> None:
        self.room = 0
        self.lines: list[bytes] = []

    def take(self, records: Sequence[bytes]) -> int:
        taken = list(records[: self.room])
        self.room -= len(taken)
        self.lines += taken
        return len(taken)


def make(max_octets: int = 10) -> tuple[Outbox, Slow]:
    sink = Slow()
    return Outbox(sink, lambda count: b"lost %d" % count, max_octets), sink


def test_what_a_sink_does_not_take_waits_in_order() -> None:
    outbox, sink = make()
    for line in (b"1", b"2", b"3"):
        outbox.add(line)
    sink.room = 2
    assert not outbox.send()
    assert sink.lines == [b"1", b"2"]
    sink.room = 9
    assert outbox.send()
    assert sink.lines == [b"1", b"2", b"3"]


def test_lines_beyond_the_limit_are_lost_and_counted_in_their_place() -> None:
    outbox, sink = make(max_octets=4)
    for number in range(6):
        outbox.add(b"%d" % number)
    assert len(outbox) == 4
    sink.room = 9
    assert outbox.send()
    outbox.add(b"6")
    assert outbox.send()
    assert sink.lines == [b"0", b"1", b"2", b"3", b"lost 2", b"6"]


def test_half_must_be_gone_before_more_is_taken() -> None:
    """Else there would be a line about losses beside each that gets through."""
    outbox, sink = make(max_octets=4)
    for number in range(5):
        outbox.add(b"%d" % number)
    sink.room = 1
    outbox.send()
    outbox.add(b"5")
    assert outbox.lost == 2
    sink.room = 2
    outbox.send()
    outbox.add(b"6")
    sink.room = 9
    outbox.send()
    assert sink.lines == [b"0", b"1", b"2", b"3", b"lost 2", b"6"]


def test_what_another_process_waits_with_is_forgotten() -> None:
    outbox, sink = make()
    outbox.add(b"1")
    outbox.clear()
    sink.room = 9
    assert outbox.send()
    assert not sink.lines


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=60))
def test_every_line_comes_in_order_or_is_counted(steps: list[int | None]) -> None:
    """None: a line is written; a number: the sink takes so many."""
    outbox, sink = make(max_octets=12)
    written = 0
    for step in steps:
        if step is None:
            outbox.add(b"%03d" % written)
            written += 1
        else:
            sink.room = step
            outbox.send()
    sink.room = 1000
    assert outbox.send()
    told = [line for line in sink.lines if line.startswith(b"lost")]
    kept = [line for line in sink.lines if not line.startswith(b"lost")]
    assert kept == sorted(kept)
    assert len(kept) + sum(int(line.split()[1]) for line in told) == written
