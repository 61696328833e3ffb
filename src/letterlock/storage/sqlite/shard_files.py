"""Which shards a queue's folder has: one SQLite file each."""

from pathlib import Path

from letterlock.storage.durable import unavailable


def find_shards(folder: Path) -> list[Path]:
    """List them by name; none where there is no folder. Raises StoreUnavailable for others.

    Not by `Path.glob`: that finds nothing in a folder that it cannot read, since Python 3.13 also
    in one that it cannot reach, and mail that waits there would be taken for none.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.match("shard-*.db"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unavailable(error) from error
