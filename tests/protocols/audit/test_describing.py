"""How facts are written into the audit log: as texts, whole, and bounded."""

from ipaddress import IPv4Address

from letterlock.base.domains import Domain
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.audit.decisions import LoggedProblem
from letterlock.protocols.audit.describing import (
    MAX_ANSWER_CHARACTERS,
    MAX_LINE_CHARACTERS,
    MAX_RECORDS,
    describe_answer,
    describe_caa_look,
    describe_problem,
    describe_record,
)
from letterlock.protocols.caa.decide import Issuance, decide
from letterlock.protocols.caa.relevant import NoRecords, RecordSet
from letterlock.protocols.dns.answers import (
    Answer,
    CaaRecord,
    CnameLink,
    Existence,
    MxRecord,
    Record,
    Security,
    SoaRecord,
)
from tests.audit_entries import NOW

NAME = Domain("a.example")
ISSUE = CaaRecord(0, b"issue", b"ca.example")


def answer(*records: Record) -> Answer:
    links = (CnameLink(NAME, Domain("b.example"), Security.SECURE),)
    return Answer(
        NAME,
        "CAA",
        Security.SECURE,
        Existence.RECORDS,
        records,
        Domain("b.example"),
        links,
        60,
        "why\nnot",
        22,
    )


def test_an_answer_is_written_whole() -> None:
    found = describe_answer(answer(ISSUE))
    assert (found.name, found.type, found.security, found.existence) == (
        "a.example",
        "CAA",
        "secure",
        "records",
    )
    assert found.records == ('0 issue "ca.example"',)
    assert (found.owner, found.aliases) == ("b.example", ("a.example -> b.example (secure)",))
    assert (found.ttl, found.reason, found.extended_error, found.left_out) == (60, "why not", 22, 0)


def test_records_that_are_too_long_or_too_many_are_counted() -> None:
    long = CaaRecord(0, b"issue", b"x" * 60_000)
    found = describe_answer(answer(long, ISSUE))
    assert (found.records, found.left_out) == (('0 issue "ca.example"',), 1)
    many = describe_answer(answer(*(IPv4Address(each) for each in range(MAX_RECORDS + 5))))
    assert (len(many.records), many.left_out) == (MAX_RECORDS, 5)
    large = describe_answer(answer(*(CaaRecord(0, b"issue", b"x" * 1500) for _ in range(20))))
    assert sum(map(len, large.records)) <= MAX_ANSWER_CHARACTERS
    assert large.left_out == 20 - len(large.records)


def test_each_kind_of_record_is_one_line() -> None:
    assert describe_record(IPv4Address("192.0.2.1")) == "192.0.2.1"
    assert describe_record(MxRecord(10, Domain("mx.example"))) == "10 mx.example."
    assert describe_record(MxRecord(0, None)) == "0 ."
    assert describe_record(SoaRecord(None, 7, 300)) == "? 7 300"
    assert describe_record(SoaRecord(Domain("ns.example"), 7, 300)) == "ns.example 7 300"
    assert describe_record(b'token"\\\n\xff') == "token\\034\\092\\010\\255"
    assert describe_record(Domain("c.example")) == "c.example"


def test_a_problem_is_written_with_each_of_its_names() -> None:
    below = Problem("caa", "no " * 1000, identifier=Identifier("dns", "b.example"))
    found = describe_problem(Problem("compound", "two\nlines", subproblems=(below,)))
    assert found is not None
    assert (found.type, found.detail, found.name) == ("compound", "two lines", None)
    (one,) = found.subproblems
    assert (one.type, one.name) == ("caa", "b.example")
    assert len(one.detail) == MAX_LINE_CHARACTERS + 3
    assert describe_problem(None) is None
    assert describe_problem(Problem("dns", "x")) == LoggedProblem("dns", "x")


def test_a_look_at_caa_is_written_with_its_answers() -> None:
    issuance = Issuance(
        NAME, is_wildcard=True, issuers=("ca.example",), accounts=("u",), method="dns-01"
    )
    records = RecordSet(NAME, Domain("example"), (ISSUE,), Security.SECURE, 60, Domain("example"))
    found = describe_caa_look(decide(records, issuance), NOW, (answer(ISSUE),), ("far", "APNIC"))
    assert (found.name, found.decision, found.cause) == ("*.a.example", "allow", "authorized")
    assert (found.found_at, found.ttl, found.began) == ("example", 60, NOW)
    assert (found.accounts, found.method) == (("u",), "dns-01")
    assert (found.perspective, found.region) == ("far", "APNIC")
    assert len(found.lookups) == 1
    nothing = decide(NoRecords(NAME, Security.INSECURE), issuance)
    found = describe_caa_look(nothing, NOW, ())
    assert (found.found_at, found.ttl, found.perspective) == (None, None, None)
