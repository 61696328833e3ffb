"""Writes the pairs of the store to files: for this node's workers, and for other programs.

Whichever node renews, all nodes find the new pair in the store, and their workers switch to it. The
hook of a folder is run until it succeeded once for each new pair, crashes included. Workers wait
for no hook.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from letterlock.base.errors import LocalError
from letterlock.base.log import Log, Service
from letterlock.base.waiting import wait_for_event
from letterlock.services.certify.hooks import run_hook
from letterlock.storage.certificate_files import CertificateFiles
from letterlock.storage.certificates import CertificateId, CertificateStore, KeptPair
from letterlock.storage.queue import StoreUnavailable

LOOK_SECONDS = 5.0
"""Between two looks at whether anything changed, which cost one statement."""
RETRY_SECONDS = 60.0
"""After a hook or a write that failed."""
HOOK_LIMIT = timedelta(minutes=2)
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class ExportFolder:
    """A folder for other programs: `names` are those it has, none: all.

    `hook` is told the certificate's folder, and its name.
    """

    path: Path
    files: CertificateFiles
    names: frozenset[str] = frozenset()
    hook: Path | None = None

    def has(self, which: CertificateId) -> bool:
        return not self.names or which.name in self.names

    def is_done(self, which: CertificateId, pair: KeptPair) -> bool:
        """Say if a pair is there, and those who use it were told."""
        return self.files.has(which, pair) and (self.hook is None or self.files.is_told(which))


class Exporting:
    """Keeps the files as the store is. `own` is for the node's workers."""

    def __init__(
        self,
        store: CertificateStore,
        wanted: Iterable[CertificateId],
        own: CertificateFiles,
        exports: Sequence[ExportFolder],
        log: Log,
    ) -> None:
        self._store = store
        self._own = own
        self._exports = tuple(exports)
        self._log = log
        self._wanted = frozenset(wanted)
        self._faults: dict[tuple[CertificateId, Path], str] = {}
        self._to_workers = _Following(store, self._wanted, self._write_own, log)
        self._to_others = _Following(store, self._wanted, self._write_exports, log)
        self._following = (self._to_workers, self._to_others)

    def look(self) -> None:
        """Look soon: something changed."""
        for each in self._following:
            each.look()

    async def run(self) -> None:
        """Keep them until cancelled."""
        await asyncio.to_thread(self._remove_unwanted)
        async with asyncio.TaskGroup() as tasks:
            for each in self._following:
                tasks.create_task(each.run())

    async def write_changes(self) -> bool:
        """Write what changed since the last time; False: some of it has to be tried again."""
        return all([await each.write_changes() for each in self._following])

    async def find_fault(self, which: CertificateId) -> str | None:
        """Say in one line why other programs may not have the pair in use; None: they have it.

        What is gone, or somebody changed, is written once more.
        """
        pair = await self._store.load_pair(which)
        wanted = [each for each in self._exports if each.has(which)]
        if pair is None:
            return None
        for export in wanted:
            if not await asyncio.to_thread(export.is_done, which, pair):
                fault = self._faults.get((which, export.path))
                if fault is None:
                    self._to_others.look_at_all()
                return f"its export to {export.path}: {fault or 'it is not there yet'}"
        return None

    async def _write_own(self, which: CertificateId, pair: KeptPair) -> set[str]:
        try:
            await asyncio.to_thread(self._own.write, which, pair)
        except LocalError as error:
            return {str(error)}
        return set()

    async def _write_exports(self, which: CertificateId, pair: KeptPair) -> set[str]:
        faults: set[str] = set()
        for export in self._exports:
            if not export.has(which):
                continue
            fault = await self._export(export, which, pair)
            if fault is None:
                self._faults.pop((which, export.path), None)
            else:
                self._faults[which, export.path] = fault
                faults.add(fault)
        return faults

    async def _export(
        self, export: ExportFolder, which: CertificateId, pair: KeptPair
    ) -> str | None:
        try:
            await asyncio.to_thread(export.files.write, which, pair)
            return await self._tell(export, which)
        except LocalError as error:
            return str(error)

    async def _tell(self, export: ExportFolder, which: CertificateId) -> str | None:
        if export.hook is None or await asyncio.to_thread(export.files.is_told, which):
            return None
        folder = export.files.paths(which)[0].parent
        fault = await run_hook(export.hook, [str(folder), which.name], {}, HOOK_LIMIT)
        if fault is not None:
            return f"{which}: {fault}"
        await asyncio.to_thread(export.files.note_told, which)
        return None

    def _remove_unwanted(self) -> None:
        """Let workers forget what the settings do not name any more; exports stay."""
        try:
            for folder in self._own.remove_others(self._wanted):
                self._log.write(Service.CERTIFICATES, f"{folder}: not served any more")
        except LocalError as error:
            self._log.write(Service.CERTIFICATES, f"warning: {error}")


class _Following:
    """Has each pair written that changed: `write` gives what went wrong."""

    def __init__(
        self,
        store: CertificateStore,
        wanted: frozenset[CertificateId],
        write: Callable[[CertificateId, KeptPair], Awaitable[set[str]]],
        log: Log,
    ) -> None:
        self._store = store
        self._wanted = wanted
        self._write = write
        self._log = log
        self._seen = -1
        self._look = asyncio.Event()
        self._faults: set[str] = set()

    def look(self) -> None:
        self._look.set()

    def look_at_all(self) -> None:
        """Look soon, also at what did not change."""
        self._seen = -1
        self._look.set()

    async def run(self) -> None:
        while True:
            self._look.clear()
            is_done = await self.write_changes()
            await wait_for_event(self._look, LOOK_SECONDS if is_done else RETRY_SECONDS)

    async def write_changes(self) -> bool:
        faults: set[str] = set()
        try:
            version = await self._store.read_version()
            if version != self._seen:
                for which in await self._list_changed():
                    pair = await self._store.load_pair(which)
                    faults |= set() if pair is None else await self._write(which, pair)
                if not faults:
                    self._seen = version
        except StoreUnavailable as error:
            faults.add(f"certificates cannot be read: {error}")
        for fault in sorted(faults - self._faults):
            self._log.write(Service.CERTIFICATES, f"warning: {fault}")
        self._faults = faults
        return not faults

    async def _list_changed(self) -> list[CertificateId]:
        """List the wanted ones that have a pair we did not write yet."""
        found: list[CertificateId] = []
        since = max(self._seen, 0)
        while states := await self._store.list_changed(since, limit=_PAGE):
            found += [state.id for state in states if state.id in self._wanted]
            since = states[-1].version
        return found
