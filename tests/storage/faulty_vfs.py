"""A SQLite VFS whose disk fails when a test says so."""

from collections.abc import Callable
from typing import Any

import apsw


class FaultyVfs(apsw.VFS):
    """The default VFS, but for the failures that are set: `write` and `sync` raise what they make.

    Only while it is referenced is it there for SQLite.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.write_fault: Callable[[], BaseException] | None = None
        self.sync_fault: Callable[[], BaseException] | None = None
        self.syncs: list[str] = []
        self.opens = 0
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> "_FaultyFile":  # noqa: N802 - SQLite's name
        self.opens += 1
        return _FaultyFile(self, name, flags)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, vfs: FaultyVfs, name: Any, flags: list[int]) -> None:
        self._vfs = vfs
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)

    # `Any` is apsw's Buffer, which collections.abc has since Python 3.12 only.
    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._vfs.write_fault is not None:
            raise self._vfs.write_fault()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if self._vfs.sync_fault is not None:
            raise self._vfs.sync_fault()
        self._vfs.syncs.append(self._name)
        super().xSync(flags)
