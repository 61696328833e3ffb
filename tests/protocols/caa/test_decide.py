"""Who may issue: the examples of the standards, known hard cases, and what must always hold."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.caa.decide import (
    CaaCause,
    CaaDecision,
    CaaVerdict,
    Effect,
    Issuance,
    decide,
)
from letterlock.protocols.caa.relevant import LookupFailed, NoRecords, RecordSet, find_relevant
from letterlock.protocols.dns.answers import Answer, CaaRecord, Existence, Security

ALLOW, DENY, ERROR = CaaDecision.ALLOW, CaaDecision.DENY, CaaDecision.ERROR
NAME = Domain("mail.example.com")
FOUND_AT = Domain("example.com")
CA1 = "ca1.example.net"
CA2 = "ca2.example.org"
ACCOUNT = "https://example.net/account/1234"


def record(text: str) -> CaaRecord:
    """Make a record of `FLAGS TAG VALUE`; the value may be missing."""
    flags, tag, value = (*text.split(" ", 2), "")[:3]
    return CaaRecord(int(flags), tag.encode("latin-1"), value.encode("latin-1"))


def judge(records: Sequence[CaaRecord], issuance: Issuance) -> CaaVerdict:
    """Decide as for records that were found above the name."""
    relevant = find_relevant(
        NAME,
        [
            Answer(NAME, "CAA", Security.SECURE, Existence.NXDOMAIN),
            Answer(FOUND_AT, "CAA", Security.SECURE, Existence.RECORDS, tuple(records)),
        ],
    )
    return decide(relevant, issuance)


def ask(
    *records: str,
    issuer: str = CA1,
    wild: bool = False,
    account: str | None = ACCOUNT,
    method: str | None = "dns-01",
) -> CaaVerdict:
    accounts = (account,) if account else ()
    return judge(
        [record(text) for text in records],
        Issuance(NAME, is_wildcard=wild, issuers=(issuer,), accounts=accounts, method=method),
    )


# RFC 8659


@pytest.mark.parametrize(
    ("records", "issuer", "wild", "expected"),
    [
        # §4.2
        (["0 issue ca1.example.net", "0 issue ca2.example.org"], CA1, False, ALLOW),
        (["0 issue ca1.example.net", "0 issue ca2.example.org"], CA2, False, ALLOW),
        (["0 issue ca1.example.net", "0 issue ca2.example.org"], "ca3.example", False, DENY),
        (["0 issue ;"], CA1, False, DENY),
        (["0 issue"], CA1, False, DENY),
        (["0 issue %%%%%"], CA1, False, DENY),
        (["0 issue ;", "0 issue ca1.example.net"], CA1, False, ALLOW),
        (["0 issue %%%%%", "0 issue ca1.example.net"], CA1, False, ALLOW),
        (["0 issue ca1.example.net; account=230123"], CA1, False, ALLOW),
        # §4.3
        (["0 issue ca1.example.net", "0 issuewild ca2.example.org"], CA1, False, ALLOW),
        (["0 issue ca1.example.net", "0 issuewild ca2.example.org"], CA2, False, DENY),
        (["0 issue ca1.example.net", "0 issuewild ca2.example.org"], CA1, True, DENY),
        (["0 issue ca1.example.net", "0 issuewild ca2.example.org"], CA2, True, ALLOW),
        (["0 issue ca1.example.net"], CA1, True, ALLOW),
        (["0 issue ca1.example.net"], CA2, True, DENY),
        (["0 issuewild ca2.example.org", "0 issue ;"], CA2, True, ALLOW),
        (["0 issuewild ca2.example.org", "0 issue ;"], CA2, False, DENY),
        (["0 issuewild ca2.example.org"], CA2, True, ALLOW),
        (["0 issuewild ca2.example.org"], CA1, True, DENY),
        (["0 issuewild ca2.example.org"], CA1, False, ALLOW),
        (["0 issuewild ;", "0 issue ca1.example.net"], CA1, True, DENY),
        # §4.4
        (["0 issue ca1.example.net", "0 iodef mailto:security@example.com"], CA1, False, ALLOW),
        (["0 iodef mailto:security@example.com"], CA1, False, ALLOW),
        (["128 iodef mailto:security@example.com"], CA1, False, ALLOW),
        # §4.5
        (["0 issue ca1.example.net", "128 tbs Unknown"], CA1, False, DENY),
        (["0 issue ca1.example.net", "0 tbs Unknown"], CA1, False, ALLOW),
        (["128 issue ca1.example.net"], CA1, False, ALLOW),
        (["128 issuewild ca1.example.net"], CA2, False, ALLOW),
    ],
)
def test_the_examples_of_the_standard(
    records: list[str], issuer: str, wild: bool, expected: CaaDecision
) -> None:
    """RFC 8659 §4.2, §4.3, §4.4, §4.5; rules 167, 170 and 172"""
    assert ask(*records, issuer=issuer, wild=wild).decision is expected


@pytest.mark.parametrize("wild", [False, True])
def test_without_records_anybody_may_issue(wild: bool) -> None:
    """RFC 8659 §3; rule 172"""
    verdict = decide(
        NoRecords(NAME, Security.SECURE), Issuance(NAME, is_wildcard=wild, issuers=(CA1,))
    )
    assert (verdict.decision, verdict.cause) == (ALLOW, CaaCause.NO_RECORDS)
    assert verdict.found_at is None
    assert verdict.judged == ()


@pytest.mark.parametrize("security", [Security.FAILED, Security.BOGUS])
def test_a_failed_lookup_is_never_permission(security: Security) -> None:
    """RFC 8659 §3, §5.4; rule 161"""
    failed = LookupFailed(NAME, FOUND_AT, security, "no answer")
    verdict = decide(failed, Issuance(NAME, is_wildcard=False, issuers=(CA1,)))
    assert (verdict.decision, verdict.cause) == (ERROR, CaaCause.LOOKUP_FAILED)
    assert verdict.reason == (
        "CAA of example.com is not known: no answer; there may be records that forbid it"
    )


def test_what_was_found_for_one_name_decides_on_no_other() -> None:
    """RFC 8659 §3: every name of a request is looked up by itself. Rule 177"""
    other = Domain("other.example.com")
    with pytest.raises(ValueError, match=r"mail\.example\.com was looked up"):
        decide(NoRecords(NAME, Security.SECURE), Issuance(other, is_wildcard=False, issuers=(CA1,)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 ISSUE ca1.example.net", ALLOW),
        ("0 Issue ca2.example.org", DENY),
        ("1 issue ca1.example.net", ALLOW),
        ("127 issue ca1.example.net", ALLOW),
        ("255 issue ca1.example.net", ALLOW),
        ("0 IODEF mailto:a@example.com", ALLOW),
        ("1 unknown x", ALLOW),
        ("127 unknown x", ALLOW),
        ("128 unknown x", DENY),
        ("129 unknown x", DENY),
        ("255 Unknown x", DENY),
        ("128 contactemail a@example.com", DENY),
        ("0 contactemail a@example.com", ALLOW),
    ],
)
def test_tags_count_in_any_case_and_reserved_flags_do_not(text: str, expected: CaaDecision) -> None:
    """RFC 8659 §4.1; rules 164 and 166"""
    assert ask(text).decision is expected


@pytest.mark.parametrize("tag", ["", "is-sue", "issue ", "iss\xfce", "_x", "is.sue"])
def test_a_tag_that_is_none_spoils_a_permission_and_no_refusal(tag: str) -> None:
    """RFC 8659 §4.1; ours: such records are never passed over. Rule 165"""
    octets = tag.encode("latin-1")
    issuance = Issuance(NAME, is_wildcard=False, issuers=(CA1,))
    odd = CaaRecord(0, octets, b"ca2.example.org")
    ours, other = record("0 issue ca1.example.net"), record("0 issue ca2.example.org")
    for others in ([], [ours]):
        verdict = judge([odd, *others], issuance)
        assert (verdict.decision, verdict.cause) == (ERROR, CaaCause.MALFORMED_TAG)
        assert verdict.record == odd
    assert judge([odd, other], issuance).decision is DENY
    critical = judge([CaaRecord(128, octets, b""), ours], issuance)
    assert (critical.decision, critical.cause) == (DENY, CaaCause.UNKNOWN_CRITICAL)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ca1.example.net;", ALLOW),
        (" ca1.example.net\t; ", ALLOW),
        ("ca1.example.net; a-b=c", ALLOW),
        ("CA1.Example.NET", ALLOW),
        ("ca1.example.net; a=b;", DENY),
        ("ca1.example.net.", DENY),
        ("ca1.example.net; a=1 2", DENY),
        ("ca1.example.net; a_b=1", DENY),
        ("ca1.example.net; =x", DENY),
        ("ca1.example.net x", DENY),
        ("ca1.example.net; -a=b", DENY),
        ("example.net", DENY),
        ("sub.ca1.example.net", DENY),
        ("*.example.net", DENY),
        ("; accounturi=https://example.net/account/1234", DENY),
    ],
)
def test_a_value_names_an_issuer_by_the_grammar_or_nobody(
    value: str, expected: CaaDecision
) -> None:
    """RFC 8659 §4.2; rules 168 and 169"""
    assert ask(f"0 issue {value}").decision is expected


def test_an_authority_may_have_several_names_or_none() -> None:
    """RFC 8659 §4.2; RFC 8555 §9.7.6: an authority need not say by which name it goes."""
    records = [record("0 issue ca1.example.net")]
    assert judge(records, Issuance(NAME, is_wildcard=False, issuers=(CA2, CA1))).decision is ALLOW
    verdict = judge(records, Issuance(NAME, is_wildcard=False, issuers=()))
    assert verdict.decision is DENY
    assert "an authority without a name for CAA" in verdict.reason


# RFC 8657


@pytest.mark.parametrize(
    ("records", "account", "method", "expected"),
    [
        # Appendix A
        (["accounturi=https://example.net/account/1234"], 1234, "dns-01", ALLOW),
        (["accounturi=https://example.net/account/1234"], 2345, "dns-01", DENY),
        (
            [
                "accounturi=https://example.net/account/1234",
                "accounturi=https://example.net/account/2345",
            ],
            2345,
            "http-01",
            ALLOW,
        ),
        (["validationmethods=dns-01,xyz-01"], 1, "dns-01", ALLOW),
        (["validationmethods=dns-01,xyz-01"], 1, "xyz-01", ALLOW),
        (["validationmethods=dns-01,xyz-01"], 1, "http-01", DENY),
        (["validationmethods=dns-01", "validationmethods=xyz-01"], 1, "xyz-01", ALLOW),
        (["validationmethods=dns-01", "validationmethods=xyz-01"], 1, "http-01", DENY),
        *(
            (
                [
                    "accounturi=https://example.net/account/1234; validationmethods=dns-01",
                    "accounturi=https://example.net/account/2345; validationmethods=http-01",
                ],
                account,
                method,
                expected,
            )
            for account, method, expected in (
                (1234, "dns-01", ALLOW),
                (2345, "http-01", ALLOW),
                (1234, "http-01", DENY),
                (2345, "dns-01", DENY),
                (3456, "dns-01", DENY),
            )
        ),
        (["validationmethods=dns-01,ca-foo"], 1, "ca-foo", ALLOW),
        # §3
        (["accounturi=https://example.net/account/1"] * 2, 1, "dns-01", ALLOW),
        (["accounturi=https://example.net/account/1; accounturi=x:y"], 1, "dns-01", DENY),
        (["accounturi=https://example.net/account/1; AccountURI=x:y"], 1, "dns-01", DENY),
        (
            ["accounturi=https://example.net/account/1; accounturi=https://example.net/account/1"],
            1,
            "dns-01",
            DENY,
        ),
        (["AccountURI=https://example.net/account/2"], 1, "dns-01", DENY),
        (["accounturi="], 1, "dns-01", DENY),
        (["accounturi=1"], 1, "dns-01", DENY),
        (["accounturi=https://EXAMPLE.net/account/1"], 1, "dns-01", DENY),
        (["accounturi=https://example.net/account/1/"], 1, "dns-01", DENY),
        (["accounturi=https://example.net/account/12"], 1, "dns-01", DENY),
        # §4
        (["validationmethods="], 1, "dns-01", DENY),
        (["validationmethods=dns-01,"], 1, "dns-01", DENY),
        (["validationmethods=dns-01,,http-01"], 1, "dns-01", DENY),
        (["validationmethods=dns-01,a_b"], 1, "dns-01", DENY),
        (["validationmethods=a_b,dns-01"], 1, "dns-01", DENY),
        (["validationmethods=dns"], 1, "dns-01", DENY),
        (["validationmethods=DNS-01"], 1, "dns-01", DENY),
        (["ValidationMethods=http-01"], 1, "dns-01", DENY),
        (["validationmethods=unknown,dns-01,ca-x"], 1, "dns-01", ALLOW),
        (["validationmethods=dns-01; validationmethods=dns-01"], 1, "dns-01", DENY),
        (["other=x; validationmethods=dns-01"], 1, "dns-01", ALLOW),
    ],
)
def test_limits_to_accounts_and_methods(
    records: list[str], account: int, method: str, expected: CaaDecision
) -> None:
    """RFC 8657 §3, §4, and its examples; rules 173 and 174"""
    verdict = ask(
        *(f"0 issue example.net; {limits}" for limits in records),
        issuer="example.net",
        account=f"https://example.net/account/{account}",
        method=method,
    )
    assert verdict.decision is expected
    if expected is DENY:
        assert verdict.cause is CaaCause.OTHER_LIMITS


def test_an_account_does_not_stand_in_for_the_issuer() -> None:
    """RFC 8657 §3: another authority's domain with our account is not ours. Rule 173"""
    verdict = ask(f"0 issue ca2.example.org; accounturi={ACCOUNT}")
    assert (verdict.decision, verdict.cause) == (DENY, CaaCause.OTHER_ISSUER)


