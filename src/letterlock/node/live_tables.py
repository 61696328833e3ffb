"""The tables of `[maps]` for a worker: a thread reads them when they change, and mail goes on.

What is asked gets what was read last, and never half of a file. One of 100,000 entries takes a
second or two to read; while that lasts the event loop shares its core with the thread.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.protocols.tables.lines import Table
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.redirect.tables import CHECK_SECONDS, TableFiles, Tables

LONG_SECONDS = 0.05
"""What takes longer has made many objects."""


class LiveTables:
    """Fulfils `redirect.tables.TableSource`. `tell` gets what is wrong, one line each."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        tell: Callable[[str], None],
        directory: LocalDirectory | None = None,
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._told: list[str] = []
        self._files = TableFiles(
            config.maps, config.domains, config.hostname, clock, self._told.append, directory
        )
        self._current = self._load()
        self._tell_all()

    def current(self) -> Tables:
        return self._current

    async def run(self) -> None:
        """Look for changes until cancelled."""
        while self._files.has_files:
            await asyncio.sleep(CHECK_SECONDS)
            await self.refresh()

    async def refresh(self) -> None:
        """Look once, and take what changed."""
        try:
            found = await asyncio.to_thread(self._load)
            entries = await asyncio.to_thread(_list_replaced, self._current, found)
            self._current = found
            await asyncio.to_thread(_let_go, entries)
        except Exception as error:  # noqa: BLE001 - a fault of ours: what was read before counts on
            self._tell(f"error: tables cannot be read again: {error!r}")
        self._tell_all()

    def _load(self) -> Tables:
        """Read what changed; the collector of cycles leaves that alone, as there are none.

        To look through hundreds of thousands of objects it would stop the loop each time.
        """
        begin = self._clock.monotonic()
        gc.disable()
        try:
            return self._files.current()
        finally:
            if self._clock.monotonic() - begin > LONG_SECONDS:
                gc.freeze()
            gc.enable()

    def _tell_all(self) -> None:
        told, self._told[:] = tuple(self._told), ()
        for problem in told:
            self._tell(problem)


def _list_replaced(old: Tables, new: Tables) -> list[object]:
    """Give all entries of the tables that are no more; [] where nothing changed."""
    kept = {id(table) for table in _list_tables(new)}
    gone = (table for table in _list_tables(old) if id(table) not in kept)
    return [entry for table in gone for entry in table.entries.values()]


def _let_go(entries: list[object]) -> None:
    """Free entries one by one: as a whole they would stop the loop."""
    while entries:
        entries.pop()


def _list_tables(tables: Tables) -> Iterator[Table[Any]]:
    addresses = tables.addresses
    for table in (
        *(addresses.virtual, addresses.aliases, tables.transport),
        *(tables.relay_domains, tables.relay_recipients, tables.sender_relays),
    ):
        if isinstance(table, Table):
            yield table
