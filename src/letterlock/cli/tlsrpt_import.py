"""`letterlock tlsrpt import`: reports from files, folders and mailboxes are kept and counted."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.services.intake.keeping import ImportCounts

IMPORT_KEYS = {
    "files": "files and mails that were read",
    "new": "reports that are kept now",
    "copies": "reports that were kept before, or were there twice",
    "old": "reports that are older than `tlsrpt.keep_received`, and not kept",
    "without": "files and mails that have no report",
    "refused[].file": "what has a report that is refused; behind `:` the message's number",
    "refused[].error": "why",
    "unreadable[].file": "what could not be read",
    "unreadable[].error": "why",
}
MAX_SHOWN = 20
_OLD = (
    "report is older than tlsrpt.keep_received, and is",
    "reports are older than tlsrpt.keep_received, and are",
)


@click.command(name="import")
@click.argument("files", nargs=-1, required=True, metavar="FILE-OR-DIR...")
@json_option(IMPORT_KEYS)
@config_option
def import_reports(files: tuple[str, ...], *, as_json: bool, config_path: Path | None) -> int:
    """Keep the reports that others sent, to be listed and added up.

    FILE-OR-DIR is what `tlsrpt show` reads (a report, a mail with one, a mailbox; `-` is standard
    input), or a folder, such as a Maildir, with whatever is below it. You vouch for what is in it:
    all of it counts, whoever sent it. A report that is there already is not kept again. Files are
    read as the owner of `data_dir`.

    Exit code 0: all were read; 1: one or more were refused; 3: a file could not be read.
    """
    config = load_config_or_fail(config_path)
    act_as_owner(config.data_dir)
    from letterlock.base.errors import LocalError  # noqa: PLC0415 - lazy, for -h
    from letterlock.storage.queue import StoreUnavailable  # noqa: PLC0415 - as above

    unreadable: list[tuple[str, str]] = []
    try:
        counts = asyncio.run(_import(config, files, unreadable, is_quiet=as_json))
    except StoreUnavailable as error:
        raise CommandFailed(f"reports cannot be kept now: {error}", ExitCode.UNDECIDED) from None
    except LocalError as error:
        raise CommandFailed(str(error)) from None
    if as_json:
        print_json(_describe(counts, unreadable))
    else:
        _print_counts(counts, unreadable)
    if counts.refused:
        return ExitCode.BAD_NEWS
    return ExitCode.UNDECIDED if unreadable else ExitCode.FINE


async def _import(
    config: "Config",
    names: tuple[str, ...],
    unreadable: list[tuple[str, str]],
    *,
    is_quiet: bool,
) -> "ImportCounts":
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.cli.report_files import (  # noqa: PLC0415 - as above
        list_files,
        make_line,
        read_messages,
    )
    from letterlock.node.intake import make_received_store  # noqa: PLC0415 - as above
    from letterlock.node.shared_database import name_command  # noqa: PLC0415 - as above
    from letterlock.services.intake.keeping import importing  # noqa: PLC0415 - as above

    clock = SystemClock()
    store = make_received_store(config, name_command(config), clock)
    files = list(list_files(names))
    is_shown = not is_quiet and sys.stderr.isatty()
    bar = click.progressbar(files, label="reading", file=sys.stderr, hidden=not is_shown)
    async with importing(store, clock, config.tlsrpt.keep_received) as work:
        with bar as shown:
            for file in shown:
                try:
                    for name, octets in read_messages(file):
                        await work.add(name, octets)
                except OSError as error:
                    unreadable.append((make_line(file), error.strerror or str(error)))
    return work.counts


def _describe(counts: "ImportCounts", unreadable: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "files": counts.files,
        "new": counts.new,
        "copies": counts.copies,
        "old": counts.old,
        "without": counts.without,
        "refused": [{"file": file, "error": error} for file, error in counts.refused],
        "unreadable": [{"file": file, "error": error} for file, error in unreadable],
    }


def _print_counts(counts: "ImportCounts", unreadable: list[tuple[str, str]]) -> None:
    from letterlock.base.printable import make_printable  # noqa: PLC0415 - lazy, for -h

    for lines, what in ((counts.refused, ""), (unreadable, "cannot be read: ")):
        for file, error in lines[:MAX_SHOWN]:
            click.echo(make_printable(f"letterlock: {file}: {what}{error}"), err=True)
        if len(lines) > MAX_SHOWN:
            click.echo(f"and {len(lines) - MAX_SHOWN} more; --json has them all", err=True)
    if counts.old:
        click.echo(f"{format_count(counts.old, *_OLD)} not kept")
    new = format_count(counts.new, "report is", "reports are")
    copies = format_count(counts.copies, "was", "were")
    files = format_count(counts.files, "file or mail has", "files and mails have")
    click.echo(f"{new} new, {copies} there before; {counts.without} of {files} none")
