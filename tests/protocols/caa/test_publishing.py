"""Records to publish: they do what they are for."""

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.caa.decide import CaaDecision, Issuance, decide
from letterlock.protocols.caa.publishing import make_issue_record
from letterlock.protocols.caa.relevant import RecordSet
from letterlock.protocols.dns.answers import Security

NAME = Domain("example.org")
ACCOUNT = "https://ca.example/acct/1"


@pytest.mark.parametrize(
    ("account", "methods", "is_wildcard", "text"),
    [
        (None, (), False, '0 issue "ca.example"'),
        (ACCOUNT, (), False, f'0 issue "ca.example; accounturi={ACCOUNT}"'),
        (None, ("dns-01",), True, '0 issuewild "ca.example; validationmethods=dns-01"'),
        (
            ACCOUNT,
            ("dns-01", "http-01"),
            False,
            f'0 issue "ca.example; accounturi={ACCOUNT}; validationmethods=dns-01,http-01"',
        ),
        # No record can hold these, so that any account may.
        ("https://ca.example/a;b", (), False, '0 issue "ca.example"'),
        (
            "https://ca.example/ä",
            ("dns-01",),
            False,
            '0 issue "ca.example; validationmethods=dns-01"',
        ),
    ],
)
def test_a_record_names_authority_account_and_methods(
    account: str | None, methods: tuple[str, ...], is_wildcard: bool, text: str
) -> None:
    """RFC 8659 §4.2, §4.3, RFC 8657 §3, §4"""
    record = make_issue_record("ca.example", account, methods, is_wildcard=is_wildcard)
    assert str(record) == text
    found = RecordSet(NAME, NAME, (record,), Security.SECURE, 60, NAME)
    accounts = (account,) if account else ()
    method = methods[-1] if methods else None
    issuance = Issuance(NAME, is_wildcard, ("ca.example",), accounts, method)
    assert decide(found, issuance).decision is CaaDecision.ALLOW


@pytest.mark.parametrize(
    "issuer", ["", "ca example", "ca.example.", "ca;x=y", "ca_1.example", "ü.example"]
)
def test_an_authority_whose_name_no_record_can_hold_is_refused(issuer: str) -> None:
    """RFC 8659 §4.2"""
    with pytest.raises(ValueError, match="cannot stand in a CAA record"):
        make_issue_record(issuer, None, ())
