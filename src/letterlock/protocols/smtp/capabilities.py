"""What a server offers: its EHLO reply as a value.

RFC 5321 §4.1.1.1 (EHLO), RFC 2920, RFC 1870, RFC 6152, RFC 6531, RFC 3030, RFC 3461, RFC 2034,
RFC 3207, RFC 8689, RFC 4954, RFC 9422 §3 (limits). A new EHLO gives a new value: nothing carries
over from before the handshake (RFC 3207 §4.2).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from letterlock.protocols.smtp.replies import Reply

_MAX_SIZE_DIGITS = 20  # RFC 1870 §3
_MAX_LIMIT_DIGITS = 6  # RFC 9422 §3


@dataclass(frozen=True, slots=True)
class Limits:
    """RFC 9422 §4: what a server takes in one session; None where it does not say."""

    mail_max: int | None = None
    """Transactions in a session."""
    rcpt_max: int | None = None
    """RCPT commands in a transaction."""
    rcpt_domain_max: int | None = None
    """Different domains in a transaction's RCPT commands."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The extensions a server offers, by their keywords. All off: it knows only HELO.

    `name` is what the server calls itself. `size` is its limit in octets; None when it has none
    or does not say. `auth` holds mechanisms in upper case.
    """

    name: str = ""
    pipelining: bool = False
    has_size: bool = False
    size: int | None = None
    eightbitmime: bool = False
    smtputf8: bool = False
    chunking: bool = False
    binarymime: bool = False
    dsn: bool = False
    enhancedstatuscodes: bool = False
    starttls: bool = False
    requiretls: bool = False
    limits: Limits = Limits()
    auth: frozenset[str] = frozenset()


def parse_capabilities(reply: Reply) -> Capabilities:
    """Read a 250 reply to EHLO or LHLO. Keywords count in any case; unknown ones do not count."""
    offered = _collect_keywords(reply.lines[1:])
    chunking = "CHUNKING" in offered
    return Capabilities(
        name=_first_word(reply),
        pipelining="PIPELINING" in offered,
        has_size="SIZE" in offered,
        size=_parse_number(offered.get("SIZE", ()), _MAX_SIZE_DIGITS),
        eightbitmime="8BITMIME" in offered,
        smtputf8="SMTPUTF8" in offered,
        chunking=chunking,
        binarymime=chunking and "BINARYMIME" in offered,  # RFC 3030 §3: only with CHUNKING
        dsn="DSN" in offered,
        enhancedstatuscodes="ENHANCEDSTATUSCODES" in offered,
        starttls="STARTTLS" in offered,
        requiretls="REQUIRETLS" in offered,
        limits=_parse_limits(offered.get("LIMITS", ())),
        auth=frozenset(offered.get("AUTH", ())),
    )


def helo_capabilities(reply: Reply) -> Capabilities:
    """Give what a server offers that answered only HELO: nothing."""
    return Capabilities(name=_first_word(reply))


def _collect_keywords(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    offered: dict[str, tuple[str, ...]] = {}
    for line in lines:
        # `AUTH=LOGIN PLAIN` is what servers said before RFC 4954, and some still say.
        words = line.upper().replace("AUTH=", "AUTH ", 1).split()
        if words:
            offered[words[0]] = offered.get(words[0], ()) + tuple(words[1:])
    return offered


def _first_word(reply: Reply) -> str:
    return reply.lines[0].partition(" ")[0]


def _parse_number(words: Iterable[str], max_digits: int) -> int | None:
    """Read the first word as a number over 0; None for anything else (RFC 1870 §3: 0, no limit)."""
    text = next(iter(words), "")
    if not (text.isascii() and text.isdigit() and len(text) <= max_digits):
        return None
    return int(text) or None


def _parse_limits(words: Iterable[str]) -> Limits:
    pairs = dict(word.partition("=")[::2] for word in words)

    def limit(name: str) -> int | None:
        return _parse_number([pairs.get(name, "")], _MAX_LIMIT_DIGITS)

    return Limits(limit("MAILMAX"), limit("RCPTMAX"), limit("RCPTDOMAINMAX"))
