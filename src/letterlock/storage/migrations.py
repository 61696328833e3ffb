"""Numbered SQL files that make a database, and bring an old one forward.

Each engine has a package of them (`0001_queue.sql`). A database keeps the number and checksum of
each one applied; one that is newer than this release is used as it is, since a migration must leave
the release before able to work. Executing them is the engine's.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from letterlock.base.errors import LocalError


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. `checksum` is the SHA-256 of its text in hex."""

    version: int
    name: str
    sql: str
    checksum: str


@cache
def load_migrations(package: str) -> list[Migration]:
    """Load a package's migrations in their order.

    Once in a process and those it forks: an upgrade under a running node must not reach them.
    """
    migrations = []
    for file in resources.files(package).iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        if file.name.endswith(".sql"):
            sql = file.read_text("utf-8")
            checksum = hashlib.sha256(sql.encode()).hexdigest()
            migrations.append(Migration(int(number), name, sql, checksum))
    return sorted(migrations, key=lambda migration: migration.version)


def find_missing(
    migrations: list[Migration], applied: Mapping[int, str], where: str
) -> list[Migration]:
    """Give the migrations that a database still needs; `applied` has version and checksum.

    Raises LocalError when one that was applied differs from ours: not a database of this program.
    """
    for migration in migrations:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise LocalError(
                f"{where}: migration {migration.version} there is not the one of this release; "
                "restore the database or install the release that made it"
            )
    return [migration for migration in migrations if migration.version not in applied]
