"""Any edit of a log is seen, and the record is named."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.audit.records import (
    START,
    AuditEntry,
    AuditRecord,
    append,
    append_all,
    hash_record,
    head_of,
)
from letterlock.protocols.audit.verifying import Break, ChainVerifier, find_breaks
from tests.audit_entries import DECISIONS, NOW, make_log

LOG = make_log(24)
PLACES = st.integers(0, len(LOG) - 1)
FIELDS = st.sampled_from(["microseconds", "kind", "subject", "document", "hash"])


def numbers(found: list[Break]) -> list[int]:
    return [each.number for each in found]


def find(records: list[AuditRecord]) -> list[Break]:
    """Verify against the head that was signed last."""
    return list(find_breaks(records, START, [head_of(LOG[-1])]))


def change(record: AuditRecord, field: str) -> AuditRecord:
    value = getattr(record, field)
    other: Any = value + 1 if isinstance(value, int) else None
    if isinstance(value, str):
        other = f"{value} "
    if isinstance(value, bytes):
        other = bytes([value[0] ^ 1]) + value[1:]
    return replace(record, **{field: other})


def test_a_log_as_it_was_written_has_no_break() -> None:
    assert find(LOG) == []
    assert list(find_breaks([])) == []
    reader = ChainVerifier()
    for record in LOG:
        assert reader.receive(record) == ()
    assert reader.finish() == ()
    assert reader.head == head_of(LOG[-1])


@given(PLACES)
def test_a_part_is_verified_from_the_head_before_it(at: int) -> None:
    before = START if at == 0 else head_of(LOG[at - 1])
    assert list(find_breaks(LOG[at:], before)) == []


@given(PLACES, FIELDS)
def test_a_record_that_was_changed_is_named(at: int, field: str) -> None:
    log = list(LOG)
    log[at] = change(log[at], field)
    assert at + 1 in numbers(find(log))
    # Where its digest is the one that was changed, the next does not follow it.
    assert set(numbers(find(log))) <= {at + 1, at + 2}


@given(PLACES, st.sampled_from(["microseconds", "kind", "subject", "document"]))
def test_a_changed_record_with_a_new_digest_breaks_the_chain_behind_it(at: int, field: str) -> None:
    log = list(LOG)
    changed = change(log[at], field)
    before = START.hash if at == 0 else log[at - 1].hash
    log[at] = replace(changed, hash=hash_record(before, changed))
    # The last one has nothing behind it but the head that was signed.
    assert numbers(find(log)) == [min(at + 2, len(LOG))]


@given(PLACES, st.integers(1, 5))
def test_records_that_were_removed_are_named(at: int, count: int) -> None:
    log = LOG[:at] + LOG[at + count :]
    found = find(log)
    assert found[0].number == at + 1
    assert "missing" in found[0].reason


@given(PLACES, PLACES)
def test_records_that_were_swapped_are_named(one: int, other: int) -> None:
    log = list(LOG)
    log[one], log[other] = log[other], log[one]
    assert (find(log) == []) is (one == other)
    if one != other:
        # With their numbers changed to those of their places they are no better.
        renumbered = [replace(each, number=number) for number, each in enumerate(log, 1)]
        assert {one + 1, other + 1} <= set(numbers(find(renumbered)))


@given(PLACES, st.booleans())
def test_a_record_that_was_put_in_is_named(at: int, is_chained: bool) -> None:
    before = START if at == 0 else head_of(LOG[at - 1])
    put = append(before, AuditEntry(NOW, DECISIONS[3]))
    if not is_chained:
        put = replace(put, hash=bytes(32))
    found = find([*LOG[:at], put, *LOG[at:]])
    assert at + 1 in numbers(found)
    moved = [replace(each, number=each.number + 1) for each in LOG[at:]]
    assert find([*LOG[:at], put, *moved])


@given(st.integers(0, len(LOG) - 1))
def test_what_is_cut_off_at_the_end_is_seen_against_a_signed_head(length: int) -> None:
    cut = LOG[:length]
    assert list(find_breaks(cut)) == []
    (found,) = find(cut)
    assert found.number == length + 1
    assert "cut off" in found.reason


@given(PLACES)
def test_a_log_that_was_written_anew_is_seen_against_a_signed_head(at: int) -> None:
    before = START if at == 0 else head_of(LOG[at - 1])
    entries = [AuditEntry(NOW, DECISIONS[0]) for _ in LOG[at:]]
    anew = [*LOG[:at], *append_all(before, entries)]
    assert list(find_breaks(anew)) == []
    (found,) = find(anew)
    assert found.number == len(LOG)
    assert "anew" in str(found)


EDITS = st.lists(
    st.tuples(st.sampled_from(["change", "remove", "swap", "double"]), PLACES, PLACES), min_size=1
)


@given(EDITS)
def test_no_edit_of_a_log_goes_unseen(edits: list[tuple[str, int, int]]) -> None:
    """BR 5.4.1; rule 252"""
    log = list(LOG)
    for kind, one, other in edits:
        at, to = one % len(log), other % len(log)
        if kind == "change":
            log[at] = change(log[at], "document")
        elif kind == "remove" and len(log) > 1:
            del log[at]
        elif kind == "swap":
            log[at], log[to] = log[to], log[at]
        elif kind == "double":
            log.insert(to, log[at])
    assert (find(log) == []) is (log == LOG)


def test_a_gap_is_told_as_one() -> None:
    (one,) = find_breaks([LOG[0], LOG[2]])
    assert str(one).startswith("record 2: it is missing")
    (several,) = find_breaks([LOG[0], LOG[5]])
    assert str(several) == "record 2: it is missing, and all up to 5"
