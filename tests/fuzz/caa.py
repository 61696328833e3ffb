"""CAA: values of records, and what any set of records comes to."""

from letterlock.base.domains import Domain
from letterlock.protocols.caa.decide import CaaDecision, Effect, Issuance, decide
from letterlock.protocols.caa.issue_values import IssueValue, parse_issue_value
from letterlock.protocols.caa.relevant import find_relevant
from letterlock.protocols.dns.answers import Answer, CaaRecord, Existence, Security
from tests.fuzz.target import Target, take_choices

_NAME = Domain("example.com")
_ISSUER = "ca.example"
_ACCOUNT = "https://ca.example/1"
_TAGS = (b"issue", b"issuewild", b"IssueMail", b"iodef", b"tbs", b"a-b", b"")
_WORDS = (
    *(
        b";",
        b"=",
        b" ",
        b"\t",
        b"-",
        b".",
        b",",
        b"%",
        b"\xff",
        b"\n",
        b"\0",
        b"ca.example",
        b"CA.Example",
    ),
    *(b"accounturi=", b"AccountURI=", b"validationmethods=", b"dns-01", _ACCOUNT.encode(), b"x:y"),
)


def check_value(octets: bytes) -> None:
    """A value that is read can be written and read again; one that is not allows nobody."""
    value = parse_issue_value(octets)
    if isinstance(value, IssueValue):
        assert parse_issue_value(str(value).encode("ascii")) == value
        assert str(value).isprintable()
    else:
        assert value.reason.isprintable()


def check_records(octets: bytes) -> None:
    """Records at 0xFF, of any flags and tags, come to one decision in any order."""
    (choice,), rest = take_choices(octets, 1)
    records = []
    for text in rest.split(b"\xff"):
        (flags, tag), value = take_choices(text, 2)
        records.append(CaaRecord(flags, _TAGS[tag % len(_TAGS)], value))
    issuance = Issuance(
        _NAME,
        is_wildcard=bool(choice & 1),
        issuers=(_ISSUER,),
        accounts=(_ACCOUNT,) if choice & 2 else (),
        method="dns-01" if choice & 4 else None,
    )
    verdicts = [
        decide(find_relevant(_NAME, [_answer(each)]), issuance) for each in (records, records[::-1])
    ]
    assert verdicts[0] == verdicts[1]
    verdict = verdicts[0]
    assert verdict.reason.isprintable()
    assert all(note.isprintable() for note in verdict.notes)
    effects = [each.effect for each in verdict.judged]
    if verdict.decision is CaaDecision.ALLOW:
        assert all(effect is Effect.IGNORED for effect in effects) or Effect.ALLOWS in effects
    if any(record.flags & 128 and record.tag in (b"tbs", b"a-b", b"") for record in records):
        assert verdict.decision is CaaDecision.DENY


def _answer(records: list[CaaRecord]) -> Answer:
    return Answer(_NAME, "CAA", Security.SECURE, Existence.RECORDS, tuple(records), owner=_NAME)


TARGETS = (
    Target(
        "caa-value",
        check_value,
        (
            b"ca.example; accounturi=https://ca.example/1; validationmethods=dns-01,http-01",
            b" ca1.example.net ;\ta = b ",
            b";",
        ),
        _WORDS,
        600,
        runs=1500,
    ),
    Target(
        "caa-records",
        check_records,
        (
            b"\7\0\0ca.example; accounturi=https://ca.example/1; validationmethods=dns-01",
            b"\0\0\0ca.example\xff\0\1;\xff\0\3mailto:a@example.com\xff\x80\4Unknown",
            b"\1\0\1CA.Example;AccountURI=x:y\xff\0\0",
        ),
        _WORDS,
        600,
        runs=1000,
    ),
)