def test_an_account_may_have_several_uris() -> None:
    """RFC 8657 §5.4; ours: an authority that was renamed knows its old URIs."""
    records = [record(f"0 issue ca1.example.net; accounturi={ACCOUNT}")]
    issuance = Issuance(
        NAME,
        is_wildcard=False,
        issuers=(CA1,),
        accounts=("https://new.example/1", ACCOUNT),
        method="dns-01",
    )
    assert judge(records, issuance).decision is ALLOW


@pytest.mark.parametrize(
    ("limits", "account", "method", "expected"),
    [
        ("accounturi=https://a.example/1", None, "dns-01", ERROR),
        ("validationmethods=dns-01", ACCOUNT, None, ERROR),
        ("accounturi=https://a.example/1; validationmethods=dns-01", None, None, ERROR),
        ("accounturi=https://a.example/1; validationmethods=http-01", None, "dns-01", DENY),
        ("accounturi=https://a.example/1; validationmethods=dns-01", ACCOUNT, None, DENY),
        ("accounturi=1", None, None, DENY),
        ("validationmethods=", None, None, DENY),
        ("validationmethods=a_b", None, None, DENY),
        ("", None, None, ALLOW),
    ],
)
def test_an_account_or_method_that_was_not_told_is_neither_yes_nor_no(
    limits: str, account: str | None, method: str | None, expected: CaaDecision
) -> None:
    """RFC 8657 §3, §4; ours: who asks must say for whom, or hears what it depends on. Rule 175"""
    text = f"0 issue ca1.example.net; {limits}" if limits else "0 issue ca1.example.net"
    verdict = ask(text, account=account, method=method)
    assert verdict.decision is expected
    if expected is ERROR:
        assert verdict.cause is CaaCause.UNKNOWN_LIMITS
        assert " only" in verdict.reason
    beside = ask(text, "0 issue ca1.example.net", account=account, method=method)
    assert beside.decision is ALLOW


