"""Runs of `letterlock check` over many domains: going on with one, and asking once more."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from letterlock.cli.failures import CommandFailed

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.node.checking import Asked
    from letterlock.storage.check_progress import CheckProgress, Finished

KEPT_FOR = timedelta(hours=24)
"""An answer that is older is asked for again."""

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Document = dict[str, Any]


def run_options(command: Decorated) -> Decorated:
    """Add `--retries`, `--retry-after` and `--resume`."""
    retries = click.option(
        "--retries",
        type=click.IntRange(min=0, max=10),
        default=1,
        metavar="N",
        help="Ask hosts that put us off (421, silence...) again, at most N times. Default: 1.",
    )
    after = click.option(
        "--retry-after",
        type=click.FloatRange(min=0, max=3600),
        default=60.0,
        metavar="SECONDS",
        help="Wait so long before that; each time twice as long. Default: 60.",
    )
    resume = click.option(
        "--resume",
        "is_resumed",
        is_flag=True,
        help="Go on with a run over the same domains that was ended.",
    )
    return retries(after(resume(command)))


def find_state_folder() -> Path:
    """Give the folder for what checks keep from one run to the next."""
    state = os.environ.get("XDG_STATE_HOME")
    if not state:
        try:
            state = str(Path.home() / ".local" / "state")
        except RuntimeError:
            text = "this user has no home: let XDG_STATE_HOME name a folder for what is kept"
            raise CommandFailed(text) from None
    return Path(state) / "letterlock" / "check"


class KeptRun:
    """Keeps the answers of a run over several domains until the run is complete.

    `options` are those that its answers depend on: a run with others is another run.
    """

    def __init__(self, asked: Sequence["Asked"], options: Sequence[object], clock: "Clock") -> None:
        self._asked = asked
        self._clock = clock
        self._name = f"{_digest(asked, options)}.jsonl"
        self._progress: CheckProgress | None = None

    def begin(self, tell: Callable[[Document], None], *, is_resumed: bool) -> list["Asked"]:
        """Tell what an earlier run finished, if it is gone on with; gives what is left to do."""
        if len(self._asked) > 1:
            self._progress = self._open(is_resumed=is_resumed)
        if self._progress is None or not is_resumed:
            return list(self._asked)
        left = {each.name: each for each in self._asked}
        for finished in self._progress.read():
            if finished.name in left and self._is_recent(finished):
                del left[finished.name]
                tell(finished.document)
        return list(left.values())

    def keep(self, document: Document) -> None:
        """Keep the answer of one."""
        if self._progress is None:
            return
        from letterlock.base.clock import format_time  # noqa: PLC0415 - lazy, for -h
        from letterlock.storage.check_progress import Finished  # noqa: PLC0415 - as above

        checked = format_time(self._clock.now())
        try:
            self._progress.add(Finished(document["domain"], checked, document))
        except OSError as error:
            self._progress.close(is_complete=False)
            self._progress = None
            _note(f"it cannot be gone on with this run, should it be ended: {error}")

    def end(self, done: int, *, is_complete: bool) -> None:
        """Let it go. Of one that was ended before its end it is said how to go on."""
        if self._progress is None:
            return
        self._progress.close(is_complete=is_complete)
        if not is_complete:
            _note(f"{done} of {len(self._asked)} are done; --resume goes on with the rest")

    def _open(self, *, is_resumed: bool) -> "CheckProgress | None":
        from letterlock.storage.check_progress import CheckProgress  # noqa: PLC0415 - lazy, for -h
        from letterlock.storage.durable import describe  # noqa: PLC0415 - as above

        try:
            progress = CheckProgress(find_state_folder() / "runs" / self._name)
            if progress.open():
                return progress
            reason = "another run over the same domains is at it"
        except CommandFailed as failed:
            reason = str(failed)
        except OSError as error:
            reason = describe(error)
        if is_resumed:
            raise CommandFailed(f"--resume: {reason}")
        _note(f"it cannot be gone on with this run, should it be ended: {reason}")
        return None

    def _is_recent(self, finished: "Finished") -> bool:
        try:
            checked = datetime.fromisoformat(finished.checked)
        except ValueError:
            return False
        return checked.tzinfo is not None and abs(self._clock.now() - checked) < KEPT_FOR


def _digest(asked: Sequence["Asked"], options: Sequence[object]) -> str:
    names = sorted(f"{each.name} {each.speech}" for each in asked)
    return sha256("\n".join([*names, *map(str, options)]).encode()).hexdigest()[:32]


def _note(text: str) -> None:
    click.echo(f"letterlock: note: {text}", err=True)
