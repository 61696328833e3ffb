"""The supervisor: owns the listening sockets, forks the workers, and outlives each of them.

It runs no event loop and starts no thread, so that it can fork at any time: TLS contexts built
here are inherited, and all workers of a generation share their ticket keys (RFC 9325 §3.4). A new
configuration or certificate makes a new generation; when all of that serves, the old one drains: it
finishes what it has in hands and takes nothing new. So what can't serve takes the place of nothing.
A worker that dies is replaced, ever more slowly if it keeps dying.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.node.readiness import SIGNAL, Readiness

CHECK_SECONDS = 2.0
RESTART_SECONDS = (0.0, 1.0, 5.0, 15.0, 60.0)
"""How long a place stays empty after its worker died, by how often that happened in a row."""
SETTLED_SECONDS = 60.0
"""A worker that lived this long is not counted with those that died at their start."""
DRAIN_SECONDS = 720.0
"""A drained worker lets sessions go on for 10 minutes, and then finishes what it has in hands."""
STOP_SECONDS = 90.0
LOOK_AROUND = signal.SIGURG
"""Tells a worker that another has ended. One that does not listen to it yet ignores it."""
TICKET_KEY_SECONDS = 7 * 24 * 3600.0
"""RFC 9325 §3.4: ticket keys are changed weekly."""
PROCESSES_PER_PLACE = 8
"""Living processes that may once have filled one place: after so many reloads in the time that
sessions go on, the oldest that drains is ended."""
HAND_OVER_SECONDS = 30.0
"""For how long a new generation of which nobody has died may take until it serves; then the old one
drains all the same."""
GATHER_SECONDS = DRAIN_SECONDS / (PROCESSES_PER_PLACE - 2)
"""Files that change while workers drain are taken up together, at most this often: where there are
thousands of certificates, one is renewed every few minutes, and must end no session."""


class Generation(Protocol):
    """What one set of workers has in common: made by the supervisor before it forks them."""

    @property
    def workers(self) -> int: ...

    def run_worker(
        self, place: int, number: int, supervisor_gone: int, tell_ready: Callable[[], None]
    ) -> int:
        """Be a worker, in the child: until SIGTERM, SIGHUP, or the descriptor reads as closed.

        It calls `tell_ready` when it greets clients. `place` is its listening sockets'; `number` is
        below `workers * PROCESSES_PER_PLACE`, and no other living process has it, of this
        generation or another. Gives the exit code.
        """

    def is_outdated(self) -> bool:
        """Say if a file it was made from (a certificate) changed, and can be used."""

    def forget_worker(self, number: int) -> None:
        """Clean what a worker that is gone had counted."""


@dataclass(slots=True)
class _Worker:
    generation: Generation
    place: int
    number: int
    started: float
    is_ready: bool = False
    is_draining: bool = False
    end_at: float = 0.0
    """When a worker that drains is killed."""


@dataclass(slots=True)
class _Place:
    deaths: int = 0
    not_before: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Runs generations of workers until SIGTERM or SIGINT.

    `make_generation` is asked at the start, when files changed, and weekly; with True at SIGHUP,
    when the configuration is to be read again. None means that it can't be used: it has said why,
    and the old generation stays.
    """

    make_generation: Callable[[bool], Generation | None]
    clock: Clock
    log: Log
    tell: Callable[[str], None] = lambda _state: None
    """Tells the service manager one state of sd_notify(3)."""
    make_readiness: Callable[[], Readiness] = Readiness
    """Called when its signal is blocked."""
    tell_problems: Callable[[tuple[str, ...]], None] = lambda _lines: None
    """Has `letterlock status` say why an older generation goes on; (): it does not."""
    _current: Generation | None = None
    _born: float = 0.0
    _workers: dict[int, _Worker] = field(default_factory=dict)
    _places: dict[int, _Place] = field(default_factory=dict)
    _is_ready: bool = False
    """What the service manager was last told of us."""
    _is_problem_told: bool = False
    _is_reloading: bool = False
    """The log has not told yet how it ended."""
    _is_handed_over: bool = True
    """Nobody of an older generation accepts clients."""

    def run(self) -> int:
        """Supervise until told to end; gives the exit code."""
        awaited = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, SIGNAL}
        signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
        readiness = self.make_readiness()
        # Workers notice by this pipe that the supervisor is gone, however it ended.
        alive_reader, alive_writer = os.pipe()
        self._start_generation()
        if self._current is None:
            return 2
        self._fill(alive_reader, alive_writer, readiness)
        while True:
            self.tell("WATCHDOG=1")
            received = signal.sigtimedwait(awaited, CHECK_SECONDS)
            number = received.si_signo if received else 0
            if number in (signal.SIGTERM, signal.SIGINT):
                break
            if number == signal.SIGHUP:
                self._reload()
            self._note_ready(readiness.take())
            self._bury()
            self._hand_over_late()
            self._refresh()
            self._fill(alive_reader, alive_writer, readiness)
            self._kill_late()
        return self._end()

    def _start_generation(self, *, is_reload: bool = False) -> None:
        generation = self.make_generation(is_reload)
        if generation is None:
            return
        self._current = generation
        self._born = self.clock.monotonic()
        self._places = {}
        self._is_handed_over = False
        # Who serves nobody yet will not.
        self._drain(lambda worker: not worker.is_ready)

    def _reload(self) -> None:
        # sd_notify(3): with the time, for Type=notify-reload.
        self.tell(f"RELOADING=1\nMONOTONIC_USEC={self.clock.monotonic() * 1e6:.0f}")
        self._is_ready = False
        before = self._current
        self._start_generation(is_reload=True)
        if self._current is before:
            self.log.write(Service.NODE, "reload: the configuration in use stays as it was")
        else:
            self.log.write(Service.NODE, "reload: new workers start")
            self._is_reloading = True

    def _note_ready(self, processes: Iterable[int]) -> None:
        """Tell the service manager when every place has a worker that greets clients."""
        assert self._current is not None
        for process in processes:
            if process in self._workers:
                self._workers[process].is_ready = True
        ready = sum(worker.is_ready for worker in self._of_current())
        if ready < self._current.workers:
            return
        if not self._is_handed_over:
            is_reload = self._is_reloading
            self._hand_over()
            if is_reload:
                self.log.write(Service.NODE, "reload: the new workers serve, the old ones drain")
        if not self._is_ready:
            self.tell("READY=1")
            self._is_ready = True

    def _of_current(self) -> list[_Worker]:
        return [each for each in self._workers.values() if each.generation is self._current]

    def _hand_over(self) -> bool:
        """Have all workers of older generations drain; False: there is none that does not."""
        self._is_handed_over = True
        self._is_reloading = False
        if self._is_problem_told:
            self.tell_problems(())
            self._is_problem_told = False
        return self._drain(lambda _: True)

    def _drain(self, is_meant: Callable[[_Worker], bool]) -> bool:
        """Have workers of older generations drain; False: there is none that does not."""
        old = [
            (process, worker)
            for process, worker in self._workers.items()
            if worker.generation is not self._current
            and not worker.is_draining
            and is_meant(worker)
        ]
        for process, worker in old:
            worker.is_draining = True
            worker.end_at = self.clock.monotonic() + DRAIN_SECONDS
            _signal(process, signal.SIGHUP)
        return bool(old)

    def _hand_over_late(self) -> None:
        """Do so without all of the new ones, where none of those fails."""
        age = self.clock.monotonic() - self._born
        has_died = any(place.deaths for place in self._places.values())
        if self._is_handed_over or has_died or age <= HAND_OVER_SECONDS:
            return
        if self._hand_over():
            text = f"not all new workers serve after {HAND_OVER_SECONDS:.0f} s; the old ones drain"
            self.log.write(Service.NODE, f"warning: {text}")

    def _refresh(self) -> None:
        assert self._current is not None
        age = self.clock.monotonic() - self._born
        is_current = len(self._of_current()) == len(self._workers)
        if not is_current and age < GATHER_SECONDS:
            return
        if age > TICKET_KEY_SECONDS or self._current.is_outdated():
            self._start_generation()

    def _fill(self, alive_reader: int, alive_writer: int, readiness: Readiness) -> None:
        """Fork a worker for each place that is empty and may be filled."""
        generation = self._current
        assert generation is not None
        taken = {worker.place for worker in self._of_current()}
        now = self.clock.monotonic()
        for place in range(generation.workers):
            if place in taken or self._places.setdefault(place, _Place()).not_before > now:
                continue
            number = self._find_number(generation)
            if number is None:
                return
            process = os.fork()
            if process == 0:
                os.close(alive_writer)
                _be_worker(generation, place, number, alive_reader, readiness.tell)
            self._workers[process] = _Worker(generation, place, number, now)

    def _find_number(self, generation: Generation) -> int | None:
        """Give a number that no living process has; None: one has to end first, and is told so."""
        taken = {worker.number for worker in self._workers.values()}
        for number in range(generation.workers * PROCESSES_PER_PLACE):
            if number not in taken:
                return number
        drained = [each for each, worker in self._workers.items() if worker.is_draining]
        process = min(drained or self._workers, key=lambda each: self._workers[each].started)
        self.log.write(
            Service.NODE, f"warning: too many generations; process {process} is ended undrained"
        )
        _signal(process, signal.SIGKILL)
        return None

    def _bury(self) -> None:
        """Take note of the workers that ended."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            if worker := self._workers.pop(process, None):
                self._note_end(process, worker, status)

    def _note_end(self, process: int, worker: _Worker, status: int) -> None:
        worker.generation.forget_worker(worker.number)
        for other in self._workers:
            # What it left is theirs now.
            _signal(other, LOOK_AROUND)
        if worker.is_draining:
            return
        code = os.waitstatus_to_exitcode(status)
        text = f"worker {worker.place} (process {process}) ended with {code}; its mail is kept"
        if worker.generation is self._current:
            text += f", a new worker starts in {self._put_off(worker):.0f} s"
            if not self._is_handed_over and len(self._of_current()) < len(self._workers):
                reason = f"a new worker ended with {code} (the log says why)"
                self.tell_problems((f"reload: {reason}; those from before go on",))
                self._is_problem_told = True
        self.log.write(Service.NODE, f"warning: {text}")

    def _put_off(self, worker: _Worker) -> float:
        """Give the seconds after which the place of a worker that died is filled again."""
        now = self.clock.monotonic()
        place = self._places.setdefault(worker.place, _Place())
        place.deaths = 1 if now - worker.started > SETTLED_SECONDS else place.deaths + 1
        pause = RESTART_SECONDS[min(place.deaths, len(RESTART_SECONDS)) - 1]
        place.not_before = now + pause
        return pause

    def _kill_late(self) -> None:
        now = self.clock.monotonic()
        for process, worker in self._workers.items():
            if worker.is_draining and now > worker.end_at:
                self.log.write(
                    Service.NODE, f"warning: process {process} did not drain in time; it is ended"
                )
                _signal(process, signal.SIGKILL)

    def _end(self) -> int:
        """Drain all workers; those that take too long are killed, and lose nothing by it."""
        self.tell("STOPPING=1")
        deadline = self.clock.monotonic() + STOP_SECONDS
        for process, worker in self._workers.items():
            worker.is_draining = True
            worker.end_at = deadline
            _signal(process, signal.SIGTERM)
        while self._workers:
            signal.sigtimedwait({signal.SIGCHLD}, CHECK_SECONDS)
            self._bury()
            self._kill_late()
        return 0


def _be_worker(
    generation: Generation,
    place: int,
    number: int,
    alive_reader: int,
    tell_ready: Callable[[], None],
) -> None:
    """Run in the child; never returns into the supervisor's code."""
    code = 1
    try:
        # nohup(1) has SIGHUP ignored: who is told to end before it listens to that must end by it.
        for told in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(told, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        code = generation.run_worker(place, number, alive_reader, tell_ready)
    except BaseException:  # noqa: BLE001 - a child must not unwind into the supervisor's loop
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return
