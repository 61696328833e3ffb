"""The supervisor over generations of small children, with a clock that is moved."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from letterlock.node.readiness import SIGNAL, Readiness
from letterlock.node.supervisor import (
    GATHER_SECONDS,
    HAND_OVER_SECONDS,
    LOOK_AROUND,
    PROCESSES_PER_PLACE,
    RESTART_SECONDS,
    SETTLED_SECONDS,
    Generation,
    Supervisor,
)
from tests.fakes import FakeClock, FakeLog


@dataclass
class Workers:
    """A generation whose children do what `work` says; none is forked for real."""

    workers: int = 1
    is_old: bool = False
    forgotten: list[int] = field(default_factory=list)

    def run_worker(self, *_: object) -> int:
        raise AssertionError("only in a child")

    def is_outdated(self) -> bool:
        return self.is_old

    def forget_worker(self, number: int) -> None:
        self.forgotten.append(number)


class Machine:
    """Processes and signals, as the supervisor's system calls see them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.log = FakeLog()
        self.told: list[str] = []
        self.problems: list[tuple[str, ...]] = []
        self.sent: list[tuple[int, signal.Signals]] = []
        self.ended: list[tuple[int, int]] = []
        self._next = 100
        self._script: list[Callable[[], int]] = []
        monkeypatch.setattr(os, "fork", self._fork)
        monkeypatch.setattr(os, "kill", self._kill)
        monkeypatch.setattr(os, "waitpid", self._wait)
        monkeypatch.setattr(signal, "pthread_sigmask", lambda *_: set())
        monkeypatch.setattr(signal, "sigtimedwait", self._take_signal)
        self.deaf: set[int] = set()
        self.living: list[int] = []
        self.forks: list[int] = []
        self.ready: list[int] = []

    def run(self, make: Callable[[bool], Generation | None], *script: Callable[[], int]) -> int:
        """Supervise: each step of the script gives the signal that comes next, 0 for none."""
        self._script = list(script)
        tell = self.told.append
        return Supervisor(
            *(make, self.clock, self.log, tell, lambda: Told(self.ready)), self.problems.append
        ).run()

    def greet(self, *processes: int) -> int:
        """Let children say that they greet clients."""
        self.ready += processes
        return SIGNAL

    def die(self, process: int, code: int = 1) -> int:
        self.living.remove(process)
        self.ended.append((process, code << 8))
        return signal.SIGCHLD

    def sleep(self, seconds: float) -> int:
        self.clock.move(timedelta(seconds=seconds))
        return 0

    def _fork(self) -> int:
        self._next += 1
        self.living.append(self._next)
        self.forks.append(self._next)
        return self._next

    def _kill(self, process: int, number: signal.Signals) -> None:
        self.sent.append((process, number))
        if process not in self.living:
            raise ProcessLookupError
        is_end = number == signal.SIGTERM and process not in self.deaf
        if number == signal.SIGKILL or is_end:
            self.living.remove(process)
            self.ended.append((process, int(number)))

    def _wait(self, _process: int, _options: int) -> tuple[int, int]:
        if self.ended:
            return self.ended.pop(0)
        if not self.living:
            raise ChildProcessError
        return 0, 0

    def _take_signal(self, _awaited: object, seconds: float) -> object:
        number = self._script.pop(0)() if self._script else 0
        if not self._script and not number:
            # The script is over: the end, and time passes until it has come.
            number = signal.SIGTERM
            self.clock.move(timedelta(seconds=seconds))
        return _Received(number) if number else None


class Told(Readiness):
    """What children told, without a pipe."""

    def __init__(self, ready: list[int]) -> None:
        self._ready = ready

    def take(self) -> list[int]:
        taken = self._ready[:]
        self._ready.clear()
        return taken


@dataclass
class _Received:
    si_signo: int


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_every_place_has_a_worker_until_sigterm(machine: Machine) -> None:
    generation = Workers(3)
    assert machine.run(lambda _: generation, lambda: 0) == 0
    assert machine.forks == [101, 102, 103]
    assert [each for each in machine.sent if each[1] == signal.SIGTERM] == [
        (101, signal.SIGTERM),
        (102, signal.SIGTERM),
        (103, signal.SIGTERM),
    ]
    assert machine.living == []
    assert machine.told[-1] == "STOPPING=1"
    assert set(machine.told[:-1]) == {"WATCHDOG=1"}
    assert sorted(generation.forgotten) == [0, 1, 2]


