"""Records of the audit log: what is written, and the digest that chains it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.audit.decisions import Decision, HaltLogged
from letterlock.protocols.audit.records import (
    START,
    AuditEntry,
    AuditRecord,
    DocumentError,
    append,
    append_all,
    compute_hash,
    count_microseconds,
    find_kind,
    hash_record,
    head_of,
    read_decision,
)
from tests.audit_entries import DECISIONS, NOW, make_log


def test_there_is_a_sample_of_each_kind() -> None:
    assert {type(each) for each in DECISIONS} == set(get_args(Decision))


@pytest.mark.parametrize("decision", DECISIONS, ids=find_kind)
def test_what_is_written_is_read_again(decision: Decision) -> None:
    record = append(START, AuditEntry(NOW, decision))
    assert read_decision(record.document) == decision
    assert (record.number, record.moment) == (1, NOW)
    assert (record.kind, record.subject) == (find_kind(decision), decision.subject)
    assert f'"kind":"{record.kind}"' in record.document


def test_a_document_has_one_form() -> None:
    """Its keys are in order, with nothing between them: the same decision is the same octets."""
    record = append(START, AuditEntry(NOW, HaltLogged(is_halted=True, why="fire", who="me")))
    assert record.document == '{"is_halted":true,"kind":"halt","who":"me","why":"fire"}'


def test_the_digest_stays_what_it_is_from_release_to_release() -> None:
    """A log of years is verified by the program of that day."""
    record = append(START, AuditEntry(NOW, HaltLogged(is_halted=True, why="fire", who="me")))
    assert record.hash.hex() == ("85947dfed1da4bd7bd00a8269fceee63d7d320e2fef339b0eab5813a03fcf3e3")


def test_a_moment_is_kept_to_the_microsecond_wherever_it_was_taken() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2026, 3, 1, 17, 30, 0, 123456, tzinfo=there)
    record = append(START, AuditEntry(moment, DECISIONS[0]))
    assert record.moment == moment
    assert record.moment.tzinfo is UTC
    with pytest.raises(ValueError, match="time zone"):
        count_microseconds(datetime(2026, 3, 1))  # noqa: DTZ001 - the fault that is looked for


def test_each_record_has_the_digest_of_the_one_before_in_its_own() -> None:
    first, second = append_all(START, [AuditEntry(NOW, each) for each in DECISIONS[:2]])
    assert second == append(head_of(first), AuditEntry(NOW, DECISIONS[1]))
    assert hash_record(START.hash, second) != second.hash
    assert hash_record(first.hash, second) == second.hash


FIELDS = st.sampled_from(["number", "microseconds", "kind", "subject", "document"])


@given(st.sampled_from(make_log()), FIELDS, st.text(max_size=5), st.integers(1, 9))
def test_whatever_changes_in_a_record_changes_its_digest(
    record: AuditRecord, field: str, text: str, more: int
) -> None:
    value = getattr(record, field)
    other: Any = value + more if isinstance(value, int) else value + (text or "x")
    changed = replace(record, **{field: other})
    assert hash_record(START.hash, changed) != hash_record(START.hash, record)


def test_what_moves_from_one_text_to_the_next_changes_the_digest() -> None:
    one = compute_hash(START.hash, 1, 1, ("ab", "c", "d"))
    assert one != compute_hash(START.hash, 1, 1, ("a", "bc", "d"))
    assert one != compute_hash(START.hash, 1, 1, ("ab", "", "cd"))


@pytest.mark.parametrize(
    "document", ["", "{}", '{"kind":"other"}', '{"kind":"halt"}', "[" * 5000, '"\ud800"']
)
def test_a_document_of_another_kind_is_said_to_be_one(document: str) -> None:
    with pytest.raises(DocumentError, match="not a document of the audit log"):
        read_decision(document)


def test_a_text_that_a_damaged_database_gave_has_a_digest_too() -> None:
    damaged = replace(make_log(1)[0], document="\ud800")
    assert hash_record(START.hash, damaged) != damaged.hash
