"""What our own processes say to each other about answers: a packet each, dropped if it is none."""

import pytest

from letterlock.protocols.maps.messages import NOT_FOUND, Reply, Status
from letterlock.services.answer.answers import Answer
from letterlock.services.answer.questions import (
    MAX_PACKET_OCTETS,
    Question,
    format_answer,
    format_question,
    parse_answer,
    parse_question,
)


@pytest.mark.parametrize("reply", [Reply(Status.OK, 'secure match="é"\n'), NOT_FOUND])
def test_an_answer_is_taken_as_it_was_given(reply: Reply) -> None:
    packet = format_answer("[mx.example.com]:25", Answer(reply, "why", 1.5))
    assert parse_answer(packet) == ("[mx.example.com]:25", reply, 1.5)


@pytest.mark.parametrize("is_awaited", [True, False])
def test_a_question_is_taken_as_it_was_asked(is_awaited: bool) -> None:
    question = Question("bücher.example", is_awaited)
    assert parse_question(format_question(question)) == question


@pytest.mark.parametrize(
    "packet", [b"", b"a.example", b"[]", b'["a",1]', b'["a"]', b"[1,true]", b"\xff", b"[" * 5000]
)
def test_a_packet_that_is_no_question_is_dropped(packet: bytes) -> None:
    assert parse_question(packet) is None


def test_an_answer_that_is_longer_than_a_packet_becomes_a_failure() -> None:
    packet = format_answer("a.example", Answer(Reply(Status.OK, "x" * MAX_PACKET_OCTETS), "", 2))
    assert len(packet) <= MAX_PACKET_OCTETS
    assert parse_answer(packet) == (
        "a.example",
        Reply(Status.PERM, "the answer is too long"),
        2.0,
    )


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"{}",
        b'["a","OK","b"]',
        b'["a","YES","b",1]',
        b'["a","OK","b",true]',
        b'["a","OK","b",NaN]',
        b'["a","OK","b",1e999]',
        b'["a","OK","b",' + b"9" * 400 + b"]",
        rb'["a","OK","\ud800",1]',
        b"[" * 50_000,
        b"\xff",
    ],
)
def test_a_packet_that_is_no_answer_is_dropped(packet: bytes) -> None:
    assert parse_answer(packet) is None
