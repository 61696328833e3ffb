"""Which shards a queue's folder has: one SQLite file each."""

from pathlib import Path


def find_shards(folder: Path) -> list[Path]:
    """List them by name; none where there is no folder. Raises OSError for one that is not read.

    Not by `Path.glob`: since Python 3.13 that finds nothing in a folder that it cannot read, and
    mail that waits there would be taken for none.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.match("shard-*.db"))
    except FileNotFoundError:
        return []
