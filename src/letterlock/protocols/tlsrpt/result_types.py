"""The words for TLS failures: every failure is named once, where it happens, and keeps its name.

RFC 8460 §4.3 (result types). The reason codes beside them are ours; `protocols.tls.failures` and
`protocols.policy.judge` say which goes with what.
"""

from enum import StrEnum


class ResultType(StrEnum):
    """RFC 8460 §4.3: what a sender reports when TLS failed."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"
