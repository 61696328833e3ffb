"""The names and numbers of TLS alerts.

RFC 8446 §6 and the IANA registry of TLS alerts, those of earlier versions included.
"""

ALERT_NUMBERS = {
    "close_notify": 0,
    "unexpected_message": 10,
    "bad_record_mac": 20,
    "decryption_failed": 21,
    "record_overflow": 22,
    "decompression_failure": 30,
    "handshake_failure": 40,
    "no_certificate": 41,
    "bad_certificate": 42,
    "unsupported_certificate": 43,
    "certificate_revoked": 44,
    "certificate_expired": 45,
    "certificate_unknown": 46,
    "illegal_parameter": 47,
    "unknown_ca": 48,
    "access_denied": 49,
    "decode_error": 50,
    "decrypt_error": 51,
    "too_many_cids_requested": 52,
    "export_restriction": 60,
    "protocol_version": 70,
    "insufficient_security": 71,
    "internal_error": 80,
    "inappropriate_fallback": 86,
    "user_canceled": 90,
    "no_renegotiation": 100,
    "missing_extension": 109,
    "unsupported_extension": 110,
    "certificate_unobtainable": 111,
    "unrecognized_name": 112,
    "bad_certificate_status_response": 113,
    "bad_certificate_hash_value": 114,
    "unknown_psk_identity": 115,
    "certificate_required": 116,
    "general_error": 117,
    "no_application_protocol": 120,
    "ech_required": 121,
}
"""By the name that RFC 8446 §6 and its fellows use."""

_NAMES = {number: name for name, number in ALERT_NUMBERS.items()}

_FATAL = 2
_ALERT_RECORD_OCTETS = 7


def find_plain_alert(wire: bytes) -> str | None:
    """Name the fatal alert that ends these octets in clear; None when none does.

    An alert with a number we have no name for is `alert_N`. Alerts under encryption (all in
    TLS 1.3 after the ServerHello) can't be seen here.
    """
    record = wire[-_ALERT_RECORD_OCTETS:]
    # RFC 8446 §5.1, §6: type alert, version {03,XX}, length 2, level, description.
    if len(record) < _ALERT_RECORD_OCTETS or record[:2] != b"\x15\x03":
        return None
    if record[3:6] != bytes((0, 2, _FATAL)):
        return None
    return name_alert(record[6])


def name_alert(number: int) -> str:
    """Give an alert's name; `alert_N` where there is none."""
    return _NAMES.get(number, f"alert_{number}")
