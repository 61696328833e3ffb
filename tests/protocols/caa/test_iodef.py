"""Where a domain wants to be told of what CAA prevented, and what keeps that from being misused."""

import xml.etree.ElementTree as ET  # the document is ours
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.acme.fields import Url
from letterlock.protocols.caa.decide import CaaVerdict, Issuance, decide
from letterlock.protocols.caa.iodef import (
    PreventedIssuance,
    ReportTarget,
    UnusedTarget,
    choose_targets,
    find_targets,
    format_description,
    format_iodef,
    parse_iodef,
)
from letterlock.protocols.caa.relevant import LookupFailed, NoRecords, RecordSet
from letterlock.protocols.dns.answers import CaaRecord, Security

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOME = Domain("a.example")
NOBODY = CaaRecord(0, b"issue", b";")
XML = "{urn:ietf:params:xml:ns:iodef-2.0}"


def judge(*values: bytes, owner: Domain = HOME, name: str = "www.a.example") -> CaaVerdict:
    records = (NOBODY, *(CaaRecord(0, b"IODEF", value) for value in values))
    issuance = Issuance(Domain(name), is_wildcard=False, issuers=("ca.example",))
    return decide(RecordSet(issuance.name, HOME, records, Security.SECURE, 60, owner), issuance)


@pytest.mark.parametrize(
    ("value", "to", "host"),
    [
        (b"mailto:security@a.example", "security@a.example", "a.example"),
        (b"MailTo:a.b@Sub.A.Example", "a.b@Sub.A.Example", "sub.a.example"),
        (
            b"https://a.example/report",
            Url("https://a.example/report", "a.example", 443, "/report"),
            "a.example",
        ),
        (
            b"https://a.example:443",
            Url("https://a.example:443", "a.example", 443, "/"),
            "a.example",
        ),
    ],
)
def test_there_are_two_ways_to_be_told(value: bytes, to: str | Url, host: str) -> None:
    """RFC 8659 §4.4; rule 178"""
    found = parse_iodef(value)
    assert found == ReportTarget(to, Domain(host))
    assert str(found) == str(to)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"security@a.example",
        b"mailto:",
        b"mailto:a@a.example,b@a.example",
        b"mailto:a@a.example?cc=victim@b.example",
        b"mailto:a%0d%0aBcc:b@a.example",
        b"mailto:a@a.example\r\nBcc: b@b.example",
        b"mailto:a@127.0.0.1",
        b"mailto:a@[127.0.0.1]",
        b"http://a.example/",
        b"https://a.example:25/",
        b"https://user@a.example/",
        b"https://127.0.0.1/",
        b"https://[::1]/",
        b"ftp://a.example/",
        b"javascript:alert(1)",
        "mailto:a@bücher.example".encode(),
        b"mailto:" + b"a" * 2000 + b"@a.example",
        b"\x1b[2J",
    ],
)
def test_what_is_neither_is_not_used_and_told(value: bytes) -> None:
    """RFC 8659 §4.4: ours, no `http:`, no other port, no header fields."""
    found = parse_iodef(value)
    assert isinstance(found, UnusedTarget)
    assert found.reason.isprintable()
    assert len(found.reason) < 600


@pytest.mark.parametrize(
    ("host", "is_used"),
    [
        ("a.example", True),
        ("mx.a.example", True),
        ("b.example", False),
        ("xa.example", False),
        ("example", False),
        ("a.example.b.example", False),
        ("owner.other.example", True),
        ("other.example", True),
        ("sub.owner.other.example", True),
        ("third.example", False),
    ],
)
def test_a_record_makes_us_write_to_nobody_else(host: str, *, is_used: bool) -> None:
    """Ours: the domain with the record, or the one that its alias leads to. Rule 178"""
    verdict = judge(f"mailto:a@{host}".encode(), owner=Domain("owner.other.example"))
    targets, unused = find_targets(verdict)
    assert [str(each) for each in targets] == ([f"a@{host}"] if is_used else [])
    assert len(unused) == (0 if is_used else 1)
    assert len(find_targets(verdict, may_be_elsewhere=True)[0]) == 1


def test_few_are_written_to_and_each_once() -> None:
    values = [f"mailto:a{number}@a.example".encode() for number in range(5)]
    targets, unused = find_targets(judge(*values, *values))
    assert [str(each) for each in targets] == [f"a{number}@a.example" for number in range(3)]
    assert [each.reason for each in unused] == [
        "'mailto:a3@a.example' is one more than 3",
        "'mailto:a4@a.example' is one more than 3",
    ]


def test_without_records_there_is_nobody_to_tell() -> None:
    issuance = Issuance(HOME, is_wildcard=False, issuers=())
    failed = LookupFailed(HOME, HOME, Security.BOGUS, "forged")
    for relevant in (NoRecords(HOME, Security.SECURE), failed):
        assert find_targets(decide(relevant, issuance)) == ((), ())


def test_a_host_is_written_to_once_a_day_whatever_the_names_are() -> None:
    """So that nobody can have us fill a mailbox. Rule 178"""
    first = ReportTarget("a@a.example", HOME)
    second = ReportTarget("b@a.example", HOME)
    other = ReportTarget("c@b.example", Domain("b.example"))
    assert choose_targets([first, second, other], {}, NOW) == (first, other)
    hours = timedelta(hours=1)
    assert choose_targets([first, other], {HOME: NOW - 23 * hours}, NOW) == (other,)
    assert choose_targets([first], {HOME: NOW - 24 * hours}, NOW) == (first,)
    assert choose_targets([first], {HOME: NOW + hours}, NOW) == ()


def report(*verdicts: CaaVerdict, number: str = "17") -> PreventedIssuance:
    return PreventedIssuance(number, Domain("ca.example"), "ca@ca.example", NOW, verdicts)


def test_a_report_says_who_when_which_and_why() -> None:
    """RFC 7970 §7.1; rule 178"""
    prevented = report(judge(), judge(name="x.a.example"))
    text = format_description(prevented)
    assert 'www.a.example: CAA 0 issue ";" at a.example: it names nobody' in text
    assert "x.a.example: " in text
    assert "When: 2026-03-01 12:00:00 UTC" in text
    root = ET.fromstring(format_iodef(prevented))
    assert root.tag == f"{XML}IODEF-Document"
    assert root.attrib["version"] == "2.00"
    incident = root[0]
    assert [each.tag.removeprefix(XML) for each in incident] == [
        "IncidentID",
        "GenerationTime",
        "Description",
        "Contact",
    ]
    assert (incident[0].attrib, incident[0].text) == ({"name": "ca.example"}, "17")
    assert incident[1].text == "2026-03-01T12:00:00Z"
    assert incident[2].text == text
    assert incident[3][0][0].text == "ca@ca.example"


@given(st.binary(max_size=60), st.text(max_size=20))
def test_whatever_a_record_has_the_document_is_one(value: bytes, number: str) -> None:
    """Nothing of a record becomes an element, and nothing of it breaks a line."""
    issuance = Issuance(HOME, is_wildcard=False, issuers=("ca.example",))
    records = (CaaRecord(0, b"issue", value), CaaRecord(128, value[:20], value))
    prevented = report(
        decide(RecordSet(HOME, HOME, records, Security.SECURE, 60, HOME), issuance), number=number
    )
    assert format_description(prevented).count("\n") == 4
    root = ET.fromstring(format_iodef(prevented))
    assert len(list(root.iter())) == 8
