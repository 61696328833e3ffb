"""The names of TLS failures are those that other people's reports use."""

from letterlock.protocols.tlsrpt.findings import Finding
from letterlock.protocols.tlsrpt.result_types import ResultType


def test_the_result_types_are_those_of_the_standard() -> None:
    """RFC 8460 §4.3: negotiation, policy and general failures, spelled as there."""
    assert {str(result_type) for result_type in ResultType} == {
        "starttls-not-supported",
        "certificate-host-mismatch",
        "certificate-expired",
        "certificate-not-trusted",
        "validation-failure",
        "tlsa-invalid",
        "dnssec-invalid",
        "dane-required",
        "sts-policy-fetch-error",
        "sts-policy-invalid",
        "sts-webpki-invalid",
    }


def test_a_fault_of_the_whole_handshake_has_no_depth() -> None:
    finding = Finding(ResultType.VALIDATION_FAILURE, "handshake-timeout", "no answer in 60 s")
    assert finding.depth is None
