"""RFC 8460 §5.1-5.3: the reports in a file or mail, whatever form that has."""

import base64
import gzip
import io
import time
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tlsrpt.finding import read_file
from letterlock.protocols.tlsrpt.limits import (
    MAX_MAIL_OCTETS,
    MAX_REPORT_OCTETS,
    MAX_REPORTS,
)
from letterlock.protocols.tlsrpt.report import Fault, ReadReport, ReportError
from tests.protocols.tlsrpt.corpus import FORMS, Form, encode, make_document, make_mail

OCTETS = encode(make_document())
MAIL = make_mail(OCTETS)
NAME = "company-x.example!company-y.example!1775001600!1775087999!001.json.gz"
NOT_THE_TYPE = "not application/tlsrpt+gzip or application/tlsrpt+json"
WHOLE = "mail: the report is the whole message, not a part of multipart/report"


def read_one(octets: bytes) -> ReadReport:
    (found,) = read_file(octets)
    assert isinstance(found, ReadReport), found
    return found


def refuse(octets: bytes) -> ReportError:
    (found,) = read_file(octets)
    assert isinstance(found, ReportError), found
    assert str(found).isprintable()
    return found


def make_part(media_type: str, body: bytes, *fields: str, encoding: str | None = "base64") -> bytes:
    lines = [f"Content-Type: {media_type}", *fields]
    if encoding is not None:
        lines.append(f"Content-Transfer-Encoding: {encoding}")
    if encoding == "base64":
        body = base64.encodebytes(body)
    return "\n".join(lines).encode() + b"\n\n" + body


def make_multipart(kind: str, *parts: bytes, head: bytes = b"Subject: x\n") -> bytes:
    joined = b"".join(b"\n--x\n" + part for part in parts)
    return head + f"Content-Type: {kind}; boundary=x\n".encode() + joined + b"\n--x--\n"


