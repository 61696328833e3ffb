"""The files below a folder, as a backup takes them."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path


def scan(
    folder: Path, tell_closed: Callable[[Path], None]
) -> Iterator[tuple[Path, os.stat_result]]:
    """Give the files below a folder; no links, and not what is being written into a Maildir.

    `new` comes before `cur`: so what is read by its owner meanwhile is found in one of them.
    `tell_closed` is called with each folder that we may not read.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: (entry.name != "new", entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError:
        tell_closed(folder)
        return
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode) and entry.name != "tmp":
            yield from scan(Path(entry.path), tell_closed)
        elif stat.S_ISREG(status.st_mode):
            yield Path(entry.path), status
