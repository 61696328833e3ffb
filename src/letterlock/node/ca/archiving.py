"""The authority's part of a backup: its folder, with its database as of one moment.

Keys are in it as they lie there, encrypted or not. What is restored knows nothing of what the
authority did since: nonces that were out then are worth nothing, so that none is good twice.
"""

from dataclasses import dataclass, field
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.base.presence import is_absent
from letterlock.node.account import acting_as, find_owner
from letterlock.node.ca.stores import DATABASE
from letterlock.node.kept_files import scan
from letterlock.storage.backup.manifest import CA
from letterlock.storage.backup.writing import ArchiveWriter, OnProgress
from letterlock.storage.ca.changes import RemoveSecret
from letterlock.storage.ca.kept import NONCE_SECRET
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from letterlock.storage.sqlite.snapshot import STAGING, copy_frozen, frozen_file, staging_folder

_ELSEWHERE = (
    "the authority's database is in PostgreSQL, and not in it: back it up there "
    "(pg_dump --schema=letterlock_authority)"
)
_PART = f"{CA}/{DATABASE}"


@dataclass(slots=True)
class AuthorityParts:
    """Adds what the authority has, when there is one. `skipped` is as in `backing_up.Made`."""

    config: Config
    archive: ArchiveWriter
    on_progress: OnProgress
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self) -> int:
        """Add it, as its folder's owner; gives the schema of the database, 0 without one.

        Raises OSError, StoreUnavailable.
        """
        folder = self.config.ca.folder
        schema = 0
        if self.config.ca.database is QueueEngine.POSTGRES:
            self.notes.append(_ELSEWHERE)
        try:
            if not is_absent(folder):
                with acting_as(find_owner(folder)):
                    schema = self._add_database(folder)
                    self._add_files(folder)
        except PermissionError as error:
            self._skip_closed(Path(error.filename))
        return schema

    def _skip_closed(self, path: Path) -> None:
        self.skipped.append(f"{path}: no permission to read it")

    def _add_database(self, folder: Path) -> int:
        path = folder / DATABASE
        if is_absent(path):
            return 0
        with staging_folder(folder) as staging, frozen_file(path) as (connection, schema):
            copy = staging / DATABASE
            copy_frozen(connection, copy, lambda octets: self.on_progress(_PART, octets))
            self.archive.add_file(_PART, copy)
        return schema

    def _add_files(self, folder: Path) -> None:
        for path, _ in scan(folder, self._skip_closed):
            name = path.relative_to(folder)
            if not name.parts[0].startswith((DATABASE, STAGING)):
                self.archive.add_file(f"{CA}/{name}", path)


async def open_restored(folder: Path, clock: Clock) -> bool:
    """Bring a restored database forward; False: there is none. Raises StoreUnavailable."""
    path = folder / DATABASE
    if is_absent(path):
        return False
    store = SqliteAuthority(path, clock)
    await store.open()
    try:
        await store.commit([RemoveSecret(NONCE_SECRET)])
    finally:
        await store.close()
    return True
