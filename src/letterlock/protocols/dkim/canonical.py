"""The forms of fields and bodies that are hashed: `simple`, and `relaxed`.

RFC 6376 §3.4, §3.7. Lines end with CRLF; a CR or an LF alone is an octet like others.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from hashlib import sha256

_MAX_LINE_ENDS = 32 * 1024
"""Written at once: a body may have millions of empty lines in its middle."""

# Neither may begin or be part of a line end: a CR at the very end still may.
_ALONE = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n")


class Canonicalization(StrEnum):
    """How much may change on the way without any harm to a signature."""

    SIMPLE = "simple"
    RELAXED = "relaxed"


def canonicalize_field(field: bytes, how: Canonicalization) -> bytes:
    """Give the canonical form of a field, which comes with its CRLF or without, as it leaves.

    RFC 6376 §3.4.1, §3.4.2.
    """
    if how is Canonicalization.SIMPLE:
        return field
    end = b"\r\n" if field.endswith(b"\r\n") else b""
    name, colon, value = field[: len(field) - len(end)].partition(b":")
    value = _reduce_white_space(value.replace(b"\r\n", b"")).strip(b" ")
    return name.rstrip(b" \t").lower() + colon + value + end


class CanonicalBody:
    """Gives the canonical form of a body to `write`, piece by piece; memory use is bounded.

    RFC 6376 §3.4.3, §3.4.4. How the body was cut into pieces does not matter.
    """

    __slots__ = ("_has_content", "_held", "_is_relaxed", "_line_ends", "_strippable", "_write")

    def __init__(self, how: Canonicalization, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._is_relaxed = how is Canonicalization.RELAXED
        self._strippable = b" \t\r\n" if self._is_relaxed else b"\r\n"
        self._has_content = False
        # What may be the end of the body: line ends, and behind them at most one space (relaxed),
        # and a CR whose LF may still come.
        self._line_ends = 0
        self._held = b""

    def receive(self, piece: bytes) -> None:
        """Take the next octets."""
        octets = self._held + piece if self._held else piece
        end = len(octets.rstrip(self._strippable))
        rest = octets[end:]
        if rest != b"\r\n":
            alone = 0
            for match in _ALONE.finditer(rest):
                alone = match.end()
            end += alone
            rest = rest[alone:]
        if end:
            self._write_line_ends()
            self._write_content(octets[:end])
        last = rest.rfind(b"\r\n")
        if last >= 0:
            self._line_ends += rest.count(b"\r\n")
            rest = rest[last + 2 :]
        self._held = _reduce_white_space(rest) if self._is_relaxed else rest

    def finish(self) -> None:
        """End the body: without the empty lines at its end, and with a line end."""
        if self._held.endswith(b"\r"):
            self._write_line_ends()
            self._write_content(self._held)
        # RFC 6376 §3.4.4: of nothing at all, relaxed makes nothing.
        if self._has_content or not self._is_relaxed:
            self._write(b"\r\n")

    def _write_content(self, content: bytes) -> None:
        self._has_content = True
        if self._is_relaxed:
            content = _reduce_white_space(content).replace(b" \r\n", b"\r\n")
        self._write(content)

    def _write_line_ends(self) -> None:
        while self._line_ends > 0:
            count = min(self._line_ends, _MAX_LINE_ENDS)
            self._write(b"\r\n" * count)
            self._line_ends -= count


class BodyHash:
    """Hashes a body with SHA-256 as it comes. `max_octets` is the signature's l=."""

    __slots__ = ("_body", "_hash", "_limit")

    def __init__(self, how: Canonicalization, max_octets: int | None = None) -> None:
        self._hash = sha256()
        self._limit = None if max_octets is None else _Limit(self._hash.update, max_octets)
        self._body = CanonicalBody(how, self._limit.write if self._limit else self._hash.update)

    def receive(self, piece: bytes) -> None:
        """Take the next octets of the body."""
        self._body.receive(piece)

    def finish(self) -> bytes:
        """End the body; gives the hash."""
        self._body.finish()
        return self._hash.digest()

    @property
    def surplus(self) -> int:
        """How many octets are beyond the limit; less than 0: so many are missing."""
        return 0 if self._limit is None else -self._limit.left


class _Limit:
    """Lets the first octets through, and counts. `left` is less than 0 when more came."""

    __slots__ = ("_write", "left")

    def __init__(self, write: Callable[[bytes], object], octets: int) -> None:
        self._write = write
        self.left = octets

    def write(self, piece: bytes) -> None:
        if self.left > 0:
            self._write(piece[: self.left])
        self.left -= len(piece)


def _reduce_white_space(octets: bytes) -> bytes:
    """Make each run of spaces and tabs one space: far faster than a regular expression."""
    if b"\t" in octets:
        octets = octets.replace(b"\t", b" ")
    while b"  " in octets:
        octets = octets.replace(b"  ", b" ")
    return octets
