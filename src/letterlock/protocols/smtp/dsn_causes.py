"""Why mail was not delivered, in the words of people who never heard of mail servers.

RFC 3463 §3, RFC 5248 §2.4 (the status codes); RFC 8460 §4.3 (what went wrong with TLS). Each cause
has a name, and a text that an operator may replace (`dsn_templates`). What the other side said
itself is shown beside it, by `dsn_text`.
"""

from enum import StrEnum

from letterlock.protocols.smtp.dsn_report import ReportedRecipient
from letterlock.protocols.tlsrpt.result_types import ResultType

EXPIRED_STATUS = "4.4.7"
"""RFC 3463 §3.5: delivery time expired."""


class Cause(StrEnum):
    """The names of causes, beside those of TLS failures (`ResultType`)."""

    NO_SUCH_USER = "no-such-user"
    NO_SUCH_DOMAIN = "no-such-domain"
    NO_MAIL_HERE = "no-mail-here"
    WRONG_ADDRESS = "wrong-address"
    MOVED = "moved"
    MAILBOX_DISABLED = "mailbox-disabled"
    MAILBOX_FULL = "mailbox-full"
    TOO_LARGE = "too-large"
    SERVER_BUSY = "server-busy"
    UNREACHABLE = "unreachable"
    NAME_SERVICE = "name-service"
    NO_SERVER = "no-server"
    LOOP = "loop"
    TOO_MANY_RECIPIENTS = "too-many-recipients"
    CONTENT = "content"
    NO_UNICODE = "no-unicode"
    SENDER_REFUSED = "sender-refused"
    SENDER_UNPROVED = "sender-unproved"
    FORBIDDEN = "forbidden"
    ASKED_TO_WAIT = "asked-to-wait"
    TLS_POLICY = "tls-policy"
    REQUIRETLS = "requiretls"
    OUR_FAULT = "our-fault"
    REFUSED = "refused"
    NOT_YET = "not-yet"


class Phrase(StrEnum):
    """Sentences that go with any cause; replaced in the same way."""

    EXPIRED = "expired"
    RETURNED_MESSAGE = "returned-message"
    RETURNED_HEADER = "returned-header"
    RETURNED_REQUIRETLS = "returned-requiretls"
    NOTHING_KNOWN = "nothing-known"


_BY_STATUS = {
    "1.1": Cause.NO_SUCH_USER,
    "1.2": Cause.NO_SUCH_DOMAIN,
    "1.3": Cause.WRONG_ADDRESS,
    "1.4": Cause.WRONG_ADDRESS,
    "1.6": Cause.MOVED,
    "1.7": Cause.SENDER_REFUSED,
    "1.8": Cause.SENDER_REFUSED,
    "1.10": Cause.NO_MAIL_HERE,
    "2.1": Cause.MAILBOX_DISABLED,
    "2.2": Cause.MAILBOX_FULL,
    "2.3": Cause.TOO_LARGE,
    "3.1": Cause.SERVER_BUSY,
    "3.4": Cause.TOO_LARGE,
    "4.1": Cause.UNREACHABLE,
    "4.2": Cause.UNREACHABLE,
    "4.3": Cause.NAME_SERVICE,
    "4.4": Cause.NO_SERVER,
    "4.5": Cause.SERVER_BUSY,
    "4.6": Cause.LOOP,
    "4.7": Cause.UNREACHABLE,
    "5.3": Cause.TOO_MANY_RECIPIENTS,
    "6.0": Cause.CONTENT,
    "6.1": Cause.CONTENT,
    "6.2": Cause.CONTENT,
    "6.3": Cause.CONTENT,
    "6.7": Cause.NO_UNICODE,
    "6.9": Cause.NO_UNICODE,
    "7.10": Cause.REQUIRETLS,
    "7.30": Cause.REQUIRETLS,
    **{f"7.{detail}": Cause.SENDER_UNPROVED for detail in range(20, 30)},
}
_BY_CLASS = {
    "5.3.2": Cause.NO_MAIL_HERE,
    "4.3.2": Cause.SERVER_BUSY,
    "5.7.0": Cause.FORBIDDEN,
    "5.7.1": Cause.FORBIDDEN,
    "5.7.2": Cause.FORBIDDEN,
    "4.7.0": Cause.ASKED_TO_WAIT,
    "4.7.1": Cause.ASKED_TO_WAIT,
}
_OURS = {
    "3.0": Cause.OUR_FAULT,
    "3.5": Cause.OUR_FAULT,
    "2.0": Cause.OUR_FAULT,
    "7.5": Cause.TLS_POLICY,
}
"""What these mean where nobody else spoke."""

