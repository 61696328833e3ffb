"""The authority's store in SQLite."""

from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.storage.ca.scripted import ScriptedStore
from letterlock.storage.sqlite.ca.database import AuthorityDatabase


class SqliteAuthority(ScriptedStore):
    """Fulfils `storage.ca.store.AuthorityStore`. `vfs` names a SQLite VFS, for tests."""

    def __init__(self, path: Path, clock: Clock, *, vfs: str | None = None) -> None:
        super().__init__(AuthorityDatabase(path, clock, vfs=vfs))
