"""Whether nothing is at a path: "it cannot be told" must never count as that.

`Path.exists` and its like say no since Python 3.14 whatever goes wrong, in a folder that may not be
searched or on a disk that fails; before, they raised most of it. This leaves out whether a thing
may be read: whoever opens it is told.
"""

from pathlib import Path


def is_absent(path: Path) -> bool:
    """Say if nothing is there, links followed, and that is sure. Never raises OSError."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
