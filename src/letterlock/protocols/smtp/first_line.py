"""What a content's first line makes necessary before a field of ours is put above it.

RFC 5322 §2.1: an empty line parts header section and body. The first lines of a content that has
no header section would be read as part of our Received field. As in Postfix, an empty line is put
above them, and a mailbox file's `From ` line becomes the field X-Mailbox-Line: the header section
behind it stays one.
"""

import re

MAX_FIRST_LINE_OCTETS = 998
"""RFC 5322 §2.1.1. What has no colon within so many octets is no field."""

_MAILBOX_FIELD = b"X-Mailbox-Line: "
_MAILBOX_LINE = re.compile(rb">*From [^\n]*\n")
# RFC 5322 §3.6.8 and §4.5.8 (before the colon there may be space).
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_EMPTY_LINE = re.compile(rb"\r?\n")


class FirstLine:
    """Holds a content's beginning back until it is known what must stand above it.

    Give it each piece until `is_decided`, and call `finish` if the content ends before.
    """

    def __init__(self) -> None:
        self.is_decided = False
        self._held = b""
        self._may_be_mailbox_line = True

    def receive(self, piece: bytes) -> bytes:
        """Take the next octets; give those that can go on, and what must stand above them."""
        above, held = b"", self._held + piece
        if self._may_be_mailbox_line:
            line = _MAILBOX_LINE.match(held, 0, MAX_FIRST_LINE_OCTETS)
            if line is not None and not _FIELD.match(line[0]):
                self._may_be_mailbox_line = False
                above, held = _MAILBOX_FIELD + line[0], held[line.end() :]
        self._held = b""
        if _FIELD.match(held, 0, MAX_FIRST_LINE_OCTETS) or _EMPTY_LINE.match(held):
            self.is_decided = True
            return above + held
        if b"\n" in held or len(held) >= MAX_FIRST_LINE_OCTETS:
            self.is_decided = True
            return above + b"\r\n" + held
        self._held = held
        return above

    def finish(self) -> bytes:
        """Give what is still held: the content ends within its first line, or has none."""
        held, self._held = self._held, b""
        self.is_decided = True
        return b"\r\n" + held if held else b""
