"""CAA: values of records, and what any set of records comes to."""

from letterlock.base.domains import Domain, parse_domain
from letterlock.protocols.caa.decide import CaaDecision, Effect, Issuance, decide
from letterlock.protocols.caa.iodef import UnusedTarget, parse_iodef
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


def check_iodef(octets: bytes) -> None:
    """It is a mail address or an HTTPS URL of a host's name, or is told and not used."""
    found = parse_iodef(octets)
    if isinstance(found, UnusedTarget):
        assert found.reason.isprintable()
        assert len(found.reason) < 600
        return
    assert parse_domain(found.host) == found.host
    assert not found.host[-1].isdigit()
    text = str(found)
    assert text.isascii()
    assert text.isprintable()
    if isinstance(found.to, str):
        assert text.count("@") == 1
        assert not set(text) & set(' ,;?<>"\r\n%')
    else:
        assert found.to.port == 443
        assert octets.startswith(b"https://")


TARGETS = (
    Target(
        "caa-iodef",
        check_iodef,
        (b"mailto:security@a.example", b"https://a.example:443/report?x=1"),
        (b"mailto:", b"https://", b"@", b"?cc=", b",", b"%0d%0a", b"[::1]", b":25"),
        1200,
        runs=1500,
    ),
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