# RFC 9495


@pytest.mark.parametrize("flags", [0, 128])
@pytest.mark.parametrize("value", [";", "ca2.example.org", "%%%%%"])
def test_what_is_about_certificates_for_mail_addresses_is_not_about_ours(
    flags: int, value: str
) -> None:
    """RFC 9495 §4; rule 176"""
    verdict = ask(f"{flags} issuemail {value}")
    assert (verdict.decision, verdict.cause) == (ALLOW, CaaCause.NO_RESTRICTION)
    both = ask(f"{flags} issuemail ca1.example.net", "0 issue ca2.example.org")
    assert both.decision is DENY


# What is told


def test_the_record_that_decided_is_told_and_why() -> None:
    verdict = ask(
        "0 issue ca1.example.net", "0 issue other.example", "0 issuewild ;", "0 iodef x:y"
    )
    assert verdict.record == record("0 issue ca1.example.net")
    assert verdict.found_at == FOUND_AT
    assert verdict.reason == (
        'CAA 0 issue "ca1.example.net" at example.com: it allows ca1.example.net'
    )
    assert [(str(each.record), each.reason) for each in verdict.ignored] == [
        ('0 iodef "x:y"', "it says where to report to, not who may issue"),
        ('0 issuewild ";"', "it is for wildcards only"),
    ]
    wild = ask("0 issue ca1.example.net", "0 issuewild ;", wild=True)
    assert [each.reason for each in wild.ignored] == [
        "for wildcards there is issuewild, which takes its place"
    ]


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (["0 issue ;"], 'CAA 0 issue ";" at example.com: it names nobody, and allows nobody'),
        (
            ["0 issue %%%"],
            (
                'CAA 0 issue "%%%" at example.com: it is malformed (what stands first is no domain '
                "name), and allows nobody"
            ),
        ),
        (
            ["0 issue b.example", "0 issue a.example", "0 issue c.example"],
            (
                'CAA 0 issue "a.example" at example.com: it allows a.example, not ca1.example.net '
                "(and 2 more that do not allow it)"
            ),
        ),
        (
            ["0 issue a.example", "0 issue ca1.example.net; accounturi=x:y"],
            (
                'CAA 0 issue "ca1.example.net; accounturi=x:y" at example.com: it is for another '
                "account, x:y (and 1 more that does not allow it)"
            ),
        ),
        (
            ["0 issue ca1.example.net; accounturi=x:y; validationmethods=http-01"],
            (
                'CAA 0 issue "ca1.example.net; accounturi=x:y; validationmethods=http-01" at '
                "example.com: it is for another account, x:y, and it is for other methods than "
                "dns-01: http-01"
            ),
        ),
        (
            ["128 tbs Unknown", "0 issue ca1.example.net"],
            (
                'CAA 128 tbs "Unknown" at example.com: it is critical, and its tag is not known '
                "here: nobody may issue"
            ),
        ),
        (
            ["0 iodef x:y"],
            "the CAA records at example.com do not restrict certificates for mail.example.com",
        ),
    ],
)
def test_a_reason_names_the_record(records: list[str], reason: str) -> None:
    assert ask(*records).reason == reason


