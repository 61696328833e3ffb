"""The forms of fields and bodies that are hashed: `simple`, and `relaxed`.

RFC 6376 §3.4, §3.7. Lines end with CRLF; a CR or an LF alone is an octet like others.
"""

import re
from collections.abc import Callable, Iterable
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
        if rest != b"\r\n" and _may_have_alone(rest):
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
    """Hashes a body with SHA-256 as it comes."""

    __slots__ = ("_body", "_hash")

    def __init__(self, how: Canonicalization) -> None:
        self._hash = sha256()
        self._body = CanonicalBody(how, self._hash.update)

    def receive(self, piece: bytes) -> None:
        """Take the next octets of the body."""
        self._body.receive(piece)

    def finish(self) -> bytes:
        """End the body; gives the hash."""
        self._body.finish()
        return self._hash.digest()


class BodyHashes:
    """Hashes of a body in one form, each of its first octets only: those that an l= says.

    The body is brought into that form once, however many signatures say how much of it they mean.
    """

    __slots__ = ("_body", "_limits", "octets")

    def __init__(self, how: Canonicalization, limits: Iterable[int | None]) -> None:
        """None: the whole body."""
        self._limits = {each: _Limit(each) for each in limits}
        self._body = CanonicalBody(how, self._write)
        self.octets = 0
        """How long the body is in this form."""

    def receive(self, piece: bytes) -> None:
        """Take the next octets of the body."""
        self._body.receive(piece)

    def finish(self) -> None:
        """End the body."""
        self._body.finish()

    def find_digest(self, limit: int | None) -> bytes:
        """Give the hash of so many octets, or of fewer where the body has no more."""
        return self._limits[limit].hash.digest()

    def _write(self, piece: bytes) -> None:
        self.octets += len(piece)
        for each in self._limits.values():
            each.write(piece)


class _Limit:
    """Hashes the first octets, as far as they are to be hashed."""

    __slots__ = ("_left", "hash")

    def __init__(self, octets: int | None) -> None:
        self.hash = sha256()
        self._left = octets

    def write(self, piece: bytes) -> None:
        if self._left is None:
            self.hash.update(piece)
        elif self._left > 0:
            self.hash.update(piece[: self._left])
            self._left -= len(piece)


def _may_have_alone(rest: bytes) -> bool:
    """Say whether white space has a CR or LF that is of no line end, but for a CR at its end.

    A regular expression takes a hundred times as long for a body of empty lines.
    """
    left = rest.replace(b"\r\n", b"")
    return b"\n" in left or b"\r" in (left[:-1] if rest.endswith(b"\r") else left)


def _reduce_white_space(octets: bytes) -> bytes:
    """Make each run of spaces and tabs one space: far faster than a regular expression."""
    if b"\t" in octets:
        octets = octets.replace(b"\t", b" ")
    while b"  " in octets:
        octets = octets.replace(b"  ", b" ")
    return octets
