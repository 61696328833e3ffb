"""What a run of many checks has finished, so that it can go on after it was ended, however.

One file for each list of domains, a line of JSON for each that is done. What a kill or a power cut
left of the last line is cut off: that domain is checked again. A run holds a lock on its file.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from letterlock.storage.durable import make_folder

MAX_LINE_OCTETS = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finished:
    """One that is done: its name, when that was (RFC 3339), and the answer."""

    name: str
    checked: str
    document: dict[str, Any]


class CheckProgress:
    """The file of one run. It is made when there is something to keep."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._is_begun = False

    def open(self) -> bool:
        """Take the file; False: another run of the same list is at it. Raises OSError."""
        make_folder(self._path.parent)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._file = os.fdopen(descriptor, "r+b")
        return True

    def read(self) -> Iterator[Finished]:
        """Give what an earlier run finished, to its end. What is added later goes behind it."""
        assert self._file is not None
        self._is_begun = True
        self._file.seek(0)
        whole = 0
        while line := self._file.readline(MAX_LINE_OCTETS):
            finished = _parse_line(line)
            if finished is None:
                break
            whole += len(line)
            yield finished
        self._file.seek(whole)
        self._file.truncate()

    def add(self, finished: Finished) -> None:
        """Keep one more. Those of an earlier run go, unless they were read. Raises OSError."""
        assert self._file is not None
        if not self._is_begun:
            self._is_begun = True
            self._file.truncate(0)
        parts = {
            "name": finished.name,
            "checked": finished.checked,
            "document": finished.document,
        }
        self._file.write(json.dumps(parts, ensure_ascii=True).encode() + b"\n")
        # Into the kernel: the end of this process, of whatever kind, leaves it there.
        self._file.flush()

    def close(self, *, is_complete: bool) -> None:
        """Let it go; a run that is complete leaves nothing to go on with."""
        if self._file is None:
            return
        if is_complete:
            self._path.unlink(missing_ok=True)
        # Where the disk is full, what could not be written is lost, and asked for again.
        with contextlib.suppress(OSError):
            self._file.close()
        self._file = None


def _parse_line(line: bytes) -> Finished | None:
    try:
        parts = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    match parts:
        case {"name": str(name), "checked": str(checked), "document": dict(document)}:
            return Finished(name, checked, document)
        case _:
            return None
