"""RFC 8460 §5.3: the mail around a report, its fields and its subject."""

import email
import email.policy
import gzip
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.mime.header import Header
from letterlock.protocols.tlsrpt.file_names import FileName
from letterlock.protocols.tlsrpt.mail import (
    MailFields,
    ReportMail,
    Subject,
    find_mail_header,
    format_report_mail,
    format_subject,
    parse_subject,
    read_mail_fields,
)

NAME = FileName("company-x.example", "company-y.example", 1775001600, 1775087999, "001")
MAIL = ReportMail(
    "tlsrpt@company-x.example",
    "reports@company-y.example",
    "Thu, 02 Apr 2026 10:00:00 +0000",
    "<20260402100000.x@company-x.example>",
    "20260401.x@company-x.example",
    NAME,
    b'{"a": 1}',
    "A report on TLS.\nGr\u00fc\u00dfe",
)
DOMAINS = st.sampled_from(["x.example", "xn--bcher-kva.example", "a.b.c.example"])
ATOMS = st.text("azAZ09!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=12)
IDS = st.tuples(ATOMS, ATOMS).map("@".join)


@given(st.builds(Subject, DOMAINS, DOMAINS, IDS))
def test_a_subject_that_is_written_is_read_as_the_same(subject: Subject) -> None:
    """Rule 197."""
    assert parse_subject(format_subject(subject)) == subject


@pytest.mark.parametrize(
    ("text", "report_id"),
    [
        ("Report Domain: x.example Submitter: y.example Report-ID: <735ff.e+b@z>", "735ff.e+b@z"),
        ("Report  Domain: x.example\t Submitter: y.example Report-ID: 13+x ", "13+x"),
        ("Report Domain: X.Example Submitter: y.example Report-ID: <13>", "13"),
    ],
)
def test_subjects_of_the_rfc_and_of_real_reporters_are_understood(
    text: str, report_id: str
) -> None:
    """RFC 8460 §5.3; Microsoft's and Stalwart's identifiers have no brackets, or no at sign."""
    assert parse_subject(text) == Subject("x.example", "y.example", report_id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A report",
        "Report Domain: a.example Submitter: b.example",
        "Report Domain: a..example Submitter: b.example Report-ID: <x>",
        "Report Domain: a.example Submitter: b.example Report-ID: <a b>",
        "Report Domain: a.example Submitter: b.example Report-ID: <x> more",
        "Report Domain: a.example Submitter: b.example Report-ID: <x>" + " " * 2000,
    ],
)
def test_other_subjects_are_none(text: str) -> None:
    assert parse_subject(text) is None


@pytest.mark.parametrize("report_id", ["", "x", "a@b\r\nBcc: c", "a b@c", "a@", "a..b@c"])
def test_an_identifier_that_is_none_cannot_be_written(report_id: str) -> None:
    with pytest.raises(ValueError, match="id-left"):
        format_subject(Subject("a.example", "b.example", report_id))


@pytest.mark.parametrize("is_packed", [True, False])
def test_the_mail_is_what_the_rfc_has(is_packed: bool) -> None:
    """RFC 8460 §5.3, §5.3.1; read by Python's own reader of mail; rules 196 and 203."""
    name = msgspec.structs.replace(NAME, is_packed=is_packed)
    octets = format_report_mail(msgspec.structs.replace(MAIL, file_name=name))
    assert octets == format_report_mail(msgspec.structs.replace(MAIL, file_name=name))
    assert all(len(line) <= 90 for line in octets.split(b"\r\n"))
    assert b"\n" not in octets.replace(b"\r\n", b"")
    found = email.message_from_bytes(octets, policy=email.policy.default)
    assert not found.defects
    assert found["From"] == "tlsrpt@company-x.example"
    assert found["To"] == "reports@company-y.example"
    assert found["Subject"] == (
        "Report Domain: company-y.example Submitter: company-x.example "
        "Report-ID: <20260401.x@company-x.example>"
    )
    assert found["TLS-Report-Domain"] == "company-y.example"
    assert found["TLS-Report-Submitter"] == "company-x.example"
    assert found["TLS-Required"] == "No"
    assert found["Auto-Submitted"] == "auto-generated"
    assert found.get_content_type() == "multipart/report"
    assert found.get_param("report-type") == "tlsrpt"
    text, report = found.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert text.get_content().split() == ["A", "report", "on", "TLS.", "Gr??e"]
    ending = "json.gz" if is_packed else "json"
    assert report.get_filename() == (
        f"company-x.example!company-y.example!1775001600!1775087999!001.{ending}"
    )
    content = report.get_content()
    if is_packed:
        assert report.get_content_type() == "application/tlsrpt+gzip"
        content = gzip.decompress(content)
    else:
        assert report.get_content_type() == "application/tlsrpt+json"
    assert content == MAIL.octets


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": "a@b\r\nBcc: c@d"},
        {"recipient": "\u00fc@b"},
        {"recipient": ""},
        {"recipient": "x" * 1000},
        {"message_id": "<a\0@b>"},
        {"date": "now\n"},
    ],
)
def test_what_cannot_stand_in_a_field_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"header field|longer than"):
        format_report_mail(msgspec.structs.replace(MAIL, **changes))


def test_the_fields_of_a_mail_are_read() -> None:
    header = find_mail_header(b"x\n" + format_report_mail(MAIL), 2)
    subject = Subject("company-y.example", "company-x.example", "20260401.x@company-x.example")
    assert read_mail_fields(header) == MailFields(subject, "company-y.example", "company-x.example")


def test_fields_that_are_missing_or_no_domains_are_none() -> None:
    assert read_mail_fields(Header(b"")) == MailFields(None, None, None)
    header = Header(b"Subject: hello\nTLS-Report-Domain: a b\nTLS-Report-Submitter:\n")
    assert read_mail_fields(header) == MailFields(None, None, None)


def test_an_encoded_subject_is_decoded() -> None:
    """RFC 2047 §2."""
    header = Header(
        b"Subject: =?utf-8?q?Report_Domain=3A_a.example_Submitter=3A?=\r\n"
        b" =?us-ascii?B?IGIuZXhhbXBsZSBSZXBvcnQtSUQ6IDx4PiA=?=\r\n"
    )
    assert read_mail_fields(header).subject == Subject("a.example", "b.example", "x")