def test_readiness_is_told_once_when_every_place_greets_clients(machine: Machine) -> None:
    """sd_notify(3)"""
    generation = Workers(2)

    def states() -> list[str]:
        return [state for state in machine.told if state != "WATCHDOG=1"]

    def expect(*expected: str) -> Callable[[], int]:
        def check() -> int:
            assert states() == list(expected)
            return 0

        return check

    machine.run(
        lambda _: generation,
        # One that died in between counts no more.
        lambda: machine.greet(101),
        lambda: machine.die(101),
        lambda: machine.greet(102),
        expect(),
        lambda: machine.greet(103, 99),
        expect("READY=1"),
        lambda: machine.die(102),
        lambda: machine.greet(104),
        expect("READY=1"),
    )
    assert states() == ["READY=1", "STOPPING=1"]


@pytest.mark.parametrize("is_usable", [True, False])
def test_a_reload_is_told_with_its_end(machine: Machine, is_usable: bool) -> None:
    """sd_notify(3), Type=notify-reload: the time, then READY=1 by new workers or the old ones."""
    seen: list[int] = []

    def look(number: int) -> int:
        seen.append(machine.told.count("READY=1"))
        return number

    machine.run(
        lambda is_reload: Workers(1) if is_usable or not is_reload else None,
        lambda: machine.greet(101),
        lambda: machine.sleep(7),
        lambda: look(signal.SIGHUP),
        lambda: look(0),
        lambda: machine.greet(102),
    )
    (told,) = [state for state in machine.told if state.startswith("RELOADING=1\n")]
    assert told.partition("\n")[2] == "MONOTONIC_USEC=7000000"
    assert seen == [1, 1 if is_usable else 2]
    assert machine.told.count("READY=1") == 2


def test_a_worker_that_dies_is_replaced_and_the_others_look_around(machine: Machine) -> None:
    generation = Workers(2)
    machine.run(lambda _: generation, lambda: machine.die(101))
    assert machine.problems == []
    assert machine.forks == [101, 102, 103]
    assert (102, LOOK_AROUND) in machine.sent
    assert generation.forgotten[0] == 0
    assert any("process 101) ended with 1; its mail is kept" in text for text in machine.log.texts)


def test_a_worker_that_keeps_dying_is_replaced_ever_more_slowly(machine: Machine) -> None:
    """So that a fault at the start does not take all of the machine."""
    pauses = [*RESTART_SECONDS, RESTART_SECONDS[-1]]
    steps: list[Callable[[], int]] = []
    for pause in pauses:
        steps += [lambda: machine.die(machine.living[-1])]
        if pause:
            steps += [
                partial(machine.sleep, pause - 0.5),
                lambda: 0 if not machine.living else pytest.fail("too soon"),
                lambda: machine.sleep(1),
            ]
    machine.run(lambda _: Workers(1), *steps, lambda: 0)
    assert len(machine.forks) == len(pauses) + 1


def test_a_worker_that_lived_for_long_is_replaced_at_once(machine: Machine) -> None:
    steps: list[Callable[[], int]] = []
    for _ in range(4):
        steps += [
            lambda: machine.sleep(SETTLED_SECONDS + 1),
            lambda: machine.die(machine.living[-1]),
        ]
    machine.run(lambda _: Workers(1), *steps)
    assert len(machine.forks) == 5


def test_a_reload_that_fails_keeps_the_old_workers(machine: Machine) -> None:
    generation = Workers(2)
    machine.run(lambda is_reload: None if is_reload else generation, lambda: signal.SIGHUP)
    assert machine.forks == [101, 102]
    assert not [each for each in machine.sent if each[1] == signal.SIGHUP]
    assert "reload: the configuration in use stays as it was" in machine.log.texts


def test_a_reload_drains_the_old_workers_beside_the_new(machine: Machine) -> None:
    """Numbers are shared by nobody who lives, so that counts and sockets are not either."""
    first, second = Workers(1), Workers(1)
    machine.run(
        lambda is_reload: second if is_reload else first,
        lambda: signal.SIGHUP,
        lambda: machine.die(101, 0),
    )
    assert machine.forks == [101, 102]
    assert (101, signal.SIGHUP) in machine.sent
    assert first.forgotten == [0]
    assert second.forgotten == [1]
    assert not any("ended with" in text for text in machine.log.texts)


def drained(machine: Machine) -> list[int]:
    return [process for process, number in machine.sent if number == signal.SIGHUP]


