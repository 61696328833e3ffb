"""The machine's part of a delivery status notification.

RFC 3464 §2.2 (per message), §2.3 (per recipient); RFC 3461 §6.3 (which of them); RFC 6533 §3, §4.1
(UTF-8 addresses). Everything from outside is made safe: no reply and no address begins a field.
"""

import re

from letterlock.protocols.smtp.dsn_report import Action, DsnReport, ReportedRecipient
from letterlock.protocols.smtp.header_fields import format_date, format_field, make_safe
from letterlock.protocols.smtp.status_codes import is_status
from letterlock.protocols.smtp.xtext import (
    ADDRESS_TYPE,
    XtextError,
    decode_utf8_address,
    decode_xtext,
    encode_utf8_address,
)

_ADDRESS_TYPE = re.compile(rf"{ADDRESS_TYPE}\Z")  # RFC 3464 §2.1.2: an atom


def format_status_fields(report: DsnReport) -> str:
    """Give the part's body. It is ASCII unless the message was SMTPUTF8 and needs more."""
    groups = [_message_fields(report)]
    groups += [_recipient_fields(report, recipient) for recipient in report.recipients]
    return "\r\n".join(groups)


def _message_fields(report: DsnReport) -> str:
    original = report.original
    fields = [("Reporting-MTA", f"dns; {report.reporting_mta}")]
    if original.envelope.envid is not None:
        fields.append(("Original-Envelope-Id", _decode(original.envelope.envid)))
    fields += [
        ("X-Letterlock-Queue-ID", original.queue_id),
        ("Arrival-Date", format_date(original.arrived)),
    ]
    return _format(fields, may_be_utf8=original.envelope.smtputf8)


def _recipient_fields(report: DsnReport, reported: ReportedRecipient) -> str:
    has_utf8 = report.original.envelope.smtputf8
    recipient = reported.recipient
    fields: list[tuple[str, str]] = []
    if recipient.orcpt is not None:
        fields += _original_recipient(recipient.orcpt, has_utf8=has_utf8)
    fields += [
        ("Final-Recipient", _final_recipient(recipient.address, has_utf8=has_utf8)),
        ("Action", report.action),
        ("Status", _status(reported.status, report.action)),
    ]
    if reported.remote_mta is not None:
        # `host[address]` is for people; the field has the name (RFC 3464 §2.3.5).
        name = reported.remote_mta.partition("[")[0] or reported.remote_mta
        fields.append(("Remote-MTA", f"dns; {name}"))
    if reported.diagnostic:
        # RFC 3461 §9.2: smtp is for replies; our own words are not one.
        kind = "smtp" if reported.remote_mta is not None else "X-Letterlock"
        fields.append(("Diagnostic-Code", f"{kind}; {reported.diagnostic}"))
    if reported.last_attempt is not None:
        fields.append(("Last-Attempt-Date", format_date(reported.last_attempt)))
    if report.action is Action.DELAYED and report.retry_until is not None:
        fields.append(("Will-Retry-Until", format_date(report.retry_until)))
    if reported.tls_result is not None:
        fields.append(("X-Letterlock-TLS-Result", reported.tls_result))
    return _format(fields, may_be_utf8=has_utf8)


def _original_recipient(orcpt: str, *, has_utf8: bool) -> list[tuple[str, str]]:
    """RFC 3461 §6.3 (d): what ORCPT said, decoded; one that says nothing readable is left out."""
    kind, semicolon, address = orcpt.partition(";")
    if not semicolon or not _ADDRESS_TYPE.match(kind):
        return []
    if kind.lower() != "utf-8":
        return [("Original-Recipient", f"{kind}; {_decode(address)}")]
    decoded = decode_utf8_address(address)
    written = decoded if has_utf8 else encode_utf8_address(decoded)
    return [("Original-Recipient", f"{kind}; {written}")]


def _final_recipient(address: str, *, has_utf8: bool) -> str:
    if address.isascii():
        return f"rfc822; {address}"
    return f"utf-8; {address if has_utf8 else encode_utf8_address(address)}"


def _decode(text: str) -> str:
    try:
        return decode_xtext(text)
    except XtextError:
        return text


def _status(status: str, action: Action) -> str:
    """RFC 3461 §6.3 (g): where no status is known, x.0.0."""
    if is_status(status):
        return status
    return {Action.FAILED: "5.0.0", Action.DELAYED: "4.0.0"}.get(action, "2.0.0")


def _format(fields: list[tuple[str, str]], *, may_be_utf8: bool) -> str:
    return "".join(
        format_field(name, make_safe(value, may_be_utf8=may_be_utf8)) for name, value in fields
    )
