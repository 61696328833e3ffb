"""Numbered SQL files that make a database, and bring an old one forward.

Each engine has a package of them (`0001_queue.sql`). A database keeps the number and checksum of
each one applied; one that is newer than this release is used as it is, since a migration must leave
the release before able to work. One that does not says so: with `-- Readable from: 4` on a line of
its own, releases without migration 4 refuse what it changed. Executing them is the engine's.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from letterlock.base.errors import LocalError

_READABLE_FROM = re.compile(r"^-- Readable from: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. `checksum` is the SHA-256 of its text in hex.

    `readable_from` is the migration that a release must have to work with what this one made; 0:
    every release can.
    """

    version: int
    name: str
    sql: str
    checksum: str
    readable_from: int = 0


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
            found = _READABLE_FROM.search(sql)
            oldest = int(found[1]) if found else 0
            migrations.append(Migration(int(number), name, sql, checksum, oldest))
    return sorted(migrations, key=lambda migration: migration.version)


class TooNewError(LocalError):
    """A newer release changed the database, and this one cannot work with it."""


def find_latest(migrations: list[Migration]) -> int:
    """Give the number of the last one: the schema that this release makes."""
    return max((migration.version for migration in migrations), default=0)


def find_missing(
    migrations: list[Migration], applied: Mapping[int, str], where: str, readable_from: int = 0
) -> list[Migration]:
    """Give the migrations that a database still needs; `applied` has version and checksum.

    `readable_from` is the highest that those applied said. Raises LocalError when we do not have
    that one, or when one that was applied differs from ours: not a database of this program.
    """
    if readable_from > find_latest(migrations):
        raise TooNewError(
            f"{where}: a newer release changed it, and this one cannot read it (it lacks migration "
            f"{readable_from}); run that release, or restore the backup made before the upgrade"
        )
    for migration in migrations:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise LocalError(
                f"{where}: migration {migration.version} there is not the one of this release; "
                "restore the database or install the release that made it"
            )
    return [migration for migration in migrations if migration.version not in applied]
