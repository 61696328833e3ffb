"""What watches domains for `letterlock check --watch`, as the settings say, until a signal."""

import asyncio
import fcntl
import os
import random
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.node.checking import Asked, CheckOptions, check_domains
from letterlock.services.certify.hooks import run_hook
from letterlock.services.check.telling import CommandTeller, MailTeller, Teller
from letterlock.services.check.watch import Watch, WatchTools
from letterlock.services.check.watching import Change, Rules
from letterlock.storage.check_runs import CheckRuns
from letterlock.storage.durable import make_folder

SOON = timedelta(minutes=5)
"""Until the next look where something changed; never longer than the interval."""
_TOKEN_OCTETS = 12


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How it is watched, and who is told: `mail` by the program `sendmail`, `command`."""

    every: timedelta
    times: int
    silent: frozenset[str]
    mail: str | None
    sendmail: Path
    command: Path | None
    folder: Path
    """Where it is kept what was told."""


@dataclass(frozen=True, slots=True)
class DomainWatch:
    """What is watched and how; `say` is given what changed, besides those who are told."""

    config: Config
    asked: Sequence[Asked]
    options: CheckOptions
    watching: WatchOptions
    clock: Clock
    say: Callable[[Sequence[Change]], None]

    def run(self) -> None:
        """Watch until SIGTERM or SIGINT. Raises LocalError for what keeps it from starting."""
        with _hold(self.watching.folder):
            asyncio.run(self.watch())

    async def watch(self) -> None:
        """Do `run` in an event loop that is there, with the folder held."""
        watching, options = self.watching, self.options
        tools = WatchTools(
            look=self._look,
            rules=Rules(watching.times, watching.silent),
            every=watching.every.total_seconds(),
            soon=min(SOON, watching.every).total_seconds(),
            tellers=list_tellers(self.config, watching),
            kept=CheckRuns(watching.folder),
            clock=self.clock,
            wait=asyncio.sleep,
            draw=random.SystemRandom().uniform,
            say=self.say,
            note=options.note,
        )
        names = list(dict.fromkeys(each.name for each in self.asked))
        watch = Watch(names, tools)
        options.note(_describe_start(len(names), watch.find_pause()))
        await _run_until_signal(watch)

    async def _look(self, names: Sequence[str], take: Callable[[dict[str, Any]], None]) -> None:
        # From nothing each time: trust anchors, resolver and connections are today's.
        by_name = {each.name: each for each in self.asked}
        asked = [by_name[name] for name in names]
        await check_domains(self.config, asked, self.options, self.clock, take)


async def _run_until_signal(watch: Watch) -> None:
    is_over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, is_over.set)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(watch.run())
        await is_over.wait()
        # Connections are closed and programs ended; what was to be told waits on the disk.
        running.cancel()


def list_tellers(config: Config, watching: WatchOptions) -> list[Teller]:
    """Make what tells."""
    tellers: list[Teller] = []
    if watching.mail is not None:
        # Where a program such as msmtp finds its own settings.
        home = {"HOME": os.environ["HOME"]} if "HOME" in os.environ else {}
        mail = MailTeller(
            watching.sendmail,
            watching.mail,
            config.contact,
            config.hostname,
            run_hook,
            lambda: secrets.token_hex(_TOKEN_OCTETS),
            home,
        )
        tellers.append(mail)
    if watching.command is not None:
        tellers.append(CommandTeller(watching.command, run_hook))
    return tellers


@contextmanager
def _hold(folder: Path) -> Iterator[None]:
    """Keep others from watching with the same folder. Raises LocalError."""
    try:
        make_folder(folder)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = error.strerror or str(error)
        raise LocalError(
            f"{folder}: {reason}; XDG_STATE_HOME says where it is kept what was told"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LocalError(
            f"{folder}: another check --watch keeps what it told there; give this one another"
            " XDG_STATE_HOME"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _describe_start(number: int, seconds: float) -> str:
    which = "1 domain is" if number == 1 else f"{number} domains are"
    if seconds <= 0:
        return f"{which} watched, from now on"
    return f"{which} watched; the next look is in {seconds:.0f} seconds, as was planned before"