def test_the_old_drain_when_all_of_the_new_serve(machine: Machine) -> None:
    """Until then clients are greeted by them, and commands answered."""
    seen: list[list[int]] = []

    def look() -> int:
        seen.append(drained(machine))
        return 0

    machine.run(
        lambda _: Workers(2),
        lambda: machine.greet(101, 102),
        lambda: signal.SIGHUP,
        lambda: machine.greet(103),
        look,
        lambda: machine.greet(104),
        look,
    )
    assert seen == [[], [101, 102]]
    line = "reload: the new workers serve, the old ones drain"
    assert machine.log.texts.count(line) == 1


def test_who_dies_before_all_serve_takes_nobodys_place(machine: Machine) -> None:
    """A database that only the new configuration names, and that is not there."""
    steps: list[Callable[[], int]] = [lambda: machine.greet(101), lambda: signal.SIGHUP]
    for _ in range(20):
        steps += [
            lambda: machine.die(machine.living[-1]) if len(machine.living) > 1 else 0,
            lambda: machine.sleep(HAND_OVER_SECONDS),
        ]
    steps.append(lambda: 0 if not drained(machine) else pytest.fail("it takes clients"))
    machine.run(lambda _: Workers(1), *steps, lambda: machine.greet(machine.living[-1]))
    assert drained(machine) == [101]
    assert len(machine.forks) > len(RESTART_SECONDS)
    told = "reload: a new worker ended with 1 (the log says why); those from before go on"
    assert machine.problems[0] == (told,)
    assert machine.problems[-1] == ()


def test_who_is_slow_to_serve_is_not_waited_for_for_ever(machine: Machine) -> None:
    """What keeps certificates waits for its database, and no mail is in its hands."""
    machine.run(
        lambda _: Workers(2),
        lambda: machine.greet(101, 102),
        lambda: signal.SIGHUP,
        lambda: machine.greet(103),
        lambda: machine.sleep(HAND_OVER_SECONDS - 1),
        lambda: 0 if not drained(machine) else pytest.fail("too soon"),
        lambda: machine.sleep(2),
        lambda: 0,
    )
    assert drained(machine) == [101, 102]
    assert sum("not all new workers serve after 30 s" in text for text in machine.log.texts) == 1


def test_who_never_served_goes_before_who_does(machine: Machine) -> None:
    """Reloads that follow each other leave those who take clients where they are."""
    reloads = [lambda: signal.SIGHUP, lambda: 0] * (PROCESSES_PER_PLACE + 2)
    machine.run(
        lambda _: Workers(1),
        lambda: machine.greet(101),
        *reloads,
        lambda: 0 if 101 in machine.living else pytest.fail("it served"),
        lambda: machine.greet(machine.living[-1]),
    )
    assert drained(machine)[0] == 102
    assert drained(machine)[-1] == 101
    assert (101, signal.SIGKILL) not in machine.sent
    assert any(number == signal.SIGKILL for _, number in machine.sent)


def test_who_dies_after_the_reload_has_a_successor_already(machine: Machine) -> None:
    machine.run(
        lambda _: Workers(1),
        lambda: machine.greet(101),
        lambda: signal.SIGHUP,
        lambda: machine.die(101),
        lambda: machine.greet(102),
    )
    assert machine.forks == [101, 102]
    ended = "warning: worker 0 (process 101) ended with 1; its mail is kept"
    assert ended in machine.log.texts


def test_a_worker_that_does_not_drain_in_time_is_killed(machine: Machine) -> None:
    machine.run(
        lambda _: Workers(1),
        lambda: signal.SIGHUP,
        lambda: machine.sleep(719),
        lambda: 0 if 101 in machine.living else pytest.fail("too soon"),
        lambda: machine.sleep(2),
        lambda: 0,
    )
    assert (101, signal.SIGKILL) in machine.sent


def test_a_worker_that_does_not_end_is_killed_in_the_end(machine: Machine) -> None:
    machine.deaf.add(101)
    assert machine.run(lambda _: Workers(1), lambda: signal.SIGTERM) == 0
    assert (101, signal.SIGKILL) in machine.sent
    assert machine.living == []


def test_too_many_reloads_end_the_one_that_drains_longest(machine: Machine) -> None:
    reloads = [lambda: signal.SIGHUP, lambda: machine.sleep(1)] * PROCESSES_PER_PLACE
    machine.run(lambda _: Workers(1), *reloads, lambda: signal.SIGCHLD, lambda: 0)
    assert [each for each in machine.sent if each[1] == signal.SIGKILL] == [(101, signal.SIGKILL)]
    assert len(machine.forks) == PROCESSES_PER_PLACE + 1


