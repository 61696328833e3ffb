"""SMTP replies, as values and on the wire.

RFC 5321 §4.2 (replies), RFC 2034 §4 and RFC 3463 §2 (enhanced status codes).
"""

from functools import lru_cache

from msgspec import Struct

MAX_REPLY_LINE_OCTETS = 512
"""RFC 5321 §4.5.3.1.5, with CRLF."""


class Reply(Struct, frozen=True):
    """One reply: code, text lines without code, and the enhanced status code, if it had one.

    `status` is `"5.7.1"`; None when there is none. `lines` has at least one entry. In replies
    received, octets outside printable ASCII were replaced by `?`, unless the session is SMTPUTF8.
    """

    code: int
    lines: tuple[str, ...] = ("",)
    status: str | None = None

    @property
    def is_positive(self) -> bool:
        return 200 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        return 500 <= self.code < 600

    @property
    def text(self) -> str:
        """The reply on one line, as logs and bounces show it."""
        status = f"{self.status} " if self.status else ""
        return f"{self.code} {status}{' '.join(self.lines)}".rstrip()

    @property
    def transcript(self) -> str:
        """The reply as it came, a space between its lines: RFC 3461 §9.2 (Diagnostic-Code)."""
        status = f"{self.status} " if self.status else ""
        *before, last = self.lines or ("",)
        lines = [f"{self.code}-{status}{line}" for line in before]
        return " ".join([*lines, f"{self.code} {status}{last}".rstrip()])


def reply(code: int, status: str | None, text: str) -> Reply:
    """Make a one-line reply."""
    return Reply(code, (text,), status)


@lru_cache(maxsize=128)
def format_reply(value: Reply) -> bytes:
    """Put a reply on the wire; lines that would be too long are cut (RFC 5321 §4.5.3.1.5).

    The last ones are kept: most replies are one of a few that never change.
    """
    prefix = f"{value.status} " if value.status else ""
    if len(value.lines) == 1 and value.lines[0]:
        text = f"{value.code} {prefix}{value.lines[0]}".encode("utf-8", "replace")
        return text[: MAX_REPLY_LINE_OCTETS - 2] + b"\r\n"
    last = len(value.lines) - 1
    wire = bytearray()
    for number, line in enumerate(value.lines):
        mark = " " if number == last else "-"
        text = f"{value.code}{mark}{prefix}{line}".encode("utf-8", "replace")
        wire += (
            text[: MAX_REPLY_LINE_OCTETS - 2].rstrip()
            if number == last and not line
            else text[: MAX_REPLY_LINE_OCTETS - 2]
        )
        wire += b"\r\n"
    return bytes(wire)
