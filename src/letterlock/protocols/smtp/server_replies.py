"""What the server session says by itself.

RFC 5321 §4.2 and §4.3.2 (codes), RFC 2034 §4 (status codes everywhere but in the greeting and in
answers to HELO and EHLO), RFC 3463 §3, RFC 3207 §4, RFC 8689 §2, RFC 4954 §3. Extensions are
listed here as well.
"""

from functools import lru_cache

from letterlock.protocols.smtp.client_attributes import XCLIENT_KEYWORD, XFORWARD_KEYWORD
from letterlock.protocols.smtp.input_buffer import LineFault
from letterlock.protocols.smtp.replies import Reply, format_reply, reply
from letterlock.protocols.smtp.server_state import SessionSettings

OK = reply(250, "2.0.0", "Ok")
BYE = reply(221, "2.0.0", "Bye")
START_TEXT = reply(354, None, "End data with <CR><LF>.<CR><LF>")
VRFY = reply(252, "2.0.0", "Send some mail, it will be tried")
HELP = reply(214, "2.0.0", "See RFC 5321")
READY_FOR_TLS = reply(220, "2.0.0", "Ready to start TLS")

TLS_FIRST = reply(530, "5.7.0", "Must issue a STARTTLS command first")
ENCRYPTION_NEEDED = reply(530, "5.7.10", "REQUIRETLS needs TLS: STARTTLS first")
NO_REQUIRETLS = reply(555, "5.5.4", "REQUIRETLS is not offered")
NO_TLS_NOW = reply(454, "4.7.0", "TLS not available")
TLS_TWICE = reply(503, "5.5.1", "TLS is active already")
HELLO_FIRST = reply(503, "5.5.1", "Send EHLO or HELO first")
MAIL_FIRST = reply(503, "5.5.1", "Need MAIL command first")
MAIL_TWICE = reply(503, "5.5.1", "A mail transaction is open already")
RCPT_FIRST = reply(503, "5.5.1", "Need RCPT command first")
NO_RECIPIENTS = reply(554, "5.5.1", "No valid recipients")
CHUNKS_BEGUN = reply(503, "5.5.1", "The message has begun with BDAT")
CHUNK_FAILED = reply(503, "5.5.1", "An earlier chunk was refused: RSET first")
TOO_MANY_RECIPIENTS = reply(452, "4.5.3", "Too many recipients")
TOO_BIG = reply(552, "5.3.4", "Message size exceeds fixed limit")
ONLY_QUIT = reply(503, "5.5.1", "Only QUIT is accepted")
NO_AUTH = reply(502, "5.5.1", "AUTH is not offered")
NO_AUTH_PARAMETER = reply(555, "5.5.4", "Parameter AUTH is not known here")
OUT_OF_STEP = reply(554, "5.5.0", "SMTP protocol synchronization error")

LINE_FAULTS = {
    LineFault.BARE_LF: reply(550, "5.5.2", "Command refused: bare <LF> received"),
    LineFault.BARE_CR: reply(500, "5.5.2", "Command refused: bare <CR> received"),
    LineFault.TOO_LONG: reply(500, "5.5.2", "Line too long"),
}


@lru_cache(maxsize=64)
def format_banner(settings: SessionSettings) -> bytes:
    """Give the greeting as octets to send."""
    return format_reply(reply(220, None, f"{settings.hostname} ESMTP"))


@lru_cache(maxsize=64)
def format_ehlo(settings: SessionSettings, *, is_tls: bool) -> bytes:
    """List the extensions that there are at this moment (RFC 3207 §4.2), as octets to send."""
    lines = [
        settings.hostname,
        "PIPELINING",
        f"SIZE {settings.max_message_bytes}",
        "8BITMIME",
        "SMTPUTF8",
        "CHUNKING",
        "DSN",
        "ENHANCEDSTATUSCODES",
    ]
    if settings.offer_starttls and not is_tls:
        lines.append("STARTTLS")
    if settings.offer_requiretls and is_tls:
        lines.append("REQUIRETLS")
    if settings.auth_mechanisms and is_tls:
        lines.append(f"AUTH {' '.join(settings.auth_mechanisms)}")
    if settings.may_name_clients:
        lines.append(XCLIENT_KEYWORD)
    if settings.may_tell_origins:
        lines.append(XFORWARD_KEYWORD)
    return format_reply(Reply(250, tuple(lines)))


def helo(settings: SessionSettings) -> Reply:
    return reply(250, None, settings.hostname)


def chunk_received(octets: int) -> Reply:
    return reply(250, "2.0.0", f"{octets} octets received")


def timed_out(settings: SessionSettings) -> Reply:
    return reply(421, "4.4.2", f"{settings.hostname} Timeout exceeded")


def shutting_down(settings: SessionSettings) -> Reply:
    return reply(421, "4.3.2", f"{settings.hostname} Service shutting down")


def too_many_errors(settings: SessionSettings) -> Reply:
    return reply(421, "4.7.0", f"{settings.hostname} Too many errors")


def too_much_input(settings: SessionSettings) -> Reply:
    return reply(421, "4.7.0", f"{settings.hostname} Too much input")
