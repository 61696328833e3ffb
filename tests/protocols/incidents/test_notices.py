"""The mail about affected certificates: everything one needs, in bounds, and nothing slips out."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.incidents.notices import (
    MAX_LISTED,
    MAX_NAMES,
    Fields,
    Notice,
    NoticedCertificate,
    format_mail,
    format_moment,
    format_notice,
    format_subject,
    format_text,
)

BY = datetime(2026, 3, 6, 12, 5, tzinfo=UTC)
ONE = NoticedCertificate("0a1b", ("a.example", "b.example"), BY)
NOTICE = Notice(
    authority="Example CA",
    account="https://ca.example/acct/1",
    why="CAA was looked up for one name of each order",
    page="https://ca.example/incident/1",
    renew_by=BY,
    count=1,
    certificates=(ONE,),
)
FIELDS = Fields("ca@ca.example", ("a@a.example", "b@a.example"), BY, "<1@ca.example>")


def test_a_notice_says_all_that_is_needed() -> None:
    mail = message_from_bytes(format_notice(NOTICE, FIELDS), policy=SMTP)
    assert (mail["From"], mail["To"]) == ("ca@ca.example", "a@a.example, b@a.example")
    assert mail["Subject"] == "Renew 1 certificate by 6 March 2026, 12:05 UTC: a.example"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert (mail["Message-ID"], mail["Date"]) == (
        "<1@ca.example>",
        "Fri, 06 Mar 2026 12:05:00 +0000",
    )
    text = mail.get_content()
    for part in (
        "CAA was looked up for one name of each order",
        "6 March 2026, 12:05 UTC",
        "0a1b  a.example, b.example",
        "https://ca.example/acct/1",
        "https://ca.example/incident/1",
    ):
        assert part in " ".join(text.split()) or part in text


def test_a_list_is_cut_and_says_so() -> None:
    many = tuple(replace(ONE, serial=f"{number:04x}") for number in range(MAX_LISTED))
    text = format_text(replace(NOTICE, count=5000, certificates=many))
    assert "these 5000 certificates" in text
    assert text.count("a.example, b.example") == MAX_LISTED
    assert f"  and {5000 - MAX_LISTED} more\n" in text
    names = tuple(f"n{number}.example" for number in range(MAX_NAMES + 2))
    assert "and 2 more" in format_text(replace(NOTICE, certificates=(replace(ONE, names=names),)))


def test_a_subject_is_short() -> None:
    long = replace(ONE, names=("a" * 250,))
    assert format_subject(replace(NOTICE, certificates=(long,))).endswith("12:05 UTC")
    assert format_subject(replace(NOTICE, count=7, certificates=())).startswith("Renew 7 certif")


@given(st.text(max_size=300))
def test_no_words_of_an_operator_become_a_field(why: str) -> None:
    """They stand in the body alone, in lines that mail allows."""
    why = why.encode("utf-8", "replace").decode()
    octets = format_notice(replace(NOTICE, why=why), FIELDS)
    header, _, body = octets.partition(b"\r\n\r\n")
    assert [line.split(b":")[0] for line in header.split(b"\r\n") if line[:1].strip()] == [
        *(b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Auto-Submitted"),
        *(b"Content-Type", b"Content-Transfer-Encoding", b"MIME-Version"),
    ]
    assert max(map(len, body.split(b"\r\n"))) <= 78
    assert octets.isascii()


@pytest.mark.parametrize(
    "fields",
    [
        replace(FIELDS, sender="a@a.example\r\nBcc: b@b.example"),
        replace(FIELDS, recipients=("a@a.example\r\nBcc: b@b.example",)),
        replace(FIELDS, message_id="<1@a.example>\r\nBcc: b@b.example"),
    ],
)
def test_a_line_break_in_a_header_is_refused(fields: Fields) -> None:
    with pytest.raises(ValueError, match=r"(?i)header|line"):
        format_mail("subject", "text", fields)


def test_a_moment_is_the_same_everywhere() -> None:
    assert format_moment(datetime(2026, 11, 30, 7, 0, tzinfo=UTC)) == "30 November 2026, 07:00 UTC"
