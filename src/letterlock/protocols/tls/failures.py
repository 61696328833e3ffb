"""Failed handshakes in the words of TLS reports: result type, reason code, a sentence.

RFC 8460 §4.3 (result types). Reason codes are free text there; ours stay near to mox's, so that
reports of both sort together: `tls-remote-alert-40-handshake-failure` for an alert that came,
`tls-local-alert-...` for one we sent. What is wrong with a refused chain is judged in
`protocols.pki`; the finding here only says that it was refused.
"""

from letterlock.protocols.tls.alerts import ALERT_NUMBERS
from letterlock.protocols.tls.handshake import FailureCause, HandshakeFailed
from letterlock.protocols.tlsrpt.findings import Finding
from letterlock.protocols.tlsrpt.result_types import ResultType


def explain_failure(failure: HandshakeFailed) -> Finding:
    """Name a failed handshake: never without a reason code."""
    meaning = _ALERT_MEANINGS.get(failure.alert or "") if failure.is_alert_received else None
    text = f"{failure.detail} ({meaning})" if meaning else failure.detail
    return Finding(_find_result_type(failure), _find_reason_code(failure), text)


def _find_result_type(failure: HandshakeFailed) -> ResultType:
    if failure.cause is not FailureCause.CERTIFICATE_REFUSED:
        return ResultType.VALIDATION_FAILURE
    if failure.alert == "certificate_expired":
        return ResultType.CERTIFICATE_EXPIRED
    return ResultType.CERTIFICATE_NOT_TRUSTED


def _find_reason_code(failure: HandshakeFailed) -> str:
    if failure.cause in _ALERT_CAUSES or (failure.cause is FailureCause.PROTOCOL and failure.alert):
        return _format_alert_code(failure)
    return _REASON_CODES[failure.cause]


def _format_alert_code(failure: HandshakeFailed) -> str:
    side = "remote" if failure.is_alert_received else "local"
    if failure.alert is None:
        return f"tls-{side}-alert"
    # An alert that has no name is `alert_N` already.
    number = ALERT_NUMBERS.get(failure.alert)
    name = failure.alert if number is None else f"alert-{number}-{failure.alert}"
    return f"tls-{side}-{name.replace('_', '-')}"


_ALERT_CAUSES = (FailureCause.ALERT_RECEIVED, FailureCause.ALERT_SENT, FailureCause.VERSION)

_REASON_CODES = {
    FailureCause.CERTIFICATE_REFUSED: "certificate-refused-during-handshake",
    FailureCause.CLOSED: "connection-closed-during-handshake",
    FailureCause.RESET: "connection-reset-during-handshake",
    FailureCause.TIMED_OUT: "io-timeout-during-handshake",
    FailureCause.NOT_TLS: "tls-record-header-error",
    FailureCause.PROTOCOL: "tls-protocol-error",
}

_ALERT_MEANINGS = {
    "handshake_failure": "it found no cipher, group or signature algorithm in common with us, "
    "or wants a client certificate",
    "insufficient_security": "it found our ciphers or keys too weak",
    "protocol_version": "it has no TLS version in common with us",
    "certificate_required": "it wants a client certificate",
    "unrecognized_name": "it has no certificate for the name we asked for",
    "no_application_protocol": "it has no application protocol in common with us",
    "unknown_ca": "it does not trust the issuer of our certificate",
    "bad_certificate": "it refused our certificate",
    "certificate_unknown": "it refused our certificate",
    "certificate_expired": "it takes our certificate to be expired",
    "certificate_revoked": "it takes our certificate to be revoked",
    "unsupported_certificate": "it can't use our kind of certificate",
    "internal_error": "it failed for a reason of its own",
}
