"""OpenSSL's errors as failed handshakes.

OpenSSL names an error by library and reason; pyOpenSSL hands out the reason's text, no number, so
the texts are what is known of it. The tests make every one of these with a real OpenSSL, and so
notice when a release words them otherwise.
"""

from OpenSSL import SSL

from letterlock.base.printable import make_printable
from letterlock.protocols.tls.handshake import FailureCause, HandshakeFailed

SHOWN_OCTETS = 60
"""How much of an answer that is not TLS is shown: enough for an SMTP reply or a banner."""


def describe_error(error: SSL.Error) -> str:
    """Give OpenSSL's reasons as text; "" when it gave none."""
    if isinstance(error, SSL.SysCallError):
        return str(error.args[-1]).lower()
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(reason for _, _, reason in queue if reason)


def find_received_alert(reason: str) -> str | None:
    """Name the alert that OpenSSL says it received; None when the text is of something else."""
    first = reason.partition(",")[0]
    for prefix in ("tls alert ", "sslv3 alert ", "tlsv1 alert ", "tlsv13 alert "):
        if first.startswith(prefix):
            words = first.removeprefix(prefix)
            return _UNLIKE_RFC.get(words, words.replace(" ", "_"))
    return _ALERTS_WITHOUT_THE_WORD.get(first)


def classify(reason: str, *, plain_alert_sent: str | None, received: bytes) -> HandshakeFailed:
    """Name a failure inside the handshake by OpenSSL's reason.

    `plain_alert_sent` is the alert that left in clear, if one did; `received` is how the peer
    began, shown where that is not TLS.
    """
    alert = find_received_alert(reason)
    if alert is not None:
        return make_alert_failure(alert)
    first = reason.partition(",")[0]
    if first in _NOT_TLS:
        return HandshakeFailed(FailureCause.NOT_TLS, f"{_describe_start(received)} ({first})")
    if first in _VERSION:
        detail = f"no TLS version in common ({first})"
        return HandshakeFailed(FailureCause.VERSION, detail, alert="protocol_version")
    if first == "certificate verify failed":
        cause = FailureCause.CERTIFICATE_REFUSED
        return HandshakeFailed(cause, "we refused the certificate", alert=plain_alert_sent)
    detail = f"TLS error: {reason or 'no reason given'}"
    cause = FailureCause.ALERT_SENT if plain_alert_sent else FailureCause.PROTOCOL
    return HandshakeFailed(cause, detail, alert=plain_alert_sent)


def make_alert_failure(alert: str) -> HandshakeFailed:
    """Make the failure of a fatal alert that the peer sent."""
    is_version = alert == "protocol_version"
    return HandshakeFailed(
        FailureCause.VERSION if is_version else FailureCause.ALERT_RECEIVED,
        f"the peer sent the TLS alert {alert}",
        alert=alert,
        is_alert_received=True,
    )


def _describe_start(received: bytes) -> str:
    if received[:1] in (b"\x14", b"\x15", b"\x16", b"\x17") and received[1:2] == b"\x03":
        return "the peer sent a TLS record that is too long or damaged"
    start = make_printable(received[:SHOWN_OCTETS].decode("ascii", "replace")).strip("?")
    shown = start.replace("\ufffd", "?")
    return f"the peer's answer is not TLS: {shown!r}" if shown else "the peer's answer is not TLS"


# OpenSSL's words for alerts that RFC 8446 §6 spells otherwise.
_UNLIKE_RFC = {"user cancelled": "user_canceled"}
_ALERTS_WITHOUT_THE_WORD = {
    "tlsv1 unsupported extension": "unsupported_extension",
    "tlsv1 certificate unobtainable": "certificate_unobtainable",
    "tlsv1 unrecognized name": "unrecognized_name",
    "tlsv1 bad certificate status response": "bad_certificate_status_response",
    "tlsv1 bad certificate hash value": "bad_certificate_hash_value",
}

_NOT_TLS = frozenset(
    {
        "wrong version number",
        "http request",
        "https proxy request",
        "data length too long",
        "packet length too long",
        "record too small",
        "bad record type",
    }
)
_VERSION = frozenset(
    {"unsupported protocol", "unknown protocol", "version too low", "no protocols available"}
)
