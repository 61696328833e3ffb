"""One generation of a node: workers from one configuration and one set of certificates.

Other processes have the places behind the workers'.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from socket import socket
from typing import Any

from letterlock.base.clock import Clock
from letterlock.base.log import LineLog, Service
from letterlock.node.process import Part, run_process
from letterlock.node.worker import Common, Worker

RunProcess = Callable[[int, int, Callable[[], None]], int]
"""Is a process beside the workers, as `Generation.run_worker` is: number, descriptor, ready."""

QUIET_SECONDS = 3600.0
PAUSES = (0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0)
"""After how long changed certificates are looked at again, by how often they changed in a row."""


class ReloadPace:
    """Slows down what certificates that change often bring about.

    Each change brings new workers, and the old ones drain for as long as their sessions last. The
    first certificates are used at once all the same; then many that come together are gathered.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0.0
        self._count = 0

    def may_reload(self) -> bool:
        """Say if it is time to look whether certificates changed."""
        since = self._clock.monotonic() - self._last
        return self._count == 0 or since >= PAUSES[min(self._count, len(PAUSES)) - 1]

    def note_reload(self) -> None:
        """Note that they did."""
        now = self._clock.monotonic()
        self._count = 1 if now - self._last > QUIET_SECONDS else self._count + 1
        self._last = now


@dataclass(slots=True)
class NodeGeneration:
    """Fulfils `supervisor.Generation`. `beside` are the processes that are no workers."""

    common: Common
    listeners: Sequence[Sequence[socket]]
    log: LineLog
    beside: Sequence[RunProcess]
    pace: ReloadPace
    _faults: tuple[str, ...] = field(default=())

    @property
    def workers(self) -> int:
        return self.common.workers + len(self.beside)

    def run_worker(
        self, place: int, number: int, supervisor_gone: int, tell_ready: Callable[[], None]
    ) -> int:
        common = self.common
        if place >= common.workers:
            return self.beside[place - common.workers](number, supervisor_gone, tell_ready)

        def start() -> tuple[Part, Coroutine[Any, Any, None]]:
            worker = Worker(common, place, number)
            return worker, worker.run(self.listeners[place], tell_ready)

        return run_process(f"worker {place}", self.log, start, supervisor_gone)

    def is_outdated(self) -> bool:
        certificates = self.common.certificates
        if certificates is None or not self.pace.may_reload():
            return False
        result = certificates.reload_if_changed()
        if result.faults != self._faults:
            for fault in result.faults:
                self.common.log.write(Service.TLS, f"warning: not reloaded: {fault}")
            self._faults = result.faults
        for path in result.loaded:
            self.common.log.write(Service.TLS, f"loaded {path}")
        for name in result.removed:
            self.common.log.write(Service.TLS, f"{name}: not served any more")
        if result.has_changes:
            self.pace.note_reload()
        return result.has_changes

    def forget_worker(self, number: int) -> None:
        self.common.clients.clear_worker(number)
