"""Folders that survive a power cut, and what an operating system's error means for the store.

A new file is safe when it and the folder that names it were synced; a new folder when its parent
was, up to one that was there before.
"""

import errno
import os
from pathlib import Path

from letterlock.storage.queue import StoreUnavailable

FOLDER_MODE = 0o700
_FULL = {errno.ENOSPC, errno.EDQUOT}


def make_folder(path: Path) -> None:
    """Make a folder (0700) with its parents, each synced. Raises OSError."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        if not path.is_dir():
            raise
    # Also when another process made it just now: it may not have synced yet.
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Sync the names in a folder. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_full(error: OSError) -> bool:
    """Tell whether there was no space, or no quota left."""
    return error.errno in _FULL


def describe(error: OSError) -> str:
    """Say what failed on one line, with the file where there is one."""
    reason = error.strerror or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason


def unavailable(error: OSError) -> StoreUnavailable:
    """Make the store's own exception of an operating system's error."""
    return StoreUnavailable(describe(error), is_full=is_full(error))
