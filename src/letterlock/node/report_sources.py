"""Whose TLS sessions a node reports, and as whom: its queue's, and those that a Postfix told of."""

import asyncio
from datetime import date
from pathlib import Path

from letterlock.base.config.sections import Config
from letterlock.base.presence import is_absent
from letterlock.node.shared_database import find_database, name_node
from letterlock.services.collect.aggregate import DayCounts
from letterlock.services.collect.journal import load_day as load_collected
from letterlock.services.report.composing import Submitter
from letterlock.services.report.counts import CountSource
from letterlock.storage.day_files import DamagedCounts, DayFiles
from letterlock.storage.durable import unavailable
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite import tls_sessions as sqlite
from letterlock.storage.sqlite.shard_files import find_shards
from letterlock.storage.tls_sessions import CountedSession

QUEUE = "queue"


def make_submitter(config: Config) -> Submitter:
    """Say who reports: the settings, or what follows from the domains."""
    section = config.tlsrpt
    # Who has no settings reports for this machine.
    contact = section.contact or f"postmaster@{next(iter(config.domains), config.hostname)}"
    organization = section.organization or contact.rpartition("@")[2]
    return Submitter(organization, contact, config.hostname)


def make_sources(config: Config) -> list[CountSource]:
    """Give what is counted here. Raises LocalError."""
    address = find_database(config)
    sources: list[CountSource] = [
        _ShardCounts(config.queue_dir) if address is None else _DatabaseCounts(address)
    ]
    if not is_absent(config.tlsrpt.journal_dir):
        # Only this node can read it, where others share the database.
        name = f"collected@{name_node(config)}"
        sources.append(_CollectedCounts(name, DayFiles(config.tlsrpt.journal_dir)))
    return sources


class _ShardCounts:
    """Of all shards of a node's queue, whoever owns them now."""

    name = QUEUE

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def list_days(self) -> list[date]:
        found = [await sqlite.load_session_days(path) for path in find_shards(self._folder)]
        return sorted({day for days in found for day in days})

    async def load_day(self, day: date) -> DayCounts:
        counts = DayCounts()
        for path in find_shards(self._folder):
            _add(counts, await sqlite.load_day(path, day))
        return counts


class _DatabaseCounts:
    """Of all nodes that share a database."""

    name = QUEUE

    def __init__(self, address: str) -> None:
        self._address = address

    async def list_days(self) -> list[date]:
        # asyncpg is an extra: only loaded where it is used.
        from letterlock.storage.postgres.tls_sessions import load_session_days  # noqa: PLC0415 - asyncpg is an extra

        return await load_session_days(self._address)

    async def load_day(self, day: date) -> DayCounts:
        from letterlock.storage.postgres.tls_sessions import load_day  # noqa: PLC0415 - as above

        counts = DayCounts()
        _add(counts, await load_day(self._address, day))
        return counts


class _CollectedCounts:
    """Of a Postfix beside us, as `tlsrpt collect` counted them."""

    def __init__(self, name: str, files: DayFiles) -> None:
        self.name = name
        self._files = files

    async def list_days(self) -> list[date]:
        try:
            return await asyncio.to_thread(self._files.list_days)
        except OSError as error:
            raise unavailable(error) from error

    async def load_day(self, day: date) -> DayCounts:
        try:
            return await asyncio.to_thread(load_collected, self._files, day)
        except OSError as error:
            raise unavailable(error) from error
        except DamagedCounts as error:
            raise StoreUnavailable(str(error)) from error


def _add(counts: DayCounts, found: list[CountedSession]) -> None:
    for each in found:
        counts.add(each.session, each.count)
