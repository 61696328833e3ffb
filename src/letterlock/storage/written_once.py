"""Files that are written once and never again: an authority's keys and its certificates.

A new file is whole, durable and has its mode from the first moment; one that is there is never
changed: nobody gets an authority's key back. Blocks.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from letterlock.base.errors import LocalError
from letterlock.storage.durable import describe, make_folder, sync_folder

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644


def write_once(path: Path, content: bytes, mode: int = SECRET_MODE) -> None:
    """Write a file that is not there, and its folder. It is durable when this returns.

    Raises LocalError, also where the file is there.
    """
    draft = path.with_name(f".{secrets.token_hex(12)}")
    try:
        make_folder(path.parent)
        try:
            _write(draft, content, mode)
            os.link(draft, path)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
        sync_folder(path.parent)
    except FileExistsError as error:
        raise LocalError(f"{path}: it is there already, and is not written over") from error
    except OSError as error:
        raise LocalError(describe(error)) from error


def _write(path: Path, content: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        # The caller's umask may have taken what others are to have.
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