def make_zip(**files: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, octets in files.items():
            opened.writestr(name, octets)
    return archive.getvalue()


@pytest.mark.parametrize(
    "octets",
    [
        OCTETS,
        gzip.compress(OCTETS),
        MAIL,
        MAIL.replace(b"\r\n", b"\n"),
        make_mail(OCTETS, is_packed=False),
        b"From a@b Thu Apr  2 10:00:00 2026\n" + MAIL,
    ],
    ids=["JSON", "gzip", "mail", "LF", "mail with JSON", "mailbox line"],
)
def test_a_report_as_the_rfc_has_it_is_clean(octets: bytes) -> None:
    found = read_one(octets)
    assert found.repairs == ()
    assert found.raw == OCTETS
    assert found.report.report_id == "5065427c-23d3-47ca-b6e0-946ea0e8c4be"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_forms_of_real_reporters_are_read_in_mails(form: Form) -> None:
    octets = encode(form.document)
    found = read_one(make_mail(octets))
    assert found.raw == octets
    assert tuple(line.partition(":")[0] for line in found.repairs) == form.places


PACKED = gzip.compress(OCTETS)
REPORT_PART = make_part("application/tlsrpt+gzip", PACKED)
SUBMITTED = (
    b"TLS-Report-Domain: company-y.example\nTLS-Report-Submitter: company-x.example\n"
    b"MIME-Version: 1.0\n"
)
NAMED = f'Content-Disposition: attachment; filename="{NAME}"'


@pytest.mark.parametrize(
    ("octets", "repair"),
    [
        (SUBMITTED + REPORT_PART, WHOLE),
        (
            make_multipart("multipart/mixed", REPORT_PART, head=SUBMITTED),
            "mail: the report is in multipart/mixed, not in multipart/report",
        ),
        (
            make_multipart("multipart/report", REPORT_PART, head=SUBMITTED),
            "mail: its report-type is missing, not tlsrpt",
        ),
        (
            make_multipart('multipart/report; report-type="x\x1b"', REPORT_PART, head=SUBMITTED),
            r"mail: its report-type is 'x\x1b', not tlsrpt",
        ),
        (
            MAIL.replace(b"TLS-Report-Domain:", b"X:"),
            "mail: TLS-Report-Domain is missing, or no domain",
        ),
        (
            MAIL.replace(b"TLS-Report-Submitter:", b"X:"),
            "mail: TLS-Report-Submitter is missing, or no domain",
        ),
        (
            MAIL.replace(b"Submitter: company-x.example\r", b"Submitter: x.example\r"),
            "mail: TLS-Report-Submitter is not the domain of contact-info",
        ),
        (
            MAIL.replace(b"tlsrpt+gzip", b"tlsrpt+json"),
            "mail: the report is packed, and its media type is application/tlsrpt+json",
        ),
        (
            make_mail(OCTETS, is_packed=False).replace(b"tlsrpt+json", b"tlsrpt+gzip"),
            "mail: the report is not packed, and its media type is application/tlsrpt+gzip",
        ),
        (
            MAIL.replace(b"tlsrpt+gzip", b"gzip"),
            f"mail: the report's media type is application/gzip, {NOT_THE_TYPE}",
        ),
        (
            MAIL.replace(b"application/tlsrpt+gzip", b"application/tlsrpt"),
            f"mail: the report's media type is application/tlsrpt, {NOT_THE_TYPE}",
        ),
        (
            MAIL.replace(b"Transfer-Encoding: base64", b"Transfer-Encoding: 7bit"),
            "mail: base64, and not declared",
        ),
        (
            b"Subject: Fwd\nContent-Type: message/rfc822\n\n" + MAIL,
            "mail: the report is in a forwarded message",
        ),
        (
            make_multipart("multipart/mixed", b"\nsee", make_part("message/rfc822", MAIL)),
            "mail: the report is in a forwarded message",
        ),
        (
            make_multipart("multipart/mixed", b"Content-Type: message/rfc822\n\n" + MAIL),
            "mail: the report is in a forwarded message",
        ),
        (make_zip(a=OCTETS), "in a zip archive, not gzip"),
        (make_zip(a=OCTETS, b=b"read me"), "in a zip archive, not gzip"),
    ],
)
def test_deviations_of_the_mail_are_named(octets: bytes, repair: str) -> None:
    """Rules 192 and 198."""
    found = read_one(octets)
    assert repair in found.repairs
    assert found.raw == OCTETS


@pytest.mark.parametrize(
    "part",
    [
        make_part("application/octet-stream", PACKED, NAMED),
        make_part("text/plain", OCTETS, NAMED.replace("json.gz", "json"), encoding=None),
        make_part("application/octet-stream", PACKED, 'Content-Disposition: x; filename="a.gz"'),
        make_part("application/json; name=a.json", OCTETS, encoding="8bit"),
        make_part("application/json", b"\r\n " + OCTETS, encoding="binary"),
        make_part(
            "application/tlsrpt+json", OCTETS.replace(b'"', b"=22"), encoding="Quoted-Printable"
        ),
        make_part("application/zip", make_zip(report=OCTETS)),
        make_part("text/plain; name*=utf-8''r%2ejson", OCTETS),
        make_part("application/x-gzip", PACKED),
    ],
)
def test_a_report_is_known_by_its_type_or_name_or_content(part: bytes) -> None:
    """Rule 198."""
    found = read_one(make_multipart("multipart/mixed", b"\ntext", part))
    assert found.raw.strip() == OCTETS


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b" \n",
        b"hello",
        b"\x89PNG\r\n\x1a\n",
        b"Subject: hello\n\nworld",
        b"Subject: hello\n",
        make_multipart(
            "multipart/related",
            make_part("text/html", b"<p>"),
            make_part("application/json", b'{"a": 1}'),
        ),
        make_part("application/gzip", gzip.compress(b"<xml>")),
        make_part("application/zip", b"PK\x03\x04"),
        make_part("application/json", b'{"policies'),
        make_multipart("multipart/mixed"),
    ],
)
def test_what_has_no_report_is_called_so(octets: bytes) -> None:
    """By that name, also where JSON or gzip is in it that is something else."""
    error = refuse(octets)
    assert error.fault is Fault.NO_REPORT
    assert str(error).startswith("no report: ")


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b'{"a": 1}', Fault.NOT_A_REPORT),
        (b"{", Fault.NOT_JSON),
        (gzip.compress(b"x"), Fault.NOT_JSON),
        (PACKED[:-9], Fault.DAMAGED),
        (make_part("application/tlsrpt+gzip", PACKED[:-9]), Fault.DAMAGED),
        (make_part("application/tlsrpt+json", b"{}"), Fault.NOT_A_REPORT),
        (make_part("application/octet-stream", b"{}", NAMED), Fault.NOT_A_REPORT),
        (make_zip(a=b"x", b=b"y"), Fault.NOT_JSON),
        (b"x" * (MAX_MAIL_OCTETS + 1), Fault.TOO_LARGE),
    ],
)
def test_what_is_meant_as_a_report_is_refused_with_its_fault(octets: bytes, fault: Fault) -> None:
    assert refuse(octets).fault is fault


def test_the_report_is_right_where_subject_and_file_name_say_something_else() -> None:
    """RFC 8460 §5.6; rule 199."""
    mail = MAIL.replace(b"Report Domain: company-y", b"Report Domain: other")
    mail = mail.replace(b"!company-y.example!1775001600!", b"!other.example!1!")
    assert mail.count(b"other") == 2
    found = read_one(mail)
    assert found == read_one(MAIL)
    assert found.report.policies[0].domain == "company-y.example"


