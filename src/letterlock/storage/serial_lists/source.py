"""A list of serial numbers as a file: read in blocks, unpacked where gzip packed it.

RFC 1952 (gzip, §2.2: several members are one file). What is cut off is an error, never a shorter
list: a name that is missing would look unaffected.
"""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from letterlock.base.errors import LocalError

BLOCK_OCTETS = 1024 * 1024
MAX_OCTETS = 32 * 1024**3
"""Unpacked: ten times the list of 2020 has 12 GB."""

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = zlib.MAX_WBITS | 16

Tell = Callable[[int, int], None]
"""Told how many octets of a file were read, and how many it has."""


class ListDamaged(Exception):  # noqa: N818 - a state of a file
    """A list that cannot be read to its end; the message is one line without the file's name."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one state of a file from another without reading it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def find_stamp(descriptor: int) -> Stamp:
    """Give the stamp of an open file. Raises OSError."""
    status = os.fstat(descriptor)
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class ListFile:
    """A list's file, open for reading; a context. Raises LocalError where it can't be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise LocalError(f"{path}: cannot be read: {error.strerror}") from error
        self.stamp = find_stamp(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def is_regular(self) -> bool:
        """It is a file, which can be read again; a pipe can not."""
        return self.path.is_file()

    def owner_and_mode(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_uid, status.st_mode & 0o777

    def has_changed(self) -> bool:
        """Say whether it is another file by now, or one that was written to. Raises OSError."""
        return self.is_regular and not (
            find_stamp(self._descriptor) == self.stamp
            and self.path.stat().st_ino == self.stamp.inode
        )

    def find_digest(self) -> str:
        """Give the SHA-256 of the file as it is, from its beginning. Raises LocalError."""
        digest = hashlib.sha256()
        for block in self._read():
            digest.update(block)
        return digest.hexdigest()

    def read_unpacked(self, tell: Tell = lambda _done, _all: None) -> Iterator[bytes]:
        """Give the list's octets, unpacked, from its beginning.

        Raises ListDamaged, and LocalError where the disk fails.
        """
        return _limit(self._unpack(self._read(tell)))

    def read_with_digest(self, tell: Tell, digest: "hashlib._Hash") -> Iterator[bytes]:
        """Do as `read_unpacked`, and give the packed octets to a digest on the way."""

        def read() -> Iterator[bytes]:
            for block in self._read(tell):
                digest.update(block)
                yield block

        return _limit(self._unpack(read()))

    def _read(self, tell: Tell = lambda _done, _all: None) -> Iterator[bytes]:
        done = 0
        if self.is_regular:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        while True:
            try:
                block = os.read(self._descriptor, BLOCK_OCTETS)
            except OSError as error:
                raise LocalError(f"{self.path}: cannot be read: {error.strerror}") from error
            if not block:
                return
            done += len(block)
            tell(done, self.stamp.size)
            yield block

    def _unpack(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        first = next(blocks, b"")
        while len(first) < len(_GZIP) and (more := next(blocks, b"")):
            first += more
        if not first.startswith(_GZIP):
            yield first
            yield from blocks
            return
        yield from _gunzip(_chain(first, blocks))


def _gunzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(_GZIP_WINDOW)
    has_begun = False
    for block in blocks:
        rest = block
        while rest:
            if not has_begun and not (rest := rest.lstrip(b"\0")):
                break  # padding, as on tapes
            has_begun = True
            try:
                unpacked = member.decompress(rest, BLOCK_OCTETS)
            except zlib.error as error:
                raise ListDamaged(f"damaged: gzip says {error}") from error
            yield unpacked
            if member.eof:
                rest, has_begun = member.unused_data, False
                member = zlib.decompressobj(_GZIP_WINDOW)
            else:
                rest = member.unconsumed_tail
    if has_begun:
        raise ListDamaged("cut off: the packed file ends too early; fetch it again")


def _limit(blocks: Iterator[bytes]) -> Iterator[bytes]:
    total = 0
    for block in blocks:
        total += len(block)
        if total > MAX_OCTETS:
            raise ListDamaged(f"more than {MAX_OCTETS} octets")
        yield block


def _chain(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from blocks
