"""The demo from its beginning to its end, in the order in which it is shown.

An authority certifies hosts whose names were proved, and looks at CAA. Then five messages, each for
a domain with another reason for the TLS that it must have: three go, to hosts that are proved; two
wait. Last comes what the sender reports of it. Exit codes: 0 when every claim held, 1 when one did
not.
"""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from letterlock.base.clock import Clock, SystemClock
from letterlock.base.errors import LocalError
from letterlock.demo.facts import Attempt
from letterlock.demo.incident import show_incident
from letterlock.demo.invitation import invite
from letterlock.demo.reports import show_reports
from letterlock.demo.screen import Screen
from letterlock.demo.setting import Setting
from letterlock.demo.stage import Stage, set_up
from letterlock.demo.steps import (
    claim_nothing_in_clear,
    show_certificates,
    show_dane,
    show_mta_sts,
    show_stage,
    show_table,
    show_unlisted,
    show_wrong_name,
)
from letterlock.demo.telling import CannotGoOn, describe_reason
from letterlock.storage.queue import MessageStory, RecipientState

MESSAGES = (show_table, show_wrong_name, show_dane, show_mta_sts, show_unlisted)


@dataclass(frozen=True, slots=True)
class _Way:
    """How it is played."""

    once: bool
    has_incident: bool


def run(*, once: bool, has_incident: bool = False, setting: Setting | None = None) -> int:
    """Play the demo; without `once` it stays up until Ctrl-C. Gives the exit code.

    `has_incident`: an incident of the authority comes last. Raises LocalError for what is in the
    way.
    """
    screen = Screen(Console(highlight=False))
    try:
        with _all_signals_as_interrupt(), TemporaryDirectory(prefix="letterlock-") as folder:
            chosen = _Way(once=once, has_incident=has_incident)
            return asyncio.run(_play(screen, Path(folder), setting or Setting(), chosen))
    except BaseExceptionGroup as group:
        raise _find_first(group) from None
    except OSError as error:
        raise LocalError(f"the demo cannot be set up: {error}") from error


async def _play(screen: Screen, folder: Path, setting: Setting, way: _Way) -> int:
    clock = SystemClock()
    began = clock.monotonic()
    screen.say(
        "Two mail servers on this machine's loopback, and five messages from one to the other. "
        "Three go, over channels that were verified; two wait, as theirs can't be. The day after, "
        "the domains hear of it. Nothing leaves this machine."
    )
    async with set_up(folder, setting, clock) as stage:
        try:
            stories = await _show_all(screen, stage, clock, has_incident=way.has_incident)
        except CannotGoOn as reason:
            screen.leave_line()
            screen.fail(f"The demo can't go on: {reason}")
            return 1
        is_fine = _conclude(screen, stories, clock.monotonic() - began)
        if is_fine and not way.once:
            await _stay(screen, stage)
        return 0 if is_fine else 1


async def _show_all(
    screen: Screen, stage: Stage, clock: Clock, *, has_incident: bool
) -> list[MessageStory]:
    await show_stage(screen, stage)
    await show_certificates(screen, stage, clock)
    stories = [await show(screen, stage, clock) for show in MESSAGES]
    await show_reports(screen, stage)
    if has_incident:
        await show_incident(screen, stage, clock)
    await claim_nothing_in_clear(screen, stage)
    return stories


def _conclude(screen: Screen, stories: Sequence[MessageStory], seconds: float) -> bool:
    """Sum up; True when everything held."""
    screen.leave_line()
    if screen.broken:
        screen.fail(f"{len(screen.broken)} of {screen.claims} claims did not hold:")
        for text in screen.broken:
            screen.fail(f"- {text}")
        return False
    screen.say(f"All {screen.claims} claims held, in {seconds:.1f} s:")
    for story in stories:
        (recipient,) = story.message.recipients
        state = "sent" if recipient.state is RecipientState.DELIVERED else "waits"
        screen.sum_up(recipient.address, state, describe_reason(Attempt(story.attempts[0])))
    return True


async def _stay(screen: Screen, stage: Stage) -> None:
    """Let both nodes run until Ctrl-C."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    try:
        invite(screen, stage)
        await interrupted.wait()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    screen.leave_line()
    screen.say(f"Ended; {stage.folder} is removed.")


@contextmanager
def _all_signals_as_interrupt() -> Iterator[None]:
    """End as with Ctrl-C also when the terminal goes or somebody sends SIGTERM: clean up."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    signal.raise_signal(signal.SIGINT)


def _find_first(error: BaseException) -> BaseException:
    """Take an error out of the groups that task groups made."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
