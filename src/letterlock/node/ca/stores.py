"""The authority's store that the settings name."""

import codecs
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from letterlock.base.clock import Clock
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.migrations import load_migrations

if TYPE_CHECKING:
    from letterlock.storage.postgres.ca.store import PostgresAuthority

DATABASE = "authority.db"


def load_late(config: Config) -> None:
    """Load what is else loaded when it is used: by then we may be one who cannot read it."""
    if config.ca.database is QueueEngine.POSTGRES:
        with suppress(LocalError):  # Whoever opens it tells that.
            _load_postgres()
    for codec in ("ascii", "idna", "latin-1", "punycode"):
        codecs.lookup(codec)
    for engine in ("sqlite", "postgres"):
        load_migrations(f"letterlock.storage.{engine}.ca.migrations")


def name_owner() -> str:
    """Give a name for this process that no other process of the authority has."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"


def find_database_file(config: Config) -> Path:
    """Give the SQLite file."""
    return config.ca.folder / DATABASE


def make_store(config: Config, clock: Clock) -> AuthorityStore:
    """Make it; nothing is opened yet. Raises LocalError for settings that can't be used."""
    if config.ca.database is QueueEngine.SQLITE:
        from letterlock.storage.sqlite.ca.store import SqliteAuthority  # noqa: PLC0415 - one of two

        return SqliteAuthority(find_database_file(config), clock)
    return _load_postgres()(_read_url(config), name_owner(), clock)


@asynccontextmanager
async def open_store(config: Config, clock: Clock) -> AsyncIterator[AuthorityStore]:
    """Open it for a command. Raises LocalError and StoreUnavailable."""
    store = make_store(config, clock)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _load_postgres() -> "type[PostgresAuthority]":
    """Load it: asyncpg is an extra. Raises LocalError where that is not there."""
    from letterlock.storage.postgres.ca.store import PostgresAuthority  # noqa: PLC0415 - asyncpg is an extra

    return PostgresAuthority


def _read_url(config: Config) -> str:
    section = config.ca
    key = ("ca", "database_url" if section.database_url_file is None else "database_url_file")
    try:
        url = section.read_database_url()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise refuse_setting(key, f"{section.database_url_file}: {reason}") from error
    from letterlock.storage.postgres.configured import is_url  # noqa: PLC0415 - as above

    if not is_url(url or ""):
        # It may hold a password: it is not shown.
        raise refuse_setting(key, "must be postgresql://user@host/name")
    assert url is not None
    return url
