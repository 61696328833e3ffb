"""Keys that mail is signed with, as files: `DOMAIN/SELECTOR.pem`, 0600, below one folder.

They are the operator's as much as ours: what is there is never changed or removed, and a key from
elsewhere is put there like one that was made here. Blocks.
"""

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.storage.durable import describe, make_folder, sync_folder

MODE = 0o600
MAX_PEM_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells one state of a file from another without reading it."""

    mtime_ns: int
    size: int
    inode: int


class DkimKeyFiles:
    """All keys below a folder, which is made when one is written."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_path(self, domain: Domain, selector: Domain) -> Path:
        """Say where a key is, or would be."""
        return self._root / domain / f"{selector}.pem"

    def find_state(self, domain: Domain, selector: Domain) -> FileState | None:
        """Give the state of a key's file, after links; None when there is none to be had."""
        try:
            status = self.find_path(domain, selector).stat()
        except OSError:
            return None
        return FileState(status.st_mtime_ns, status.st_size, status.st_ino)

    def load(self, domain: Domain, selector: Domain) -> bytes | None:
        """Read a key; None: it is not there. Raises LocalError."""
        path = self.find_path(domain, selector)
        try:
            with path.open("rb") as file:
                content = file.read(MAX_PEM_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LocalError(describe(error)) from error
        if len(content) > MAX_PEM_BYTES:
            raise LocalError(f"{path}: larger than {MAX_PEM_BYTES} bytes, not a PEM file")
        return content

    def add(self, domain: Domain, selector: Domain, pem: bytes) -> bool:
        """Write a new key; False when there is one now. It is durable when this returns.

        Another process may do the same: one of them is first, and nobody reads half a key. Raises
        LocalError.
        """
        path = self.find_path(domain, selector)
        draft = path.with_name(f".{secrets.token_hex(12)}")
        try:
            make_folder(path.parent)
            try:
                _write(draft, pem)
                os.link(draft, path)
            except FileExistsError:
                return False
            finally:
                with suppress(FileNotFoundError):
                    draft.unlink()
            sync_folder(path.parent)
        except OSError as error:
            raise LocalError(describe(error)) from error
        return True


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, MODE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
