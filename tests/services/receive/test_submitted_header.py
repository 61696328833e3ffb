"""The header section of a message that is submitted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.header_section import MAX_HEADER_OCTETS
from letterlock.protocols.smtp.replies import Reply
from letterlock.services.receive.submitted_header import (
    find_foreign_author,
    format_missing,
    read_submitted_header,
)
from tests.fakes import START

OWN = frozenset({"alice@example.org", "@example.com"})
FROM = b"From: alice@example.org\r\n"


def judge(header: bytes) -> str:
    """Give the refusal's text, or "" for none."""
    fields = read_submitted_header(header + b"\r\nbody\r\n")
    refusal = fields if isinstance(fields, Reply) else find_foreign_author(fields, OWN)
    return "" if refusal is None else refusal.text


@pytest.mark.parametrize(
    "header",
    [
        FROM,
        b"FROM :Alice <ALICE@example.org>\r\n",
        b'From: "bob@example.org" <alice@example.org>\r\n',
        b"From: Alice@example.org <alice@example.org>\r\n",
        b"From: Alice @ her desk <alice@example.org>\r\n",
        b"From: =?utf-8?q?bob=40example=2Eorg?= <alice@example.org> (bob@example.org)\r\n",
        b"From: alice@example.org,\r\n anybody@example.com\r\nSender: alice@example.org\r\n",
        "From: Ålice <alice@example.org>\r\n".encode(),
        b"From: \xff <alice@example.org>\r\n",
        b"Reply-To: bob@example.org\r\n" + FROM,
    ],
)
def test_who_sends_as_himself_is_let_through(header: bytes) -> None:
    """RFC 5322 §3.4: what stands beside an address is nobody's."""
    assert judge(header) == ""


@pytest.mark.parametrize(
    ("header", "refusal"),
    [
        (b"From: bob@example.org\r\n", "550 5.7.1 Message refused: the From address is not yours"),
        (b"From: alice@example.org <bob@example.org>\r\n", "550 5.7.1"),
        (b"From: alice@example.org, <bob@example.org>\r\n", "550 5.7.1"),
        (b"From: bob@example.org <alice@example.org>\r\n", "550 5.7.1"),
        (b"From: friends: alice@example.org, bob@example.org;\r\n", "550 5.7.1"),
        (b"From: <@example.org:bob@example.org>\r\n", "550 5.7.1"),
        (FROM + b"Sender: bob@example.org\r\n", "550 5.7.1 Message refused: the Sender address"),
        (b"From: undisclosed:;\r\n", "554 5.6.0 Message refused: the From field names nobody"),
        (b"From: alice\r\n", "554 5.6.0 Message refused: the From field has no address"),
        (b"From: alice@example.org bob@example.org\r\n", "554 5.6.0"),
        (b"From: alice@example.org\xff\r\n", "554 5.6.0"),
        (b"Subject: hi\r\n", "554 5.6.0 Message refused: no From field"),
        (FROM + FROM, "554 5.6.0 Message refused: more than one From field"),
        (FROM + b"from : bob@example.org\r\n", "554 5.6.0"),
        (b"From : bob@example.org\r\n" + FROM, "554 5.6.0 Message refused: more than one From"),
        (b"From : bob@example.org\r\n", "550 5.7.1"),
        (FROM + b"Date: x\r\nDate: y\r\n", "554 5.6.0 Message refused: more than one Date field"),
        (FROM + b"no field\r\n", "554 5.6.0 Message refused: the header section has a line that"),
        (b" folded\r\n" + FROM, "554 5.6.0"),
        (FROM + b"X: a\r\n" * (MAX_HEADER_OCTETS // 6), "552 5.3.4"),
    ],
)
def test_what_is_anothers_or_can_be_read_in_two_ways_is_refused(
    header: bytes, refusal: str
) -> None:
    """RFC 6409 §6.1, RFC 5322 §3.6."""
    assert judge(header).startswith(refusal), judge(header)


def test_what_is_missing_is_made() -> None:
    """RFC 6409 §8.2, §8.3."""
    fields = read_submitted_header(FROM)
    assert not isinstance(fields, Reply)
    assert format_missing(fields, "ABC", "mx.example.org", START) == (
        b"Date: Sun, 01 Mar 2026 12:00:00 +0000\r\n"
        b"Message-ID: <20260301120000.ABC@mx.example.org>\r\n"
    )
    fields = read_submitted_header(b"date: x\r\nMESSAGE-ID: <a@b>\r\n" + FROM)
    assert not isinstance(fields, Reply)
    assert format_missing(fields, "ABC", "mx.example.org", START) == b""


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_any_octets_are_fields_or_a_refusal(octets: bytes) -> None:
    fields = read_submitted_header(octets)
    if isinstance(fields, Reply):
        assert fields.is_permanent
        return
    assert octets.startswith(b"".join(lines for _, lines in fields))
    refusal = find_foreign_author(fields, OWN)
    assert refusal is None or refusal.is_permanent
