"""Log files for `log explain`: plain or packed by gzip, also standard input, line by line.

Only so much of a line is in memory as counts, whatever the file has. How much was read is told in
octets of the file, packed or not.
"""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from letterlock.protocols.mail_log.lines import MAX_CHARACTERS

STDIN = "-"
GZIP = b"\x1f\x8b"
PIECE_CHARACTERS = 1 << 19

Tell = Callable[[int, int], None]
"""Is told of octets that were read, and of all there are; 0: nobody knows."""


class _Stream(Protocol):
    """What every binary stream of Python's has."""

    def read(self, size: int, /) -> bytes: ...

    def read1(self, size: int, /) -> bytes: ...

    def tell(self) -> int: ...


class LogError(Exception):
    """A log, or the rest of it, cannot be read. The message is one line."""


@contextmanager
def open_log(name: str, tell: Tell) -> Iterator[Iterator[str]]:
    """Give the lines of a file. Raises LogError, also while they are read."""
    try:
        if name == STDIN:
            yield _read(name, cast(_Stream, sys.stdin.buffer), 0, tell)
            return
        with open(name, "rb") as file:  # noqa: PTH123 - the name as it was given
            yield _read(name, file, os.fstat(file.fileno()).st_size, tell)
    except OSError as error:
        raise LogError(f"{name}: cannot be read: {error.strerror or error}") from None


def _read(name: str, file: _Stream, size: int, tell: Tell) -> Iterator[str]:
    beginning = file.read(len(GZIP))
    whole = io.BufferedReader(_Rejoined(beginning, file))
    octets = gzip.GzipFile(fileobj=whole) if beginning == GZIP else whole
    text = io.TextIOWrapper(octets, encoding="utf-8", errors="replace", newline="\n")
    rest = ""
    try:
        while piece := text.read(PIECE_CHARACTERS):
            lines = (rest + piece).split("\n")
            # A line that does not end is cut, and takes no more memory than that.
            rest = lines.pop()[:MAX_CHARACTERS]
            tell(file.tell() if size else 0, size)
            yield from lines
        if rest:
            yield rest
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise LogError(f"{name}: the gzip in it is broken: {error}") from None


class _Rejoined(io.RawIOBase):
    """A stream whose beginning was looked at; what cannot be read twice is read once.

    Closing it leaves the stream to who opened it: standard input stays open.
    """

    def __init__(self, beginning: bytes, rest: _Stream) -> None:
        self._beginning = beginning
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._beginning:
            octets, self._beginning = self._beginning, b""
        else:
            octets = self._rest.read1(len(buffer))
        buffer[: len(octets)] = octets
        return len(octets)