@pytest.mark.parametrize("has_changed", [True, False])
def test_changed_files_and_old_ticket_keys_make_a_generation(
    machine: Machine, has_changed: bool
) -> None:
    """RFC 9325 §3.4: ticket keys are changed weekly."""
    made: list[Workers] = []

    def make(_: bool) -> Workers:
        made.append(Workers(1))
        return made[-1]

    def change() -> int:
        made[0].is_old = has_changed
        return 0 if has_changed else machine.sleep(7 * 24 * 3600 + 1)

    machine.run(make, change, lambda: signal.SIGCHLD)
    assert len(made) == 2
    assert (101, signal.SIGHUP) in machine.sent


def test_changes_that_follow_each_other_are_taken_up_together_while_workers_drain(
    machine: Machine,
) -> None:
    """However many certificates are renewed, no session is ended before its time."""
    made: list[Workers] = []

    def make(_: bool) -> Workers:
        # Each has changed files as soon as it is there.
        made.append(Workers(1, is_old=True))
        return made[-1]

    an_hour = [lambda: machine.sleep(2.0)] * 1800
    machine.run(make, *an_hour)
    assert len(made) == pytest.approx(3600 / GATHER_SECONDS, abs=2)
    killed = [process for process, number in machine.sent if number == signal.SIGKILL]
    drained_late = [text for text in machine.log.texts if "did not drain in time" in text]
    assert len(killed) == len(drained_late)
    assert not any("too many generations" in text for text in machine.log.texts)


def test_a_change_is_taken_up_at_once_when_none_drains(machine: Machine) -> None:
    made: list[Workers] = []

    def make(_: bool) -> Workers:
        made.append(Workers(1, is_old=len(made) < 2))
        return made[-1]

    machine.run(make, lambda: 0, lambda: machine.die(101, 0), lambda: signal.SIGCHLD)
    assert len(made) == 3


def test_a_node_that_cannot_start_gives_2(machine: Machine) -> None:
    assert machine.run(lambda _: None) == 2
    assert machine.forks == []


def test_a_worker_that_does_not_listen_yet_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """Also where nohup(1) started the node; else it would go on beside those in its place."""
    program = tmp_path / "node.py"
    program.write_text(
        textwrap.dedent("""
        import os, signal
        from letterlock.node.supervisor import _be_worker

        class Worker:
            def run_worker(self, place, number, supervisor_gone, tell_ready):
                os.kill(os.getpid(), signal.SIGHUP)
                return 0

        _be_worker(Worker(), 0, 0, 0, print)
        """)
    )
    process = subprocess.run(
        ["nohup", sys.executable, str(program)],
        env={"PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent / "src")},
        capture_output=True,
        check=False,
    )
    assert process.returncode == -signal.SIGHUP


def test_children_are_real_processes_and_none_is_left(tmp_path: Path) -> None:
    """In a process of its own: with forks, signals and the pipe that tells of the end."""
    program = tmp_path / "node.py"
    program.write_text(
        textwrap.dedent("""
        import os, signal, sys
        from letterlock.base.clock import SystemClock
        from letterlock.node.supervisor import Supervisor
        from tests.fakes import FakeLog

        class Children:
            workers = 2
            def run_worker(self, place, number, supervisor_gone, tell_ready):
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
                print("born", place, number, flush=True)
                tell_ready()
                signal.sigwait({signal.SIGTERM})
                print("stopped", number, flush=True)
                return 0
            def is_outdated(self): return False
            def forget_worker(self, number): print("forgotten", number, flush=True)

        log = FakeLog()
        def tell(state):
            if state == "READY=1":
                print("ready", flush=True)
        code = Supervisor(lambda _: Children(), SystemClock(), log, tell).run()
        print("end", code, flush=True)
        """)
    )
    root = Path(__file__).resolve().parent.parent.parent
    process = subprocess.Popen(
        [sys.executable, str(program)],
        env={"PYTHONPATH": f"{root / 'src'}:{root}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as output:
        lines = [output.readline(), output.readline(), output.readline()]
        process.send_signal(signal.SIGTERM)
        lines += output.readlines()
    assert process.wait(60) == 0
    assert sorted(lines) == [
        "born 0 0\n",
        "born 1 1\n",
        "end 0\n",
        "forgotten 0\n",
        "forgotten 1\n",
        "ready\n",
        "stopped 0\n",
        "stopped 1\n",
    ]
