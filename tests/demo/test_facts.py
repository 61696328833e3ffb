"""What the demo reads of what happened: its claims are no better than this."""

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.demo.facts import (
    Attempt,
    count_hops,
    describe_answer,
    find_last_hop,
    read_trace,
)
from letterlock.protocols.dns.answers import Answer, Existence, MxRecord, Security, TlsaRecord
from letterlock.storage.queue import AttemptRecord
from tests.fakes import START


def attempt(dialogue: Sequence[str]) -> Attempt:
    story = {"dialogue": list(dialogue)}
    return Attempt(AttemptRecord(START, timedelta(), "relay", "summary", story))


@pytest.mark.parametrize(
    ("dialogue", "is_judged_before", "sent"),
    [
        (["< 220", "> STARTTLS", "! TLS: good", "> MAIL FROM:<>", "> RCPT"], True, 2),
        (["< 220", "> STARTTLS", "! TLS: bad", "> QUIT"], True, 0),
        (["< 220", "> MAIL FROM:<>", "! TLS: too late"], False, 2),
        (["< 220", "> MAIL FROM:<>"], False, 1),
        ([], False, 0),
    ],
)
def test_what_was_said_before_mail(
    dialogue: list[str], *, is_judged_before: bool, sent: int
) -> None:
    made = attempt(dialogue)
    assert made.is_judged_before_mail is is_judged_before
    assert len(made.said_from_mail) == sent


def test_an_attempt_that_came_to_nothing_is_empty() -> None:
    story = {"requirement": None, "handshake": None, "verdict": None}
    made = Attempt(AttemptRecord(START, timedelta(), "none", "no route", story))
    assert not made.requirement
    assert not made.handshake
    assert not made.verdict
    assert not made.leaf


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            Answer(
                Domain("a.example"),
                "MX",
                Security.SECURE,
                Existence.RECORDS,
                (MxRecord(10, Domain("mx.a.example")), MxRecord(20, Domain("mx2.a.example"))),
            ),
            "MX a.example: 10 mx.a.example, 20 mx2.a.example (secure)",
        ),
        (
            Answer(
                Domain("a.example"),
                "A",
                Security.INSECURE,
                Existence.RECORDS,
                (IPv4Address("192.0.2.1"),),
            ),
            "A a.example: 192.0.2.1 (insecure)",
        ),
        (
            Answer(Domain("a.example"), "A", Security.INSECURE, Existence.NXDOMAIN),
            "A a.example: nxdomain (insecure)",
        ),
        (
            Answer(Domain("a.example"), "A", Security.FAILED, reason="no answer in time"),
            "A a.example: no answer in time (failed)",
        ),
        (
            Answer(
                Domain("_25._tcp.mx.a.example"),
                "TLSA",
                Security.SECURE,
                Existence.RECORDS,
                (TlsaRecord(3, 1, 1, bytes(range(32))), TlsaRecord(2, 0, 0, b"whole")),
            ),
            "TLSA _25._tcp.mx.a.example: 3 1 1 00010203..., 2 0 0 77686f6c65 (secure)",
        ),
        (
            Answer(
                Domain("_mta-sts.a.example"),
                "TXT",
                Security.INSECURE,
                Existence.RECORDS,
                (b"v=STSv1; id=1",),
            ),
            "TXT _mta-sts.a.example: v=STSv1; id=1 (insecure)",
        ),
    ],
)
def test_answers_in_words(answer: Answer, text: str) -> None:
    assert describe_answer(answer) == text


def test_only_the_servers_own_lines_are_read(tmp_path: Path) -> None:
    """RFC 5321 §4.4: what the message itself says of its way counts for nothing."""
    message = tmp_path / "message"
    message.write_bytes(
        b"Return-Path: <a@example.org>\nReceived: from a\n\tby b with ESMTPS id 1\n"
        b"Received: from c\n\tby a with ESMTP id 2\nSubject: x\n"
        b"Received: by d with ESMTPS id 3\n\nReceived: by e with ESMTPS id 4\n"
    )
    trace = read_trace(message)
    assert len(trace) == 5
    assert count_hops(trace) == (1, 2)
    assert find_last_hop(trace) == "Received: from a by b with ESMTPS id 1"


def test_a_message_without_trace_has_no_hops(tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.write_bytes(b"Subject: x\n\nwith ESMTPS \n")
    assert count_hops(read_trace(message)) == (0, 0)
    assert find_last_hop(read_trace(message)) == ""
