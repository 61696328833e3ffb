"""`letterlock backup`: all that a node keeps, in one archive."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.base.counts import format_count
from letterlock.base.printable import make_printable
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.node.backing_up import Made

LINE_SECONDS = 0.2
"""Between two lines of progress."""
MIB = 1024 * 1024


@click.command()
@config_option
@json_option(
    {
        "file": "the archive",
        "bytes": "its size",
        "moment": "the queue is as it was then",
        "messages": "how many wait in it",
        "parts": "how many files it holds",
        "mailboxes": "whether mailboxes are in it",
        "skipped[]": "a line for each file that could not be read and is not in it",
        "notes[]": "what is kept elsewhere, and how to back it up there",
    }
)
@click.option("--mailboxes", is_flag=True, help="Take the Maildirs too, which may be many.")
@click.argument("target", metavar="FILE|FOLDER")
def backup(target: str, config_path: Path | None, *, mailboxes: bool, as_json: bool) -> int:
    """Write all that the node keeps to FILE, or to a new file in FOLDER. The node may run.

    Queue with bodies, accounts, certificates and keys, dropped mail, settings and the files they
    name. It holds private keys: keep it as safe as those. Exits with 1 when files are missing in
    it. docs/guide/backup.md tells the rest.
    """
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h
    from letterlock.base.config.load import find_config  # noqa: PLC0415 - as above
    from letterlock.node.backing_up import Backup  # noqa: PLC0415 - as above
    from letterlock.storage.durable import describe  # noqa: PLC0415 - as above
    from letterlock.storage.queue import StoreUnavailable  # noqa: PLC0415 - as above

    if target.endswith("/") and not Path(target).is_dir():
        # A file of that name would be replaced by the next backup.
        text = f"backup: {target}: there is no such folder; make it, for its user only (mode 0700)"
        raise CommandFailed(text, ExitCode.WRONG_USAGE)
    config = load_config_or_fail(config_path)
    clock = SystemClock()
    progress = Progress(clock, "backed up")
    work = Backup(config, find_config(config_path).path, mailboxes, clock, progress.add)
    try:
        made = work.make(Path(target))
    except StoreUnavailable as error:
        raise CommandFailed(f"backup: {error}") from None
    except OSError as error:
        raise CommandFailed(f"backup: {describe(error)}") from None
    finally:
        progress.end()
    _tell(made, as_json=as_json)
    for line in made.notes:
        click.echo(f"letterlock: backup: {make_printable(line)}", err=True)
    for line in made.skipped:
        click.echo(f"letterlock: backup: not in it: {make_printable(line)}", err=True)
    return ExitCode.BAD_NEWS if made.skipped else ExitCode.FINE


def _tell(made: "Made", *, as_json: bool) -> None:
    manifest = made.manifest
    if as_json:
        print_json(
            {
                "file": str(made.path),
                "bytes": made.size,
                "moment": manifest.moment,
                "messages": manifest.messages,
                "parts": len(manifest.parts),
                "mailboxes": manifest.has_mailboxes,
                "skipped": list(made.skipped),
                "notes": list(made.notes),
            }
        )
    else:
        beside = "with mailboxes" if manifest.has_mailboxes else "without mailboxes"
        click.echo(
            f"{made.path}: {format_count(manifest.messages, 'message')} as of {manifest.moment}, "
            f"{format_count(len(manifest.parts), 'file')}, {made.size // MIB + 1} MiB, {beside}"
        )


class Progress:
    """One line on standard error that tells how far it is; none where that is no terminal."""

    def __init__(self, clock: "Clock", done: str) -> None:
        self._clock = clock
        self._done = done
        self._octets = 0
        self._next = clock.monotonic() + 1 if sys.stderr.isatty() else float("inf")
        self._is_shown = False

    def add(self, name: str, octets: int) -> None:
        """Tell of more."""
        self._octets += octets
        if self._clock.monotonic() >= self._next:
            self._next = self._clock.monotonic() + LINE_SECONDS
            self._is_shown = True
            line = f"{self._octets // MIB} MiB {self._done}: {make_printable(name)[:50]}"
            click.echo(f"\r{line:<79}", err=True, nl=False)

    def end(self) -> None:
        """Leave the line."""
        if self._is_shown:
            click.echo("", err=True)