def test_all_reports_of_a_mail_are_read() -> None:
    broken = make_part("application/tlsrpt+gzip", b"x")
    mail = make_multipart("multipart/report", REPORT_PART, broken, REPORT_PART)
    found = read_file(mail)
    assert [isinstance(each, ReadReport) for each in found] == [True, False, True]


def test_what_lies_beside_a_report_by_its_type_is_not_looked_at() -> None:
    other = make_part("application/json", OCTETS)
    assert len(read_file(make_multipart("multipart/report", REPORT_PART, other))) == 1


def test_reports_of_one_file_are_not_too_many_nor_too_large() -> None:
    many = make_multipart("multipart/mixed", *[REPORT_PART] * (MAX_REPORTS + 5))
    *found, left = read_file(many)
    assert len(found) == MAX_REPORTS
    assert str(left) == f"too large: more than {MAX_REPORTS} reports in one mail: 5 are not read"
    padded = gzip.compress(OCTETS + b" " * (MAX_REPORT_OCTETS * 2 // 3))
    part = make_part("application/tlsrpt+gzip", padded)
    first, second = read_file(make_multipart("multipart/mixed", part, part))
    assert isinstance(first, ReadReport)
    assert isinstance(second, ReportError)
    assert second.fault is Fault.TOO_LARGE
    first, second = read_file(make_zip(a=padded, b=padded))
    assert isinstance(first, ReadReport)
    assert isinstance(second, ReportError)


@given(st.binary(max_size=300))
def test_any_octets_give_values_or_errors(octets: bytes) -> None:
    for found in (
        *read_file(octets),
        *read_file(b"Content-Type: " + octets),
        *read_file(make_part("application/tlsrpt+gzip", octets)),
    ):
        assert isinstance(found, ReadReport) or str(found).isprintable()


LARGE = 2_000_000
HOSTILE: dict[str, Callable[[], bytes]] = {
    "100,000 fields": lambda: b"".join(b"X-%d: y\r\n" % each for each in range(100_000)) + MAIL,
    "one field of many lines": lambda: b"Content-Type: a/b\n" + b" x\n" * (LARGE // 3),
    "many equal fields": lambda: b"Content-Typ: x\n" * (LARGE // 15) + b"\n",
    "one line of base64": lambda: (
        b"Content-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n\n"
        + b"H4sI" * (LARGE // 4)
    ),
    "quoted-printable of blanks": lambda: (
        b"Content-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: quoted-printable\n\n"
        + b" \t=" * (LARGE // 3)
    ),
    "deep multiparts": lambda: b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (each, each)
        for each in range(LARGE // 60)
    ),
    "deep messages": lambda: b"Content-Type: message/rfc822\n\n" * (LARGE // 30),
    "many delimiters": lambda: b"Content-Type: multipart/x; boundary=b\n" + b"\n--b" * (LARGE // 4),
    "false delimiters": lambda: (
        b"Content-Type: multipart/x; boundary=b\n" + b"\n--bx" * (LARGE // 5)
    ),
    "parameters": lambda: (b"Content-Type: a/b" + b';a*1*="\\' * 1300 + b"\n\n") * 500,
    "blanks in a field": lambda: b"Content-Type: a/b;" + b" " * 8000 + b";" * 8000 + b"\n\n",
    "empty members of gzip": lambda: gzip.compress(b"") * 50_000,
    "a gzip bomb in each of 200 parts": lambda: make_multipart(
        "multipart/mixed", *[make_part("application/gzip", gzip.compress(bytes(LARGE)))] * 200
    ),
    "empty policies": lambda: b'{"policies": [' + b"{}," * 10_000 + b"{}]}",
    "empty failures": lambda: b'{"policies": [{"failure-details": [' + b"{}," * 20_000 + b"{}]}]}",
    "one name again and again": lambda: (
        b'{"policies": [' + b"1," * 50_000 + b"1]" + b',"policies": 1' * 50_000 + b"}"
    ),
    "a number of many digits": lambda: b'{"policies": ' + b"9" * LARGE + b"}",
    "names outside ASCII": lambda: encode(
        {"policies": [{"policy": {"policy-domain": f"{each}{'ü' * 50}.x"}} for each in range(2000)]}
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_take_bounded_time(name: str) -> None:
    """In seconds of the CPU; each takes a small part of what is allowed here;
    rule 193."""
    octets = HOSTILE[name]()
    start = time.process_time()
    assert read_file(octets)
    assert time.process_time() - start < 10
