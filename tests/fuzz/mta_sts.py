"""MTA-STS: the record in DNS, and the policy file."""

from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.mta_sts.policy import (
    MAX_AGE_SECONDS,
    MtaStsMode,
    MtaStsPolicy,
    PolicyError,
    find_mx_pattern,
    format_policy,
    parse_policy,
)
from letterlock.protocols.mta_sts.record import MtaStsRecord, RecordError, parse_record
from tests.fuzz.target import Target

_WORDS = (
    *(b"v=STSv1", b";", b"id=", b"=", b" ", b"\t", b"\xff", b"version: STSv1", b"mode: enforce"),
    *(b"mode: testing", b"mode: none", b"mx: ", b"*.", b"max_age: ", b"\r\n", b"\n", b"\r", b":"),
    *(b"0", b"9" * 11, b"example.com", b"\0", b"\xc3\xa9", b"\xe2\x80\xa8", b"."),
)


def check_record(octets: bytes) -> None:
    """Records are one, wrong, or none; another that is no MTA-STS record changes nothing."""
    texts = octets.split(b"\xff")
    match parse_record(texts):
        case MtaStsRecord(identifier, text, _) as record:
            assert identifier.isalnum()
            assert identifier.isascii()
            assert len(identifier) <= 32
            assert text.isascii()
            assert len(text.splitlines()) == 1
            if text.startswith("v=STSv1;"):
                assert parse_record([*texts, b"v=spf1 -all"]) == record
            assert sum(each.startswith(b"v=STSv1") for each in texts) > 0
        case RecordError(reason):
            assert reason.isprintable()
            assert any(each.startswith(b"v=STSv1") for each in texts)
        case None:
            pass


def check_policy(octets: bytes) -> None:
    """A file is a policy that can be written again, or none; its patterns match what they say."""
    policy = parse_policy(octets)
    if isinstance(policy, PolicyError):
        assert policy.reason.isprintable()
        assert len(policy.reason) < 500
        return
    assert isinstance(policy, MtaStsPolicy)
    assert policy.mx or policy.mode is MtaStsMode.NONE
    assert 0 <= policy.max_age.total_seconds() <= MAX_AGE_SECONDS
    assert parse_policy(format_policy(policy).encode()) == policy
    for pattern in policy.mx:
        try:
            domain = parse_domain(pattern.removeprefix("*."))
        except DomainError as error:
            raise AssertionError(pattern) from error
        below = parse_domain(f"a.{domain}") if len(domain) < 250 else None
        if pattern.startswith("*."):
            assert below is None or find_mx_pattern(policy, below) in (pattern, below)
            assert find_mx_pattern(policy, domain) != pattern
        else:
            assert find_mx_pattern(policy, domain) is not None


TARGETS = (
    Target(
        "mta-sts-record",
        check_record,
        (b"v=STSv1; id=20260301T000000;", b"v=spf1 -all\xffv=STSv1 ;id=1; a=b", b"v=STSv1;id=x y"),
        _WORDS,
        600,
        runs=1500,
    ),
    Target(
        "mta-sts-policy",
        check_policy,
        (
            b"version: STSv1\r\nmode: enforce\r\nmx: mx.a.b\r\nmx: *.c.d\r\nmax_age: 604800\r\n",
            b"max_age:0 \nmode: none\nversion:\tSTSv1\nother: x\n",
        ),
        _WORDS,
        1024,
        runs=1500,
    ),
)