def test_what_other_authorities_do_otherwise_is_noted() -> None:
    """Rule 169"""
    verdict = ask("0 issue CA1.example.net; AccountURI=" + ACCOUNT + "; policy=ev", "1 tbs x")
    assert verdict.decision is ALLOW
    shown = f'0 issue "CA1.example.net; AccountURI={ACCOUNT}; policy=ev"'
    assert verdict.notes == (
        f"{shown}: some authorities compare their name exactly, and refuse",
        f"{shown}: some authorities know accounturi in lower case only",
        f"{shown}: what policy means is for the authority to say",
        '1 tbs "x": some authorities take flags 1 for critical, and refuse',
    )


def test_long_records_are_told_in_short() -> None:
    verdict = ask("0 issue " + "a" * 60_000 + ".example", "128 tbs " + "b" * 60_000)
    assert len(verdict.reason) < 500
    other = ask("0 issue " + "a" * 60_000)
    assert len(other.reason) < 1000
    limited = ask("0 issue ca1.example.net; accounturi=x:" + "a" * 60_000)
    assert len(limited.reason) < 1000


# What must always hold

VALUES = st.sampled_from(
    [
        b"",
        b";",
        b"ca1.example.net",
        b"ca2.example.org",
        b"%%",
        b"ca1.example.net; accounturi=" + ACCOUNT.encode(),
        b"ca1.example.net; accounturi=x:y",
        b"ca1.example.net; validationmethods=http-01,dns-01",
        b"ca1.example.net; validationmethods=tls-alpn-01",
    ]
)
TAGS = st.sampled_from(
    [b"issue", b"IssueWild", b"iodef", b"issuemail", b"tbs", b"contactemail", b"a-b", b""]
)
RECORDS = st.builds(CaaRecord, st.sampled_from([0, 1, 128, 129, 255]), TAGS, VALUES)
SETS = st.lists(RECORDS, min_size=1, max_size=6)
ISSUANCES = st.builds(
    Issuance,
    st.just(NAME),
    st.booleans(),
    st.sampled_from([(), (CA1,), (CA1, CA2)]),
    st.sampled_from([(), (ACCOUNT,)]),
    st.sampled_from([None, "dns-01", "http-01"]),
)


