"""Dovecot's authentication protocol."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.sasl.dovecot import (
    MAX_LINE_OCTETS,
    MAX_LINES,
    Accepted,
    Answer,
    Denied,
    DovecotReader,
    Greeted,
    NotAnswered,
    format_hello,
    format_question,
)

GREETING = (
    b"VERSION\t1\t2",
    b"MECH\tLOGIN\tplaintext",
    b"MECH\tPLAIN\tplaintext",
    b"SPID\t4711",
    b"CUID\t1",
    b"COOKIE\t0123456789abcdef",
    b"DONE",
)


def greeted() -> DovecotReader:
    reader = DovecotReader()
    assert [reader.receive(line) for line in GREETING] == [None] * 6 + [Greeted()]
    return reader


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"OK\t1\tuser=alice@example.org", Accepted("alice@example.org")),
        (b"OK\t1\tnologin\tuser=a\x01tb\x011c\x010\tproxy", Accepted("a\tb\x01c\0")),
        (b"OK\t1", NotAnswered("it names no account")),
        (b"OK\t1\tuser=\xff", NotAnswered("it names no account")),
        (b"FAIL\t1\tuser=alice", Denied()),
        (b"FAIL\t1\tuser=alice\tuser_disabled", Denied()),
        (b"FAIL\t1", Denied()),
        (b"FAIL\t1\tuser=alice\ttemp", NotAnswered("it failed for now: see Dovecot's log")),
        (b"FAIL\t1\tcode=temp_fail", NotAnswered("it failed for now: see Dovecot's log")),
        (b"CONT\t1\tAAAA", NotAnswered("it asks again where nothing is left to say")),
        (b"OK\t2\tuser=eve", None),
        (b"OK", None),
        (b"NEW\t1\tuser=eve", None),
        (b"", None),
    ],
)
def test_an_answer_is_read(line: bytes, answer: Answer | None) -> None:
    assert greeted().receive(line) == answer


@pytest.mark.parametrize(
    "greeting",
    [
        [b"VERSION\t2\t0"],
        [b"VERSION"],
        [b"VERSION\t1\t2", b"DONE"],
        [b"MECH\tPLAIN", b"DONE"],
        [b"VERSION\t1\t2", b"MECH\tCRAM-MD5\tdictionary", b"DONE"],
        [b"x" * (MAX_LINE_OCTETS + 1)],
        [b"MECH\tPLAIN"] * (MAX_LINES + 1),
    ],
)
def test_a_service_that_is_of_no_use_is_told_so(greeting: list[bytes]) -> None:
    reader = DovecotReader()
    *before, last = [reader.receive(line) for line in greeting]
    assert before == [None] * len(before)
    assert isinstance(last, NotAnswered)


def test_no_answer_counts_before_the_greeting() -> None:
    assert DovecotReader().receive(b"OK\t1\tuser=eve") is None


def test_a_question_is_one_line() -> None:
    assert format_hello(7) == b"VERSION\t1\t2\nCPID\t7\n"
    line = format_question("alice", "se cret", "2001:db8::1")
    start, _, response = line.partition(b"\tresp=")
    assert start == b"AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip=2001:db8::1"
    assert base64.b64decode(response) == b"\0alice\0se cret"


@given(*[st.text(st.characters(codec="utf-8"))] * 2)
def test_nothing_in_a_name_or_password_ends_the_line(name: str, password: str) -> None:
    line = format_question(name, password, "192.0.2.1")
    assert line.count(b"\n") == 1
    assert line.count(b"\t") == 6
