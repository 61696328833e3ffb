"""What people read in a delivery status notification: what happened, and what they can do.

RFC 6522 §3 (the first part), RFC 3464 §1.1. Plain English; for TLS failures it says what was not
verified and that nothing was sent. The machine's part is in `dsn_fields`.
"""

import textwrap

from letterlock.protocols.smtp.dsn_report import Action, DsnReport, ReportedRecipient
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.smtp.header_fields import format_date, make_safe
from letterlock.protocols.tlsrpt.result_types import ResultType

_WIDTH = 72
_MAX_WORD_CHARACTERS = 200

_OPENINGS = {
    Action.FAILED: [
        (
            "Your message could not be delivered to the recipients below. It will not be tried "
            "again. Your message, or its header, is attached."
        ),
        "For help, write to postmaster at this host and include this report.",
    ],
    Action.DELAYED: [
        "THIS IS A WARNING ONLY. YOU DO NOT NEED TO SEND YOUR MESSAGE AGAIN.",
        "Your message has not been delivered to the recipients below yet.",
    ],
    Action.DELIVERED: [
        (
            "Your message was delivered to the recipients below, as you asked to be told. "
            "This does not say that it was read."
        ),
    ],
    Action.RELAYED: [
        (
            "Your message was handed on for the recipients below, to a mail server that does "
            "not confirm deliveries. You will be told if that server cannot deliver it, but not "
            "if it can."
        ),
    ],
}

_REQUIRETLS = (
    "You sent it with the demand that no connection carries it that is not encrypted, with a "
    "verified server that keeps this demand (REQUIRETLS). So of your message only the header is "
    "attached."
)

_TLS_REASONS = {
    ResultType.STARTTLS_NOT_SUPPORTED: (
        "The receiving mail server did not offer an encrypted connection, which is required for "
        "this destination."
    ),
    ResultType.CERTIFICATE_HOST_MISMATCH: (
        "The receiving mail server showed a certificate that was issued for another name."
    ),
    ResultType.CERTIFICATE_EXPIRED: (
        "The receiving mail server showed a certificate that is no longer valid, or not yet."
    ),
    ResultType.CERTIFICATE_NOT_TRUSTED: (
        "The receiving mail server showed a certificate that no authority we trust has issued."
    ),
    ResultType.VALIDATION_FAILURE: (
        "An encrypted connection to the receiving mail server, as it is required for this "
        "destination, could not be established."
    ),
    ResultType.TLSA_INVALID: (
        "The receiving mail server's certificate is not the one that its domain has published "
        "(DANE)."
    ),
    ResultType.DNSSEC_INVALID: (
        "What the name service says of the receiving mail server did not pass verification "
        "(DNSSEC)."
    ),
    ResultType.DANE_REQUIRED: (
        "This destination requires published certificates (DANE), and none that can be used were "
        "found."
    ),
    ResultType.STS_POLICY_FETCH_ERROR: (
        "The mail policy of the destination (MTA-STS) could not be fetched."
    ),
    ResultType.STS_POLICY_INVALID: (
        "The mail policy of the destination (MTA-STS) is wrong, or does not name this mail server."
    ),
    ResultType.STS_WEBPKI_INVALID: (
        "The host that publishes the destination's mail policy (MTA-STS) could not be verified."
    ),
}

_TLS_CONSEQUENCE = (
    "So we could not be sure that your message would reach the right server and nobody else. "
    "It was NOT sent, and in particular it was not sent in clear. Only the people who run the "
    "receiving server can correct this."
)


def format_explanation(report: DsnReport) -> str:
    """Give the text, in CRLF lines; UTF-8 only for SMTPUTF8 messages."""
    may_be_utf8 = report.original.envelope.smtputf8
    paragraphs = [f"This is the mail system at host {report.reporting_mta}."]
    paragraphs += _OPENINGS[report.action]
    is_requiretls = report.original.envelope.tls_demand is TlsDemand.REQUIRETLS
    if report.action is Action.FAILED and is_requiretls:
        paragraphs.insert(2, _REQUIRETLS)
    if report.action is Action.DELAYED:
        paragraphs += _retry_paragraph(report)
    text = [_wrap(paragraph) for paragraph in paragraphs]
    for reported in report.recipients:
        text += _recipient_paragraphs(reported, may_be_utf8=may_be_utf8)
    return "\r\n\r\n".join(text) + "\r\n"


def _retry_paragraph(report: DsnReport) -> list[str]:
    sentences = []
    if report.next_attempt is not None:
        sentences.append(f"The next try is due at {format_date(report.next_attempt)}.")
    if report.retry_until is not None:
        until = format_date(report.retry_until)
        sentences.append(f"It is tried again until {until}; then it comes back to you.")
    return [" ".join(sentences)] if sentences else []


def _recipient_paragraphs(reported: ReportedRecipient, *, may_be_utf8: bool) -> list[str]:
    address = make_safe(reported.recipient.address, may_be_utf8=may_be_utf8)
    words = make_safe(reported.diagnostic, may_be_utf8=may_be_utf8) or "(nothing more is known)"
    said = ""
    if reported.remote_mta is not None:
        said = f"host {make_safe(reported.remote_mta)} said: "
    paragraphs = [_wrap(f"<{address}>: {said}{words}", indent="    ")]
    if reported.tls_result is not None:
        paragraphs.append(
            _wrap(
                f"    {_TLS_REASONS[reported.tls_result]} {_TLS_CONSEQUENCE} "
                f"({reported.tls_result})",
                indent="    ",
            )
        )
    return paragraphs


def _wrap(text: str, *, indent: str = "") -> str:
    has_long_word = any(len(word) > _MAX_WORD_CHARACTERS for word in text.split())
    lines = textwrap.wrap(
        text,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=has_long_word,
        break_on_hyphens=False,
    )
    return "\r\n".join(lines)
