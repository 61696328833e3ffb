"""Failed handshakes in RFC 8460's words."""

import pytest

from letterlock.protocols.tls.failures import explain_failure
from letterlock.protocols.tls.handshake import FailureCause, HandshakeFailed
from letterlock.protocols.tlsrpt.result_types import ResultType


def failure(cause: FailureCause, alert: str | None, *, is_received: bool) -> HandshakeFailed:
    return HandshakeFailed(cause, "what happened", alert=alert, is_alert_received=is_received)


@pytest.mark.parametrize(
    ("cause", "alert", "is_received", "code"),
    [
        (
            FailureCause.ALERT_RECEIVED,
            "handshake_failure",
            True,
            "tls-remote-alert-40-handshake-failure",
        ),
        (FailureCause.ALERT_RECEIVED, "alert_200", True, "tls-remote-alert-200"),
        (FailureCause.ALERT_RECEIVED, None, True, "tls-remote-alert"),
        (FailureCause.ALERT_SENT, "decode_error", False, "tls-local-alert-50-decode-error"),
        (FailureCause.ALERT_SENT, None, False, "tls-local-alert"),
        (
            FailureCause.VERSION,
            "protocol_version",
            True,
            "tls-remote-alert-70-protocol-version",
        ),
        (
            FailureCause.VERSION,
            "protocol_version",
            False,
            "tls-local-alert-70-protocol-version",
        ),
        (FailureCause.CLOSED, None, False, "connection-closed-during-handshake"),
        (FailureCause.RESET, None, False, "connection-reset-during-handshake"),
        (FailureCause.TIMED_OUT, None, False, "io-timeout-during-handshake"),
        (FailureCause.NOT_TLS, None, False, "tls-record-header-error"),
        (FailureCause.PROTOCOL, None, False, "tls-protocol-error"),
        (FailureCause.PROTOCOL, "internal_error", False, "tls-local-alert-80-internal-error"),
    ],
)
def test_each_failure_has_a_reason_code(
    cause: FailureCause, alert: str | None, is_received: bool, code: str
) -> None:
    """RFC 8460 §4.3: failures of the handshake itself are validation-failure. Rule 102."""
    finding = explain_failure(failure(cause, alert, is_received=is_received))
    assert (finding.result_type, finding.reason_code) == (ResultType.VALIDATION_FAILURE, code)
    assert finding.text.startswith("what happened")
    assert finding.depth is None


@pytest.mark.parametrize(
    ("alert", "result_type"),
    [
        ("certificate_expired", ResultType.CERTIFICATE_EXPIRED),
        ("unknown_ca", ResultType.CERTIFICATE_NOT_TRUSTED),
        (None, ResultType.CERTIFICATE_NOT_TRUSTED),
    ],
)
def test_a_refused_chain_is_not_trusted_or_expired(
    alert: str | None, result_type: ResultType
) -> None:
    """RFC 8460 §4.3.1."""
    refused = failure(FailureCause.CERTIFICATE_REFUSED, alert, is_received=False)
    finding = explain_failure(refused)
    assert finding.result_type is result_type
    assert finding.reason_code == "certificate-refused-during-handshake"


def test_every_cause_has_a_code_and_none_is_empty() -> None:
    for cause in FailureCause:
        assert explain_failure(failure(cause, None, is_received=False)).reason_code


def test_what_an_alert_means_is_said_when_the_peer_sent_it() -> None:
    cause = FailureCause.ALERT_RECEIVED
    received = explain_failure(failure(cause, "certificate_required", is_received=True))
    assert received.text == "what happened (it wants a client certificate)"
    unknown = explain_failure(failure(cause, "alert_200", is_received=True))
    assert unknown.text == "what happened"
    sent = failure(FailureCause.ALERT_SENT, "internal_error", is_received=False)
    assert explain_failure(sent).text == "what happened"
