"""Folders that survive a power cut, and what an operating system's error means for the store.

A new file is safe when it and the folder that names it were synced; a new folder when its parent
was. That it is there does not say so: see `make_folder`.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from letterlock.storage.queue import StoreUnavailable

FOLDER_MODE = 0o700
_FULL = {errno.ENOSPC, errno.EDQUOT}


def make_folder(path: Path) -> None:
    """Make a folder (0700) with its parents, each synced. Raises OSError.

    The name of one that is there already is synced too: another process may have made it just now,
    or have died before it synced. Parents that are there are trusted: whoever needs them to last
    has made them by this function as well.
    """
    if path.is_dir():
        # What we may not read was there before us.
        with contextlib.suppress(PermissionError):
            sync_folder(path.parent)
        return
    make_folder(path.parent)
    try:
        path.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        if not path.is_dir():
            raise
    sync_folder(path.parent)


def give_to_owner(descriptor: int, path: Path) -> None:
    """Give a file that we just made to whom its folder is, when root. Raises OSError.

    A command of root's may come before a node that is not root: it could not open the file. Only
    for files that were made with O_EXCL: another one could be a link that the owner put there.
    """
    if os.geteuid() != 0:
        return
    owner = path.parent.stat()
    if owner.st_uid != 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


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


@contextlib.contextmanager
def naming_full(path: Path) -> Iterator[None]:
    """Name the file where there was no space for it: errors of descriptors have no name."""
    try:
        yield
    except OSError as error:
        if error.filename is None and is_full(error):
            error.filename = str(path)
        raise


def describe(error: OSError) -> str:
    """Say what failed on one line, with the file where there is one."""
    reason = error.strerror or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason


def unavailable(error: OSError) -> StoreUnavailable:
    """Make the store's own exception of an operating system's error."""
    return StoreUnavailable(describe(error), is_full=is_full(error))
