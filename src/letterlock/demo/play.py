"""The demo from its beginning to its end, in the order in which it is shown.

One message goes to a host that proves its name, one does not go to a host that can't. Exit codes:
0 when every claim held, 1 when one did not.
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from letterlock.base.clock import Clock, SystemClock
from letterlock.base.errors import LocalError
from letterlock.demo.invitation import invite
from letterlock.demo.screen import Screen
from letterlock.demo.setting import ALICE, BOB, WRONG_DOMAIN, Setting
from letterlock.demo.stage import Stage, set_up
from letterlock.demo.steps import (
    CannotGoOn,
    claim_nothing_in_clear,
    show_delivery,
    show_refusal,
    show_stage,
    show_submission,
)


def run(*, once: bool, setting: Setting | None = None) -> int:
    """Play the demo; without `once` it stays up until Ctrl-C. Gives the exit code.

    Raises LocalError for what is in the way.
    """
    screen = Screen(Console(highlight=False))
    try:
        with _all_signals_as_interrupt(), TemporaryDirectory(prefix="letterlock-") as folder:
            return asyncio.run(_play(screen, Path(folder), setting or Setting(), once=once))
    except BaseExceptionGroup as group:
        raise _find_first(group) from None
    except OSError as error:
        raise LocalError(f"the demo cannot be set up: {error}") from error


async def _play(screen: Screen, folder: Path, setting: Setting, *, once: bool) -> int:
    clock = SystemClock()
    began = clock.monotonic()
    screen.say(
        "Two mail servers on this machine's loopback: one message is delivered over a verified "
        "channel, one is not sent as its channel can't be verified. Nothing leaves this machine."
    )
    async with set_up(folder, setting, clock) as stage:
        try:
            await _show_all(screen, stage, clock)
        except CannotGoOn as reason:
            screen.leave_line()
            screen.fail(f"The demo can't go on: {reason}")
            return 1
        is_fine = _conclude(screen, clock.monotonic() - began)
        if is_fine and not once:
            await _stay(screen, stage)
        return 0 if is_fine else 1


async def _show_all(screen: Screen, stage: Stage, clock: Clock) -> None:
    await show_stage(screen, stage)
    screen.begin_step(f"A client hands in a message for {ALICE} to the sender")
    screen.explain(
        "It may, its address is listed. The sender says 250 only when the message is on disk."
    )
    queue_id = await show_submission(screen, stage, ALICE, clock)
    screen.begin_step("The sender delivers it, to a host that must prove its name first")
    screen.explain(
        "It asks DNS for the host, its policy for what that host must prove, and looks at the "
        "certificate before it says who writes to whom."
    )
    await show_delivery(screen, stage, queue_id)
    screen.begin_step(f"A second message, for {BOB}: there the certificate has another name")
    screen.explain(
        f"The MX of {WRONG_DOMAIN} leads to the same receiver, which would take the mail. But so "
        "would anybody who got in between: a host that can't prove its name gets nothing."
    )
    queue_id = await show_submission(screen, stage, BOB, clock)
    await show_refusal(screen, stage, queue_id)
    claim_nothing_in_clear(screen, stage)


def _conclude(screen: Screen, seconds: float) -> bool:
    """Sum up; True when everything held."""
    screen.leave_line()
    if screen.broken:
        screen.fail(f"{len(screen.broken)} of {screen.claims} claims did not hold:")
        for text in screen.broken:
            screen.fail(f"- {text}")
        return False
    screen.say(
        f"All {screen.claims} claims held, in {seconds:.1f} s: one message delivered over a "
        "verified channel, one kept back, none sent in clear or to a host that proved nothing."
    )
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
