"""What was counted is counted after any end of the process, once."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.protocols.tlsrpt.datagram import parse_datagram
from letterlock.services.collect.aggregate import DayCounts
from letterlock.services.collect.journal import (
    Batch,
    Journal,
    list_finished,
    list_finished_days,
    load_day,
)
from letterlock.storage.day_files import DamagedCounts, DayFiles
from tests.protocols.tlsrpt.datagrams import DATAGRAMS, make_datagram

DAY = date(2026, 3, 1)
SOME = [text.encode() for text in DATAGRAMS]


def test_what_was_counted_is_there_again(tmp_path: Path) -> None:
    """Rule 244."""
    files = DayFiles(tmp_path)
    journal = Journal(files, DAY)
    journal.count(Batch({SOME[0]: 2, SOME[1]: 1}, refused=3, dropped=4))
    journal.count(Batch({SOME[1]: 1}))
    # No close: as a kill leaves it.
    again = load_day(files, DAY)
    assert (again.sessions, again.refused, again.dropped) == (4, 3, 4)
    assert list(again.list_results()) == list(journal.counts.list_results())
    journal.close()


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(["count", "add up", "start anew"]), max_size=12))
def test_adding_up_and_starting_anew_change_no_count(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """Rule 244."""
    files = DayFiles(tmp_path_factory.mktemp("days"))
    expected, journal = DayCounts(), Journal(files, DAY)
    for number, step in enumerate(steps):
        if step == "count":
            octets = SOME[number % len(SOME)]
            journal.count(Batch({octets: number + 1}, refused=1))
            expected.add(parse_datagram(octets), number + 1)
            expected.refused += 1
        elif step == "add up":
            journal.add_up()
        else:
            journal.close()
            journal = Journal(files, DAY)
        for counts in (journal.counts, load_day(files, DAY)):
            assert (counts.sessions, counts.refused) == (expected.sessions, expected.refused)
            assert list(counts.list_results()) == list(expected.list_results())
    journal.close()


def test_a_journal_is_added_up_when_it_is_long(tmp_path: Path) -> None:
    journal = Journal(DayFiles(tmp_path), DAY, journal_octets=2000)
    sizes = []
    pauses: list[int] = []
    journal._pause = lambda: pauses.append(1)
    for number in range(600):
        journal.count(Batch({make_datagram(f"a{number}.example"): 1}))
        if journal.is_long:
            journal.add_up()
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    # No longer than twice what there is to be kept.
    assert sizes[-1] < 2 * 600 * 250
    assert pauses
    assert len(load_day(DayFiles(tmp_path), DAY).list_domains()) == 600
    journal.close()


def test_days_that_are_over_are_there_to_be_reported(tmp_path: Path) -> None:
    """RFC 8460 §4.1; rule 243: until they are forgotten, the oldest first."""
    files = DayFiles(tmp_path)
    for day in (3, 1, 2):
        journal = Journal(files, date(2026, 3, day))
        for name in ("b", "a"):
            journal.count(Batch({make_datagram(f"{name}.example"): day}))
        journal.close()
    today = date(2026, 3, 3)
    found = [
        (day.day, each.domain, each.policies[0].successful)
        for day, each in list_finished(files, today)
    ]
    assert found == [
        (1, "a.example", 1),
        (1, "b.example", 1),
        (2, "a.example", 2),
        (2, "b.example", 2),
    ]
    files.remove(date(2026, 3, 1))
    assert list_finished_days(files, today) == [date(2026, 3, 2)]


def test_what_another_release_took_and_we_do_not_is_refused(tmp_path: Path) -> None:
    files = DayFiles(tmp_path)
    journal = Journal(files, DAY)
    journal.count(Batch({b"no datagram": 2, SOME[0]: 1}))
    journal.close()
    counts = load_day(files, DAY)
    assert (counts.sessions, counts.refused) == (1, 2)


def test_records_in_another_form_are_told_of(tmp_path: Path) -> None:
    _, journal = DayFiles(tmp_path).open_day(DAY)
    journal.append(b"something else")
    journal.close()
    with pytest.raises(DamagedCounts, match="not known here"):
        load_day(DayFiles(tmp_path), DAY)
