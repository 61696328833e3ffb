"""`letterlock check --watch`: its options, and its lines."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.cli.check_run import find_state_folder

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.node.check_watch import WatchOptions
    from letterlock.node.checking import Asked, CheckOptions
    from letterlock.services.check.watching import Change

SENDMAIL = Path("/usr/sbin/sendmail")
MIN_EVERY = timedelta(minutes=1)
MAX_EVERY = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class WatchChoice:
    """What the options of watching say; `every` None: as usual."""

    is_wanted: bool
    every: str | None
    times: int | None
    mail: str | None
    sendmail: Path | None
    command: Path | None
    silent: tuple[str, ...]


_PROGRAM = click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True)
_OPTIONS = (
    click.option(
        "--watch", "is_watched", is_flag=True, help="Check again and again, and tell of changes."
    ),
    click.option("--every", metavar="DURATION", help="So often, such as 30m. Default: 1h."),
    click.option(
        "--times",
        type=click.IntRange(min=1, max=100),
        metavar="N",
        help="Tell of what was seen N times in a row. Default: 3.",
    ),
    click.option("--mail", metavar="ADDRESS", help="Tell it by mail, too."),
    click.option(
        "--sendmail",
        type=_PROGRAM,
        metavar="PROGRAM",
        help=f"What takes that mail, as sendmail(1) does. Default: {SENDMAIL}.",
    ),
    click.option(
        "--command",
        "command_path",
        type=_PROGRAM,
        metavar="PROGRAM",
        help="Tell it to this program, too: as JSON on its standard input.",
    ),
    click.option(
        "--silence", multiple=True, metavar="ID", help="Never tell of findings with this id."
    ),
)


def watch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of watching; the command gets `watch`, a WatchChoice."""

    @wraps(command)
    def with_choice(  # noqa: PLR0913 - each is an option
        *arguments: Any,
        is_watched: bool,
        every: str | None,
        times: int | None,
        mail: str | None,
        sendmail: Path | None,
        command_path: Path | None,
        silence: tuple[str, ...],
        **others: Any,
    ) -> Any:
        choice = WatchChoice(is_watched, every, times, mail, sendmail, command_path, silence)
        return command(*arguments, watch=choice, **others)

    decorated: Callable[..., Any] = with_choice
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def watch_domains(
    config: "Config",
    asked: Sequence["Asked"],
    options: "CheckOptions",
    choice: WatchChoice,
    clock: "Clock",
    *,
    as_json: bool,
) -> None:
    """Watch until a signal, and print a line for each change.

    For people those of several kinds of sender that are the same are one line.
    """
    from letterlock.node.check_watch import DomainWatch  # noqa: PLC0415 - lazy, for -h
    from letterlock.services.check.telling import (  # noqa: PLC0415 - as above
        describe_change,
        fold,
        format_line,
    )

    def say(changes: Sequence["Change"]) -> None:
        for change in changes if as_json else fold(changes):
            click.echo(json.dumps(describe_change(change)) if as_json else format_line(change))

    DomainWatch(config, asked, options, take_choice(choice), clock, say).run()


def refuse_mixed(choice: WatchChoice, others: Sequence[tuple[str, object]]) -> None:
    """Refuse options of watching without it, and those that are nothing for it."""
    if choice.is_wanted:
        for name, value in others:
            if value:
                raise click.UsageError(f"--watch and {name} cannot both be")
        return
    given = {
        "--every": choice.every,
        "--times": choice.times,
        "--mail": choice.mail,
        "--sendmail": choice.sendmail,
        "--command": choice.command,
        "--silence": choice.silent,
    }
    for name, value in given.items():
        if value:
            raise click.UsageError(f"{name} is for --watch")


def take_choice(choice: WatchChoice) -> "WatchOptions":
    """Take the options. Raises click.UsageError."""
    from letterlock.node.check_watch import WatchOptions  # noqa: PLC0415 - lazy, for -h

    return WatchOptions(
        every=_take_duration(choice.every or "1h"),
        times=choice.times or 3,
        silent=frozenset(map(_take_id, choice.silent)),
        mail=_take_address(choice.mail),
        sendmail=_take_sendmail(choice),
        command=_take_program("--command", choice.command) if choice.command else None,
        folder=find_state_folder() / "watch",
    )


def _take_duration(text: str) -> timedelta:
    from letterlock.base.config.values import parse_duration  # noqa: PLC0415 - lazy, for -h

    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise click.UsageError(f"--every: not {error}") from None
    if not MIN_EVERY <= duration <= MAX_EVERY:
        raise click.UsageError("--every: from 1m to 31d")
    return duration


def _take_id(name: str) -> str:
    from letterlock.services.check.finding_ids import (  # noqa: PLC0415 - lazy, for -h
        FINDING_IDS,
        find_nearest,
    )

    if name in FINDING_IDS:
        return name
    near = find_nearest(name)
    meant = f"; did you mean {near}?" if near else "; ids are as in the lines that it tells"
    raise click.UsageError(f"--silence: no finding has the id {name[:100]!r}{meant}")


def _take_address(text: str | None) -> str | None:
    from letterlock.protocols.smtp.paths import (  # noqa: PLC0415 - lazy, for -h
        AddressError,
        parse_mailbox,
    )

    if text is None:
        return None
    try:
        return parse_mailbox(text).format()
    except AddressError as error:
        raise click.UsageError(f"--mail: {text}: {error}") from None


def _take_sendmail(choice: WatchChoice) -> Path:
    program = choice.sendmail or SENDMAIL
    if choice.mail is None:
        return program
    if not program.is_file():
        raise click.UsageError(f"--mail: {program} is not there: say what takes mail, --sendmail")
    return _take_program("--sendmail", program)


def _take_program(option: str, program: Path) -> Path:
    if not os.access(program, os.X_OK):
        raise click.UsageError(f"{option}: {program} is not executable")
    return program