@given(SETS, ISSUANCES, st.randoms(use_true_random=False))
def test_the_order_of_records_never_matters(
    records: list[CaaRecord], issuance: Issuance, random: object
) -> None:
    """RFC 8659 §4.2; rule 167"""
    expected = judge(records, issuance)
    shuffled = list(records)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a Random
    assert judge(shuffled, issuance) == expected


@given(SETS, ISSUANCES, RECORDS)
def test_no_record_more_undoes_a_critical_refusal(
    records: list[CaaRecord], issuance: Issuance, more: CaaRecord
) -> None:
    """RFC 8659 §4.5; rule 166"""
    if judge(records, issuance).cause is CaaCause.UNKNOWN_CRITICAL:
        assert judge([*records, more], issuance).cause is CaaCause.UNKNOWN_CRITICAL


@given(SETS, ISSUANCES)
def test_a_permission_is_never_given_by_a_record_that_gives_none(
    records: list[CaaRecord], issuance: Issuance
) -> None:
    """RFC 8659 §4.2: take away the records that allow, and nothing that restricts allows.

    Rule 167.
    """
    verdict = judge(records, issuance)
    effects = {each.effect for each in verdict.judged}
    match verdict.decision:
        case CaaDecision.ALLOW:
            assert effects.isdisjoint({Effect.FORBIDS, Effect.UNREADABLE})
            assert Effect.ALLOWS in effects or effects == {Effect.IGNORED}
        case CaaDecision.DENY:
            assert Effect.FORBIDS in effects or Effect.ALLOWS not in effects
            assert verdict.record is not None
        case CaaDecision.ERROR:
            assert Effect.FORBIDS not in effects
    assert len(verdict.judged) == len(set(records))


@given(SETS, ISSUANCES, st.sampled_from(["dns-01", "http-01"]))
def test_to_tell_more_never_makes_a_refusal_a_permission(
    records: list[CaaRecord], issuance: Issuance, method: str
) -> None:
    """RFC 8657 §3, §4: a refusal holds for every account and method that was left open. Rule 175"""
    open_issuance = replace(issuance, accounts=(), method=None)
    before = judge(records, open_issuance).decision
    after = judge(records, replace(issuance, accounts=(ACCOUNT,), method=method)).decision
    if before is not ERROR:
        assert after is before


def test_the_verdict_knows_the_lookups() -> None:
    relevant = RecordSet(NAME, NAME, (record("0 issue ;"),), Security.SECURE, 60, NAME)
    issuance = Issuance(NAME, is_wildcard=True, issuers=(CA1,))
    verdict = decide(relevant, issuance)
    assert verdict.relevant is relevant
    assert str(issuance) == "*.mail.example.com"
