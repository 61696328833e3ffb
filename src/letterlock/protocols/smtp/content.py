"""What must be known of a message's content before it is sent or reported.

RFC 6152 §2 (8-bit content), RFC 6532 §3 (UTF-8 in header fields), RFC 5322 §2.1 (header section).
Octets are looked at as they are; MIME parts are not parsed.
"""

import re

from msgspec import Struct

MAX_HEADER_OCTETS = 1024 * 1024
"""What is kept of a header section; Postfix's header_size_limit is a tenth of it, for one field."""

_EMPTY_LINE = re.compile(rb"\n\r?\n")


class ContentFacts(Struct, frozen=True):
    """What is known of a content. The defaults are the careful answers, for what is not known.

    `size` is in octets, without doubled dots (RFC 1870 §5). `is_seven_bit`: no octet is over 127.
    `has_utf8_headers`: the header section has octets over 127.
    """

    size: int
    is_seven_bit: bool = False
    has_utf8_headers: bool = True


class ContentScan:
    """Looks through a content piece by piece; keeps its header section, up to a limit."""

    def __init__(self, max_header_octets: int = MAX_HEADER_OCTETS) -> None:
        self._max_header_octets = max_header_octets
        # A line end before the first line: so an empty line is found there as anywhere.
        self._header = bytearray(b"\n")
        self._size = 0
        self._is_seven_bit = True
        self._is_header_complete = False
        self._is_header_cut = False

    @property
    def is_header_complete(self) -> bool:
        """The empty line after the header section was seen, or more than is kept came before it."""
        return self._is_header_complete

    @property
    def header(self) -> bytes:
        """The header section with its last line's CRLF, without the empty line."""
        return bytes(self._header[1:])

    def receive(self, piece: bytes) -> None:
        """Take the next octets."""
        self._size += len(piece)
        self._is_seven_bit = self._is_seven_bit and piece.isascii()
        if not self._is_header_complete:
            self._take_header(piece)

    def facts(self) -> ContentFacts:
        """Give what is known of the octets received."""
        has_utf8 = not self._header.isascii() or (self._is_header_cut and not self._is_seven_bit)
        return ContentFacts(self._size, self._is_seven_bit, has_utf8)

    def _take_header(self, piece: bytes) -> None:
        start = max(0, len(self._header) - 2)  # an empty line may have begun in the last piece
        self._header += piece
        end = _EMPTY_LINE.search(self._header, start)
        if end is not None:
            del self._header[end.start() + 1 :]
        # A CR at the end may be the first half of the empty line, which is not kept.
        kept = len(self._header) - self._header.endswith(b"\n\r")
        if kept > self._max_header_octets:
            del self._header[self._header.rfind(b"\n", 0, self._max_header_octets) + 1 :]
            self._is_header_cut = True
        self._is_header_complete = end is not None or self._is_header_cut


def cut_header(content: bytes) -> bytes:
    """Give the header section of a content's beginning, as `ContentScan.header` does."""
    text = b"\n" + content
    end = _EMPTY_LINE.search(text)
    header = text if end is None else text[: end.start() + 1]
    if len(header) - header.endswith(b"\n\r") > MAX_HEADER_OCTETS:
        header = header[: header.rfind(b"\n", 0, MAX_HEADER_OCTETS) + 1]
    return header[1:]
