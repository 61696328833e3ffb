"""Reading replies: the client's half of the wire.

RFC 5321 §4.2 (replies), §4.2.1 (multi-line), §4.5.3.1.5 (length); RFC 2034 §4 (enhanced status
codes); RFC 6531 §3.7.4.2 (UTF-8 in replies). A line may end in LF alone, as Postfix takes it too:
a reply carries no content that could be smuggled. What a reply means is decided in `transaction`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from letterlock.protocols.smtp.replies import MAX_REPLY_LINE_OCTETS, Reply

MAX_RECEIVED_LINE_OCTETS = 4096
"""Longest line put up with, its end included; what is over MAX_REPLY_LINE_OCTETS is cut off."""
MAX_REPLY_LINES = 128
MAX_REPLY_OCTETS = 64 * 1024

# RFC 5321 §4.2: Reply-line = *( Reply-code "-" [ textstring ] CRLF )
#                              Reply-code [ SP textstring ] CRLF
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)
_USUAL = re.compile(rb"([2-5][0-9][0-9]) ([ -~]*)\r\n\Z")
# RFC 2034 §4: status-code at the beginning of the text; RFC 3464 §2.3.4: no leading zeros.
_STATUS = re.compile(r"([245])\.(?:0|[1-9][0-9]{0,2})\.(?:0|[1-9][0-9]{0,2})(?= |\Z)")


@dataclass(frozen=True, slots=True)
class ReplyViolation:
    """What came is not a reply. The session cannot go on: nobody knows what answers what.

    `excerpt` is the beginning of what came, printable.
    """

    reason: str
    excerpt: str = ""


class ReplyReader:
    """Turn received octets into replies. No I/O: the caller reads the socket."""

    def __init__(self, *, is_smtputf8: bool = False) -> None:
        self.is_smtputf8 = is_smtputf8
        """Text may be UTF-8. To be set only while a transaction uses SMTPUTF8."""
        self._buffer = bytearray()
        self._scanned = 0
        self._code = 0
        self._lines: list[str] = []
        self._octets = 0
        self._is_broken = False

    @property
    def has_leftover(self) -> bool:
        """Say whether octets are left that belong to no reply returned so far.

        After the 220 to STARTTLS this, or any further reply from the same `receive`, means that
        someone put plain text before the handshake: the connection is to be dropped.
        """
        return bool(self._buffer or self._lines)

    def receive(self, data: bytes) -> list[Reply | ReplyViolation]:
        """Take octets from the peer; give what they complete. After a violation, nothing more."""
        events: list[Reply | ReplyViolation] = []
        if self._is_broken:
            return events
        self._buffer += data
        while not self._is_broken and (end := self._buffer.find(b"\n", self._scanned)) >= 0:
            line = bytes(self._buffer[: end + 1])
            del self._buffer[: end + 1]
            self._scanned = 0
            event = self._take_line(line)
            if event is not None:
                events.append(event)
        self._scanned = len(self._buffer)
        if not self._is_broken and len(self._buffer) >= MAX_RECEIVED_LINE_OCTETS:
            events.append(self._violate("a reply line is too long", bytes(self._buffer)))
        return events

    def _take_line(self, line: bytes) -> Reply | ReplyViolation | None:
        if len(line) > MAX_RECEIVED_LINE_OCTETS:
            return self._violate("a reply line is too long", line)
        self._octets += len(line)
        if self._octets > MAX_REPLY_OCTETS or len(self._lines) >= MAX_REPLY_LINES:
            return self._violate("a reply is too long", line)
        if not self._lines and (reply := _read_usual(line)) is not None:
            self._octets = 0
            return reply
        match = _LINE.match(line.removesuffix(b"\n").removesuffix(b"\r"))
        if match is None:
            return self._violate("not an SMTP reply", line)
        code, mark, text = int(match[1]), match[2], match[3] or b""
        if self._lines and code != self._code:
            return self._violate(f"a reply's lines have two codes, {self._code} and {code}", line)
        self._code = code
        self._lines.append(self._clean(text[: MAX_REPLY_LINE_OCTETS - 6]))
        return None if mark == b"-" else self._finish()

    def _finish(self) -> Reply:
        lines, status = _split_status(self._code, self._lines)
        reply = Reply(self._code, lines, status)
        self._lines = []
        self._octets = 0
        return reply

    def _violate(self, reason: str, line: bytes) -> ReplyViolation:
        self._is_broken = True
        self._buffer.clear()
        return ReplyViolation(reason, self._clean(line[:80].rstrip(b"\r\n")))

    def _clean(self, text: bytes) -> str:
        # RFC 5321 §4.2: textstring may hold HT.
        if text.isascii() and (plain := text.decode()).isprintable():
            return plain
        decoded = text.replace(b"\t", b" ").decode(
            "utf-8" if self.is_smtputf8 else "ascii", "replace"
        )
        if decoded.isprintable() and "\ufffd" not in decoded:
            return decoded
        return "".join(
            character if character.isprintable() and character != "\ufffd" else "?"
            for character in decoded
        )


@lru_cache(maxsize=1024)
def _read_usual(line: bytes) -> Reply | None:
    """Read a whole reply of one line in printable ASCII; None for any other.

    A server gives the same few all the time, and a reader has no state between replies.
    """
    match = _USUAL.match(line)
    if match is None or len(line) > MAX_REPLY_LINE_OCTETS:
        return None
    code, text = int(match[1]), match[2].decode()
    return Reply(code, *_split_status(code, [text]))


def _split_status(code: int, lines: list[str]) -> tuple[tuple[str, ...], str | None]:
    """Take the status code off the text, if it agrees with the basic code (RFC 2034 §4)."""
    match = _STATUS.match(lines[0])
    if match is None or match[1] != str(code // 100):
        return tuple(lines), None
    status = match[0]
    if len(lines) == 1:
        return (_without(status, lines[0]),), status
    return tuple(_without(status, line) for line in lines), status


def _without(status: str, line: str) -> str:
    if line == status:
        return ""
    return line.removeprefix(f"{status} ")
