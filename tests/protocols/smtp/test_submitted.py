"""The header section of a new message is made complete: RFC 5322 §3.6, RFC 2047 §5."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.header_section import split_header
from letterlock.protocols.smtp.submitted import Submission, complete_header, format_author

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SUBMISSION = Submission("al@x.example", "Al", NOW, "mx.x.example", "x.example", "abc")
FROM = b"From: Al <al@x.example>\r\n"
DATE = b"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
ID = b"Message-ID: <20261122100000.abc@mx.x.example>\r\n"


def _complete(text: bytes) -> bytes:
    return complete_header(split_header(text)[0], SUBMISSION)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", FROM + DATE + ID),
        (b"Subject: x\r\n\r\n", b"Subject: x\r\n" + FROM + DATE + ID),
        (b"Subject: x", b"Subject: x\r\n" + FROM + DATE + ID),
        (b"DATE: d\r\nfrom : b@c\r\n", b"DATE: d\r\nfrom : b@c\r\n" + ID),
        (b"Message-Id: <a@b>\r\n", b"Message-Id: <a@b>\r\n" + FROM + DATE),
    ],
)
def test_from_date_and_message_id_are_added_where_they_are_missing(
    text: bytes, expected: bytes
) -> None:
    """RFC 5322 §3.6.1, §3.6.2, §3.6.4; RFC 6409 §8."""
    assert _complete(text) == expected


def test_of_a_message_that_is_sent_on_the_resent_fields_are_completed() -> None:
    """RFC 5322 §3.6.6: the fields that it had stay as they are."""
    lines = b"Resent-To: b@c\r\nFrom: d@e\r\n"
    added = FROM + DATE + ID
    resent = added.replace(b"From:", b"Resent-From:").replace(b"Date:", b"Resent-Date:")
    assert _complete(lines) == lines + resent.replace(b"Message-ID:", b"Resent-Message-ID:")


def test_what_others_must_not_see_is_dropped() -> None:
    """RFC 5322 §3.6.3 (Bcc), RFC 5321 §4.4 (Return-Path)."""
    text = b"Bcc: a@b,\r\n c@d\r\nReturn-Path: <x@y>\r\nContent-Length: 3\r\nX: y\r\n"
    assert _complete(text) == b"X: y\r\n" + FROM + DATE + ID
    assert b"Bcc" not in _complete(b"Resent-To: a@b\r\nResent-Bcc: c@d\r\n")


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"To: root\r\n", b"To: root@x.example\r\n"),
        (b"To: a@b,\r\n\troot (Adm)\r\n", b"To: a@b,\r\n\troot@x.example (Adm)\r\n"),
        (b"Cc: Al <al>, g: h;\r\n", b"Cc: Al <al@x.example>, g: h@x.example;\r\n"),
        (b'Reply-To: "a b"\r\n', b'Reply-To: "a b"@x.example\r\n'),
        (b"To: no list\r\n", b"To: no list\r\n"),
        (b"To: \xff, a\r\n", b"To: \xff@x.example, a@x.example\r\n"),
        (b"Subject: root\r\n", b"Subject: root\r\n"),
    ],
)  # fmt: skip
def test_addresses_without_a_domain_get_the_origins(field: bytes, expected: bytes) -> None:
    """RFC 6409 §8.1 lets who submits mail be completed."""
    assert _complete(field).startswith(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "al@x.example"),
        ("Al  Doe", "Al Doe <al@x.example>"),
        ("Doe, Al", '"Doe, Al" <al@x.example>'),
        ('A "x" \\', '"A \\"x\\" \\\\" <al@x.example>'),
        ("A\x07.", '"A?." <al@x.example>'),
        ("Jö", "=?utf-8?b?SsO2?= <al@x.example>"),
    ],
)
def test_a_name_is_atoms_or_quoted_or_encoded(name: str, expected: str) -> None:
    """RFC 5322 §3.2.5, RFC 2047 §5."""
    assert format_author("al@x.example", name) == expected


@given(st.text(st.characters(exclude_categories=["C"]), max_size=60))
def test_any_name_comes_back_from_a_reader_of_mail(name: str) -> None:
    field = complete_header([], Submission("a@b.example", name, NOW, "h", "o", "t"))
    value = message_from_bytes(field + b"\r\n", policy=policy.compat32)["From"]
    ((shown, address),) = getaddresses([str(value)])
    assert address == "a@b.example"
    assert str(make_header(decode_header(shown))).split() == name.split()
    assert max(map(len, field.split(b"\r\n"))) <= 78
