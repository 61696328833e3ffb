"""Writing a backup: a tar archive that is whole and on the disk, or not there.

Any tar(1) can read it. It is written under another name in the same folder, synced and renamed; the
manifest comes last, so that what was cut off is known by that. Blocks.
"""

import fcntl
import hashlib
import os
import re
import secrets
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace

from letterlock.storage.backup.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SETTINGS,
    Manifest,
    Part,
    format_manifest,
    require_safe_name,
)
from letterlock.storage.durable import naming_full, sync_folder

FILE_MODE = 0o600
READ_BYTES = 1024 * 1024
_PARTIAL = re.compile(r"\..*\.[0-9a-f]{16}\.backup-partial")

OnProgress = Callable[[str, int], None]
"""Is told the name of a part and how many octets more were dealt with."""


class ArchiveWriter:
    """Adds parts to a file that is open for writing."""

    def __init__(
        self, file: BinaryIO, on_progress: OnProgress = lambda _name, _octets: None
    ) -> None:
        self._file = file
        self._tar = tarfile.open(  # noqa: SIM115 - `finish` ends it; a broken one is removed
            fileobj=file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8"
        )
        self._on_progress = on_progress
        self._parts: list[Part] = []

    def add_file(self, name: str, path: Path, owner: int | None = None) -> None:
        """Add a file, which must not be a link. Raises OSError, FileNotFoundError too."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
            status = os.fstat(descriptor)
            facts = (status.st_size, int(status.st_mtime))
            is_program = name.startswith(f"{SETTINGS}/") and bool(status.st_mode & stat.S_IXUSR)
            self._add(name, file, facts, owner=owner, is_program=is_program)

    def add_octets(
        self, name: str, octets: bytes, mtime: int = 0, columns: tuple[str, ...] = ()
    ) -> None:
        """Add what is in memory."""
        self._add(name, BytesIO(octets), (len(octets), mtime), columns=columns)

    def finish(self, manifest: Manifest) -> Manifest:
        """Add the manifest, with the parts that were added, and end the archive; gives it."""
        whole = replace(manifest, parts=tuple(self._parts))
        octets = format_manifest(whole)
        if len(octets) > MAX_MANIFEST_BYTES:
            raise OSError(0, "a backup of so many files is none: leave the mailboxes out")
        self._tar.addfile(_describe(MANIFEST, len(octets), 0), BytesIO(octets))
        self._tar.close()
        return whole

    def _add(
        self,
        name: str,
        file: BinaryIO | BytesIO,
        facts: tuple[int, int],
        *,
        owner: int | None = None,
        columns: tuple[str, ...] = (),
        is_program: bool = False,
    ) -> None:
        require_safe_name(name)
        size, mtime = facts
        source = _Measured(file, lambda octets: self._on_progress(name, octets))
        # A file that grows meanwhile is cut off there; one that shrinks is an OSError.
        self._tar.addfile(_describe(name, size, mtime), source)
        digest = source.digest.hexdigest()
        self._parts.append(Part(name, size, digest, owner, columns, is_program))


class _Measured(BytesIO):
    """Reads from a file, and takes its SHA-256 on the way."""

    def __init__(self, file: BinaryIO | BytesIO, on_read: Callable[[int], None]) -> None:
        super().__init__()
        self._source = file
        self._on_read = on_read
        self.digest = hashlib.sha256()

    def read(self, size: int | None = -1, /) -> bytes:
        octets = self._source.read(-1 if size is None else size) or b""
        self.digest.update(octets)
        self._on_read(len(octets))
        return octets


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, 0600, which has its name only when all went well. Raises OSError.

    A file of that name is replaced. What killed backups left in the folder is removed.
    """
    for old in path.parent.iterdir():
        if _PARTIAL.fullmatch(old.name):
            _remove_abandoned(old)
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}.backup-partial")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(staged, flags, FILE_MODE)
    try:
        with naming_full(path), open(descriptor, "wb", buffering=READ_BYTES) as file:  # noqa: PTH123 - a descriptor
            # Held as long as we live: the next backup sees by it who is gone.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.fsync(descriptor)
            staged.rename(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _remove_abandoned(path: Path) -> None:
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _describe(name: str, size: int, mtime: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mtime = mtime
    member.mode = FILE_MODE
    return member
