"""Message text as it comes in: the end of DATA, dot-stuffing, stray line ends.

RFC 5321 §4.5.2 (transparency), §4.1.1.4 and §2.3.8 (only CRLF ends a line, only CRLF.CRLF the
text), RFC 3030 §2 (chunks of BDAT), RFC 2045 §2.7 and §2.8 (no NUL). Works on whole pieces, never
line by line; lines may have any length (RFC 5321 §4.5.3.1.6 says what must be taken at least).
Sizes and replies are in
`incoming_message`.
"""

import re
from enum import StrEnum

CRLF = b"\r\n"


class BareNewline(StrEnum):
    """What is done with text that is no text: a bare LF, a bare CR or a NUL in it.

    REJECT: the message is read to its end and refused. NORMALIZE: a bare LF counts as the end of a
    line, but never as part of the final dot; a bare CR and a NUL become spaces. (RFC 5321 §4.1.1.4
    says that LF MUST NOT end a line: NORMALIZE is for old clients, by their address.)
    """

    REJECT = "reject"
    NORMALIZE = "normalize"


class TextFault(StrEnum):
    """The first thing in a text that must not be there."""

    BARE_LF = "bare LF"
    BARE_CR = "bare CR"
    NUL = "NUL"


_FAULT = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
_FAULT_NAMES = {b"\n": TextFault.BARE_LF, b"\r": TextFault.BARE_CR, b"\0": TextFault.NUL}
_TO_SPACE = re.compile(rb"\r(?!\n)|\0")
_BARE_LF = re.compile(rb"(?<!\r)\n")

_END_OF_TEXT = b"\r\n.\r\n"
_DOT_AT_START = b"\r\n."
# How a piece may end so that what follows is read differently: how many of these octets are held
# back until more comes, and how many (a bare LF counts as CRLF) were given out before.
_TAILS = {
    b"\r\n.\r": (2, 2),
    b"\r\n.": (1, 2),
    b"\r\n": (0, 2),
    b"\r": (1, 0),
    b"\n": (0, 2),
    b"": (0, 0),
}


class _TextCleaner:
    """Finds faults, and in NORMALIZE mends them. `fault` is the first one met."""

    __slots__ = ("_mode", "fault")

    def __init__(self, mode: BareNewline) -> None:
        self.fault: TextFault | None = None
        self._mode = mode

    def _is_given_up(self) -> bool:
        return self.fault is not None and self._mode is BareNewline.REJECT

    def _clean(self, text: bytes) -> bytes:
        """Give the text without faults: cut at the first one, or mended."""
        if self.fault is None:
            match = _FAULT.search(text)
            assert match is not None
            self.fault = _FAULT_NAMES[match[0]]
            if self._mode is BareNewline.REJECT:
                return text[: match.start()]
        return _BARE_LF.sub(CRLF, _TO_SPACE.sub(b" ", text))


class TextDecoder(_TextCleaner):
    """Turns what follows 354 into the message, up to the final dot.

    After a fault, in REJECT, nothing more is given out.
    """

    __slots__ = ("_tail",)

    def __init__(self, mode: BareNewline) -> None:
        super().__init__(mode)
        # A key of _TAILS. The CRLF of the DATA line counts (RFC 5321 §4.1.1.4).
        self._tail = CRLF

    def feed(self, octets: bytes) -> tuple[bytes, int, bool]:
        """Take octets: gives decoded text, how many octets were used, and whether it has ended.

        All are used, unless the text has ended before.
        """
        _, given = _TAILS[self._tail]
        text = self._tail + octets
        dot = text.find(_DOT_AT_START)
        end = text.find(_END_OF_TEXT, dot) if dot >= 0 else -1
        if end >= 0:
            used = end + len(_END_OF_TEXT) - len(self._tail)
            return self._decode(text[: end + len(CRLF)], given, has_dot=dot < end), used, True
        self._tail = next(tail for tail in _TAILS if text.endswith(tail))
        if held := _TAILS[self._tail][0]:
            text = text[:-held]
        return self._decode(text, given, has_dot=dot >= 0), len(octets), False

    def _decode(self, text: bytes, given: int, *, has_dot: bool) -> bytes:
        if self._is_given_up():
            return b""
        if _has_fault(text):
            text = self._clean(text)
            has_dot = True
        if has_dot:
            text = text.replace(_DOT_AT_START, CRLF)
        return text[given:]


class ChunkDecoder(_TextCleaner):
    """Checks a message that comes in chunks: no dots to look at, but the same line ends."""

    __slots__ = ("_held_cr", "_is_in_line")

    def __init__(self, mode: BareNewline) -> None:
        super().__init__(mode)
        self._held_cr = b""
        self._is_in_line = False

    def feed(self, octets: bytes) -> bytes:
        """Take octets of a chunk: gives the text; a CR at the end waits for what follows."""
        text = self._held_cr + octets
        self._held_cr = b"\r" if text.endswith(b"\r") else b""
        return self._decode(text[:-1] if self._held_cr else text)

    def finish(self) -> bytes:
        """End the message: gives what is left, so that its last line ends with CRLF."""
        text = self._held_cr
        self._held_cr = b""
        text = self._decode(text)
        return text + CRLF if self._is_in_line else text

    def _decode(self, text: bytes) -> bytes:
        if self._is_given_up():
            return b""
        if _has_fault(text):
            text = self._clean(text)
        if text:
            self._is_in_line = not text.endswith(CRLF)
        return text


def _has_fault(text: bytes) -> bool:
    # Whole pieces in C take a tenth of the regex's time: a CR or LF that is left once the CRLFs are
    # gone was in none. Numbers, since `in` asks first whether what it is given is one.
    lines = text.replace(CRLF, b"")
    return 0x0A in lines or 0x0D in lines or 0 in lines