_NOT_SENT = (
    "So we could not be sure that your message would reach the right server and nobody else. "
    "It was NOT sent, and in particular it was not sent in clear. Only the people who run the "
    "receiving server can correct this: tell the recipient in another way, or write to "
    "postmaster@{domain} from another account."
)

DEFAULT_SENTENCES: dict[str, str] = {
    Cause.NO_SUCH_USER: (
        "There is no such mailbox: the part before the @ is not known at {domain}. Look for "
        "mistakes in the address, and ask the recipient for the right one."
    ),
    Cause.NO_SUCH_DOMAIN: (
        "The domain {domain} does not exist, or cannot get mail. Look for mistakes in what stands "
        "behind the @."
    ),
    Cause.NO_MAIL_HERE: (
        "The domain {domain} does not take mail. Ask the recipient for another address."
    ),
    Cause.WRONG_ADDRESS: (
        "This is not an address that mail can be sent to. Look for mistakes in it."
    ),
    Cause.MOVED: (
        "The recipient has moved to another address. If it is not told below, ask the recipient."
    ),
    Cause.MAILBOX_DISABLED: (
        "The mailbox is there, but does not take mail. Ask the recipient in another way."
    ),
    Cause.MAILBOX_FULL: (
        "The recipient's mailbox is full. Send the message again when the recipient has made room."
    ),
    Cause.TOO_LARGE: (
        "Your message has {size}, and that is more than the receiving mail server takes ({words}). "
        "Send less in one message, or share large files in another way."
    ),
    Cause.SERVER_BUSY: (
        "The receiving mail server is there, but could not take more mail. If this lasts, the "
        "people who run it must help: tell the recipient in another way."
    ),
    Cause.UNREACHABLE: (
        "The receiving mail server could not be reached, or broke off. Tell the recipient in "
        "another way: the people who run that server must help."
    ),
    Cause.NAME_SERVICE: (
        "The name service could not say where mail for {domain} goes. The people who run the "
        "domain {domain} must help: tell the recipient in another way."
    ),
    Cause.NO_SERVER: (
        "The domain {domain} names no mail server that can be found. Look for mistakes in what "
        "stands behind the @; if it is right, tell the recipient in another way."
    ),
    Cause.LOOP: (
        "The message went in a circle between mail servers. Those who run them must help: send "
        "this report to {postmaster}."
    ),
    Cause.TOO_MANY_RECIPIENTS: (
        "The message had more recipients than the receiving mail server takes at once. Send it to "
        "fewer at a time."
    ),
    Cause.CONTENT: (
        "The receiving mail server cannot take a message of this kind. Send it in a simpler form, "
        "as plain text and without attachments."
    ),
    Cause.NO_UNICODE: (
        "An address in your message has letters beyond the English alphabet, and the receiving "
        "mail server cannot work with them. Use another address if there is one."
    ),
    Cause.SENDER_REFUSED: (
        "The receiving mail server does not take mail from your address. Send it from another "
        "address, or tell the recipient in another way."
    ),
    Cause.SENDER_UNPROVED: (
        "The receiving mail server could not be sure that the message comes from you (SPF, DKIM, "
        "DMARC). Send mail through the mail server of your own domain only; if you did, those who "
        "run it must help."
    ),
    Cause.FORBIDDEN: (
        "The receiving mail server refused the message by a rule of its own: it may have taken it "
        "for unwanted mail, or you may not be allowed to write to this address. What it said "
        "stands below; tell the recipient in another way."
    ),
    Cause.ASKED_TO_WAIT: (
        "The receiving mail server asked for patience. Some do so with everybody whom they do not "
        "know yet."
    ),
    Cause.TLS_POLICY: (
        "It is not known how mail for {domain} must be protected on its way, so it was not sent."
    ),
    Cause.REQUIRETLS: (
        "You sent it with the demand that no connection carries it that is not encrypted, with a "
        "verified server that keeps this demand (REQUIRETLS), and none was found on the way. It "
        "was NOT sent. Without that demand it may go through."
    ),
    Cause.OUR_FAULT: (
        "Something is wrong with our own mail server. Send this report to {postmaster}; your "
        "message did nothing wrong."
    ),
    Cause.REFUSED: (
        "The message was refused. What was said of it stands below; it may help to ask the "
        "recipient in another way."
    ),
    Cause.NOT_YET: "The message could not be handed over yet. What was said of it stands below.",
    ResultType.STARTTLS_NOT_SUPPORTED: (
        "The receiving mail server did not offer an encrypted connection, which is required for "
        f"this destination. {_NOT_SENT}"
    ),
    ResultType.CERTIFICATE_HOST_MISMATCH: (
        "The receiving mail server showed a certificate that was issued for another name. "
        f"{_NOT_SENT}"
    ),
    ResultType.CERTIFICATE_EXPIRED: (
        "The receiving mail server showed a certificate that is no longer valid, or not yet "
        f"({{words}}). {_NOT_SENT}"
    ),
    ResultType.CERTIFICATE_NOT_TRUSTED: (
        "The receiving mail server showed a certificate that no authority we trust has issued. "
        f"{_NOT_SENT}"
    ),
    ResultType.VALIDATION_FAILURE: (
        "An encrypted connection to the receiving mail server, as it is required for this "
        f"destination, could not be established. {_NOT_SENT}"
    ),
    ResultType.TLSA_INVALID: (
        "The receiving mail server's certificate is not the one that its domain has published "
        f"(DANE). {_NOT_SENT}"
    ),
    ResultType.DNSSEC_INVALID: (
        "What the name service says of the receiving mail server did not pass verification "
        f"(DNSSEC). {_NOT_SENT}"
    ),
    ResultType.DANE_REQUIRED: (
        "This destination requires published certificates (DANE), and none that can be used were "
        f"found. {_NOT_SENT}"
    ),
    ResultType.STS_POLICY_FETCH_ERROR: (
        f"The mail policy of the destination (MTA-STS) could not be fetched. {_NOT_SENT}"
    ),
    ResultType.STS_POLICY_INVALID: (
        "The mail policy of the destination (MTA-STS) is wrong, or does not name this mail server. "
        f"{_NOT_SENT}"
    ),
    ResultType.STS_WEBPKI_INVALID: (
        "The host that publishes the destination's mail policy (MTA-STS) could not be verified. "
        f"{_NOT_SENT}"
    ),
    Phrase.EXPIRED: "It was tried again and again since {arrived}, and the time for that is over.",
    Phrase.RETURNED_MESSAGE: "Your message is attached.",
    Phrase.RETURNED_HEADER: "The beginning of your message, its header, is attached.",
    Phrase.RETURNED_REQUIRETLS: (
        "Of your message only the header is attached: you sent it with the demand that no "
        "connection carries it that is not encrypted and verified (REQUIRETLS)."
    ),
    Phrase.NOTHING_KNOWN: "(nothing more is known)",
}
"""Each cause's text: what happened, and what the sender can do."""


def find_cause(reported: ReportedRecipient) -> str:
    """Give the name of the cause, a key of DEFAULT_SENTENCES."""
    if reported.tls_result is not None:
        return reported.tls_result.value
    if reported.cause in DEFAULT_SENTENCES:
        return reported.cause
    status = reported.cause or reported.status
    kind, _, rest = status.partition(".")
    if reported.remote_mta is None and rest in _OURS:
        return _OURS[rest]
    if status in _BY_CLASS:
        return _BY_CLASS[status]
    if rest in _BY_STATUS:
        return _BY_STATUS[rest]
    return Cause.NOT_YET if kind == "4" else Cause.REFUSED
