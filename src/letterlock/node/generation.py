"""One generation of a node: workers from one configuration and one set of certificates.

Other processes have the places behind the workers'.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from socket import socket
from typing import Any

from letterlock.base.log import LineLog, Service
from letterlock.node.process import Part, run_process
from letterlock.node.submission_listeners import SubmissionSockets
from letterlock.node.worker import Common, Worker

RunProcess = Callable[[int, int, Callable[[], None]], int]
"""Is a process beside the workers, as `Generation.run_worker` is: number, descriptor, ready."""


@dataclass(slots=True)
class NodeGeneration:
    """Fulfils `supervisor.Generation`. `beside` are the processes that are no workers.

    `listeners` and `submission` have each worker's sockets at its place.
    """

    common: Common
    listeners: Sequence[Sequence[socket]]
    log: LineLog
    beside: Sequence[RunProcess]
    submission: Sequence[SubmissionSockets]
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
            return worker, worker.run(self.listeners[place], tell_ready, self.submission[place])

        return run_process(f"worker {place}", self.log, start, supervisor_gone)

    def is_outdated(self) -> bool:
        certificates = self.common.certificates
        if certificates is None:
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
        return result.has_changes

    def forget_worker(self, number: int) -> None:
        self.common.clients.clear_worker(number)
