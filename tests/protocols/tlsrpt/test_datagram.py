"""What libtlsrpt sends is a session's result, or one named error."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tlsrpt.datagram import (
    MAX_DATAGRAM_OCTETS,
    MAX_FAILURES,
    MAX_POLICIES,
    DatagramError,
    DatagramFault,
    parse_datagram,
)
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy, Outcome, Session
from tests.protocols.tlsrpt.datagrams import (
    FAILED_STS,
    PLAIN,
    TWO_POLICIES,
    make_datagram,
    make_policy,
)


def test_a_success_without_a_policy() -> None:
    """RFC 8460 §4.2.1; rules 200 and 240."""
    policy = AppliedPolicy(PolicyType.NO_POLICY_FOUND, "example.com")
    record = "v=TLSRPTv1;rua=mailto:reports@example.com"
    assert parse_datagram(PLAIN.encode()) == Session(
        "example.com", record, (Outcome(policy, is_failed=False),)
    )


def test_a_failure_with_all_that_is_told_of_it() -> None:
    """RFC 8460 §4.4; the greeting is the name in the reply to EHLO; rules 200 and 240."""
    datagram = parse_datagram(FAILED_STS.encode())
    (outcome,) = datagram.outcomes
    lines = ("version: STSv1", "mode: enforce", "mx: *.example.net", "max_age: 86400")
    assert outcome.is_failed
    assert outcome.policy == AppliedPolicy(PolicyType.STS, "example.net", lines, ("*.example.net",))
    assert outcome.failures == (
        FailureDetails(
            "validation-failure",
            sending_mta_ip="192.0.2.1",
            receiving_mx_hostname="mx1.example.net",
            receiving_mx_helo="mx1.example.net",
            receiving_ip="198.51.100.7",
            reason_code='self-signed "cert" \\',
        ),
    )


def test_two_policies_of_one_session() -> None:
    """RFC 8460 §4: MTA-STS and DANE for the same session."""
    tlsa, sts = parse_datagram(TWO_POLICIES.encode()).outcomes
    assert (tlsa.policy.type, tlsa.policy.domain) == ("tlsa", "mx.example.org")
    assert tlsa.policy.strings == ("3 1 1 AB",)
    assert tlsa.failures == (FailureDetails("certificate-expired"),)
    assert (sts.policy.type, sts.is_failed) == ("sts", False)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (201, "starttls-not-supported"),
        (202, "certificate-host-mismatch"),
        (203, "certificate-not-trusted"),
        (204, "certificate-expired"),
        (205, "validation-failure"),
        (301, "sts-policy-fetch-error"),
        (302, "sts-policy-invalid"),
        (303, "sts-webpki-invalid"),
        (304, "tlsa-invalid"),
        (305, "dnssec-invalid"),
        (306, "dane-required"),
    ],
)
def test_each_code_has_its_result_type(code: int, kind: str) -> None:
    """RFC 8460 §4.3."""
    (outcome,) = parse_datagram(make_datagram("a.example", make_policy(2, {"c": code}))).outcomes
    assert outcome.failures == (FailureDetails(kind),)


def test_a_code_of_no_result_type_is_a_validation_failure() -> None:
    """RFC 8460 §4.3.1: the type where none of the others fits."""
    datagram = make_datagram("a.example", make_policy(2, {"c": 901}, {"c": 902, "f": "why"}))
    (outcome,) = parse_datagram(datagram).outcomes
    assert outcome.failures == (
        FailureDetails("validation-failure", reason_code="libtlsrpt-code-901"),
        FailureDetails("validation-failure", reason_code="why"),
    )


def test_names_and_addresses_get_their_one_form() -> None:
    """RFC 8460 §4.4, RFC 5952 §4."""
    failure = {
        "c": 204,
        "s": "2001:DB8::0001",
        "r": "nowhere",
        "n": "MX.Example.",
        "h": "250 ",
        "a": "https://x.example/",
    }
    policy = make_policy(1, failure, policy_domain="MX.Bücher.example", mx_host=["*.A.example"])
    datagram = parse_datagram(make_datagram("A.EXAMPLE.", policy))
    (outcome,) = datagram.outcomes
    assert datagram.domain == "a.example"
    assert outcome.policy.domain == "mx.xn--bcher-kva.example"
    assert outcome.policy.mx_hosts == ("*.a.example",)
    assert outcome.failures == (
        FailureDetails(
            "certificate-expired",
            sending_mta_ip="2001:db8::1",
            receiving_mx_hostname="mx.example",
            additional_information="https://x.example/",
        ),
    )


def test_octets_that_are_no_utf_8_are_replaced() -> None:
    """The library passes on what the MTA had; one reply in Latin-1 is no reason not to count."""
    octets = make_datagram("a.example", make_policy(9, {"c": 205, "f": "gr@n"}))
    (outcome,) = parse_datagram(octets.replace(b"@n", b"\xfcn")).outcomes
    assert outcome.failures[0].reason_code == "gr�n"


def test_what_has_no_version_or_another_or_more_members_is_taken() -> None:
    policy = {**make_policy(), "new": {"a": [1]}}
    for octets in (
        make_datagram("a.example", policy, dpv=...),
        make_datagram("a.example", policy, dpv="7", more=1),
    ):
        assert parse_datagram(octets).domain == "a.example"


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("250-mx1.example\r\n250 STARTTLS", "mx1.example"),
        ("250 mx1.example", "mx1.example"),
        ("250-123-4.example hello\r\n250 SIZE", "123-4.example"),
        ("mx-192-168.example", "mx-192-168.example"),
        ("123-4.example", "123-4.example"),
        ("250 ", None),
        (" \r\n", None),
    ],
)
def test_a_server_calls_itself_by_the_first_word_behind_the_code(
    told: str, name: str | None
) -> None:
    """RFC 5321 §4.1.1.1; and a name is itself again, as a fetcher has it."""
    (outcome,) = parse_datagram(
        make_datagram("a.example", make_policy(9, {"c": 205, "h": told}))
    ).outcomes
    assert outcome.failures[0].receiving_mx_helo == name


def test_long_texts_are_cut() -> None:
    failure = {"c": 205, "f": "x" * 5000, "h": f"250-{'y' * 5000} hello"}
    (outcome,) = parse_datagram(make_datagram("a.example", make_policy(9, failure))).outcomes
    assert outcome.failures[0].reason_code == "x" * 1000
    assert outcome.failures[0].receiving_mx_helo == "y" * 255


WRONG = [
    (b"", DatagramFault.NOT_JSON),
    (b"\xff\xfe", DatagramFault.NOT_JSON),
    (b'{"d":"\xff', DatagramFault.NOT_JSON),
    (b'{"x":' + b"[" * 100_000, DatagramFault.NOT_JSON),
    (b" " * (MAX_DATAGRAM_OCTETS + 1), DatagramFault.TOO_LARGE),
    (b"[]", DatagramFault.NOT_A_RESULT),
    (b"{}", DatagramFault.NOT_A_RESULT),
    (make_datagram(""), DatagramFault.NOT_A_RESULT),
    (make_datagram("a.example\nb.example"), DatagramFault.NOT_A_RESULT),
    (make_datagram(pr=...), DatagramFault.NOT_A_RESULT),
    (make_datagram(pr="x" * 5000), DatagramFault.NOT_A_RESULT),
    (make_datagram(policies=[]), DatagramFault.NOT_A_RESULT),
    (make_datagram(policies=None), DatagramFault.NOT_A_RESULT),
    (make_datagram("a", *[make_policy()] * (MAX_POLICIES + 1)), DatagramFault.NOT_A_RESULT),
    (make_datagram("a", make_policy(7)), DatagramFault.NOT_A_RESULT),
    (make_datagram("a", make_policy(f=2)), DatagramFault.NOT_A_RESULT),
    (make_datagram("a", make_policy(f=-1)), DatagramFault.NOT_A_RESULT),
    (make_datagram("a", make_policy(policy_domain="a..b")), DatagramFault.NOT_A_RESULT),
    (make_datagram("a", make_policy(2, {"c": 10**30})), DatagramFault.NOT_A_RESULT),
    (make_datagram("a", make_policy(2, {"c": "204"})), DatagramFault.NOT_A_RESULT),
    (
        make_datagram("a", make_policy(2, *[{"c": 204}] * (MAX_FAILURES + 1))),
        DatagramFault.NOT_A_RESULT,
    ),
    # Its number has more digits than Python converts.
    (make_datagram("a", make_policy(7)).replace(b"7", b"7" * 9000), DatagramFault.NOT_A_RESULT),
    # After its octets are replaced it is JSON, and still no result.
    (b'{"d":"\xff","pr":"","policies":[]}', DatagramFault.NOT_A_RESULT),
]


@pytest.mark.parametrize(("octets", "fault"), WRONG)
def test_what_is_no_result_is_one_named_error(octets: bytes, fault: DatagramFault) -> None:
    """Rule 241."""
    with pytest.raises(DatagramError) as raised:
        parse_datagram(octets)
    assert raised.value.fault is fault
    assert str(raised.value).startswith(fault)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300


@given(st.binary(max_size=300))
def test_any_octets_give_a_value_or_the_one_error(octets: bytes) -> None:
    with suppress(DatagramError):
        parse_datagram(octets)
