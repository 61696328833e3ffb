"""Texts and pages: what a client said is shown, and does nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.inbound.cases import Case, HostNames, Place
from letterlock.protocols.inbound.document import FAULTS, QUESTIONS, STATES, describe_result
from letterlock.protocols.inbound.facts import InboundTest, SessionSeen, TlsSeen
from letterlock.protocols.inbound.mail import Answering, format_answer, may_be_answered
from letterlock.protocols.inbound.texts import format_addresses, format_page, format_result
from letterlock.protocols.inbound.verdict import Outcome, Question

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAMES = HostNames(Domain("senders.example"))
HOSTILE = "<script>alert('x')</script>\r\nBcc: all\x00\u2028\u202e"


def document(*, page: str | None = "https://senders.example/inbound/x") -> dict[str, Any]:
    tls = TlsSeen("TLSv1.3", HOSTILE, "X25519", HOSTILE)
    sessions = (
        SessionSeen(
            "1", NOW, "192.0.2.1", Place.SHARED, HOSTILE, (Case.GOOD,), tls, delivered=(Case.GOOD,)
        ),
        SessionSeen("2", NOW, HOSTILE, Place.SHARED, HOSTILE, failure=HOSTILE, is_guessed=True),
        SessionSeen("3", NOW, "::1", Place.SHARED, "a", (Case.BAD_TLSA,), failure=HOSTILE),
        SessionSeen("4", NOW, "::1", Place.SHARED, "a", (Case.BAD_TLSA,), requiretls=True),
    )
    test = InboundTest(
        "x",
        NOW,
        NOW + timedelta(days=7),
        tuple(Case),
        report_to="secret@example.org",
        reported=NOW,
        sessions=sessions,
    )
    return describe_result(test, NAMES, page)


def test_every_outcome_question_and_case_has_its_words() -> None:
    assert set(STATES) == {each.value for each in Outcome}
    assert set(QUESTIONS) == {each.value for each in Question}
    assert set(FAULTS) == set(Case)


@pytest.mark.parametrize("page", [None, "https://senders.example/inbound/x"])
def test_lines_are_printable_and_bounded(page: str | None) -> None:
    """RFC 5322 §2.1.1"""
    lines = format_result(document(page=page))
    assert all(line.isprintable() and line.isascii() and len(line) < 998 for line in lines)
    assert any("left without saying which host" in line for line in lines)
    assert any("/inbound/x" in line for line in lines) is (page is not None)


@pytest.mark.parametrize("page", [None, "https://senders.example/inbound/x"])
def test_addresses_are_told_with_what_is_wrong_there(page: str | None) -> None:
    lines = format_addresses(document(page=page))
    assert len(lines) == 1 + len(Case) + (page is not None)
    assert lines[1].split() == ["x@good.senders.example", *FAULTS[Case.GOOD].split()]


def test_of_a_test_that_nobody_used_is_said_that() -> None:
    unused = InboundTest("x", NOW, NOW + timedelta(days=7), tuple(Case))
    lines = format_result(describe_result(unused, NAMES, None))
    assert sum("the sender did not come" in line for line in lines) >= len(Case)
    assert not any("left without saying" in line for line in lines)


def test_a_page_holds_text_only() -> None:
    page = format_page(document())
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "REQUIRETLS" in page
    assert "by its client only" in page


def test_who_wrote_is_nobodys_business() -> None:
    found = document()
    assert "secret" not in format_page(found) + "".join(format_result(found)) + repr(found)


def test_the_mail_says_that_a_program_answers() -> None:
    """RFC 3834 §3.1.7"""
    answering = Answering(
        "postmaster@example.org", "bob@example.net", Domain("mx.example.org"), NOW
    )
    head, _, body = format_answer(document(), answering).partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n"))
    assert fields[b"Auto-Submitted"] == b"auto-replied"
    assert fields[b"To"] == b"bob@example.net"
    assert b"Bcc" not in fields
    assert b"\n" not in body.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("bob@example.net", True),
        ("b.o-b+x@mx.example.net", True),
        ("", False),
        ("b\u00f6b@example.net", False),
        ('"bob smith"@example.net', False),
        ("bob@[192.0.2.1]", False),
        ("a,b@example.net", False),
        ("bob@example.net\r\nBcc: all@example.net", False),
    ],
)
def test_only_plain_addresses_are_answered(sender: str, *, expected: bool) -> None:
    assert may_be_answered(sender) is expected
