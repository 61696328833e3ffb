"""`letterlock restore`: a backup becomes a node's data again, or is only checked."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.base.counts import format_count
from letterlock.base.printable import make_printable
from letterlock.cli.backup import MIB, Progress
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.node.restoring import Place
    from letterlock.storage.backup.manifest import Manifest


@click.command()
@config_option
@json_option(
    {
        "file": "the archive",
        "release": "that made it",
        "hostname": "of the node",
        "moment": "the queue is as it was then",
        "engine": "sqlite or postgres",
        "messages": "how many wait in it",
        "parts": "how many files it holds",
        "bytes": "their octets",
        "mailboxes": "whether mailboxes are in it",
        "data_dir": "where it was restored to; null with --check",
        "held": "how many messages are held; null with --check",
        "notes[]": "what is left to do, a line each",
    }
)
@click.option("--to", "folder", type=click.Path(path_type=Path), metavar="FOLDER",
              help="An empty folder, instead of `data_dir` of the settings.")  # fmt: skip
@click.option("--hold", "is_held", is_flag=True, help="Hold all mail until `queue release`.")
@click.option("--check", "is_check", is_flag=True, help="Look whether it is whole; write nothing.")
@click.argument("file", type=click.Path(path_type=Path))
def restore(
    file: Path,
    config_path: Path | None,
    folder: Path | None,
    *,
    is_held: bool,
    is_check: bool,
    as_json: bool,
) -> int:
    """Make the backup FILE a node's data again, in an empty folder. No node may run there.

    Mail that was delivered after the backup is sent once more, unless --hold keeps it. Exits with 1
    when the archive is damaged, with 2 when the folder is not empty.
    """
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h
    from letterlock.node.restoring import Restore  # noqa: PLC0415 - as above
    from letterlock.storage.backup.reading import check_archive  # noqa: PLC0415 - as above

    place = None if is_check else _find_place(config_path, folder)
    clock = SystemClock()
    progress = Progress(clock, "read")
    held: int | None = None
    notes: tuple[str, ...] = ()
    with _told(file, progress), file.open("rb") as archive:
        if place is None:
            manifest = check_archive(archive, progress.add)
        else:
            done = Restore(archive, place, is_held, clock, progress.add).run()
            manifest, held, notes = done.manifest, done.held, done.notes
    data_dir = None if place is None else str(place.data_dir)
    document = {
        **_describe(file, manifest), "data_dir": data_dir, "held": held, "notes": list(notes)
    }  # fmt: skip
    if as_json:
        print_json(document)
    else:
        _print(document)
    return ExitCode.FINE


@contextmanager
def _told(file: Path, progress: Progress) -> Iterator[None]:
    """Make of what fails the line that the command ends with."""
    from letterlock.storage.backup.manifest import ArchiveError  # noqa: PLC0415 - lazy, for -h
    from letterlock.storage.durable import describe  # noqa: PLC0415 - as above
    from letterlock.storage.queue import StoreUnavailable  # noqa: PLC0415 - as above

    try:
        yield
    except ArchiveError as error:
        raise CommandFailed(f"restore: {file}: {error}", ExitCode.BAD_NEWS) from None
    except StoreUnavailable as error:
        raise CommandFailed(f"restore: {error}") from None
    except OSError as error:
        raise CommandFailed(f"restore: {describe(error)}") from None
    finally:
        progress.end()


def _describe(file: Path, manifest: "Manifest") -> dict[str, object]:
    return {
        "file": str(file),
        "release": manifest.release,
        "hostname": manifest.hostname,
        "moment": manifest.moment,
        "engine": manifest.engine,
        "messages": manifest.messages,
        "parts": len(manifest.parts),
        "bytes": manifest.size,
        "mailboxes": manifest.has_mailboxes,
    }


def _print(document: dict[str, object]) -> None:
    size = int(str(document["bytes"])) // MIB + 1
    made = f"{document['hostname']} as of {document['moment']}, by release {document['release']}"
    messages = format_count(int(str(document["messages"])), "message")
    held_in = f"{messages}, {format_count(int(str(document['parts'])), 'file')}, {size} MiB"
    lines = [f"{document['file']}: whole; {made}: {held_in}"]
    if document["data_dir"] is not None:
        count = int(str(document["held"]))
        held = f", {format_count(count, 'message')} held" if count else ""
        lines.append(f"restored to {document['data_dir']}{held}")
        if held:
            lines.append("let them go with: letterlock queue release --all")
    notes = document["notes"]
    assert isinstance(notes, list)
    for line in (*lines, *notes):
        click.echo(make_printable(line))


def _find_place(config_path: Path | None, folder: Path | None) -> "Place":
    """Say where to: what the settings say, if there are any; without them --to is needed."""
    from letterlock.base.config.load import ConfigErrors, find_config  # noqa: PLC0415 - lazy, -h
    from letterlock.node.restoring import Place  # noqa: PLC0415 - as above
    from letterlock.node.shared_database import find_database  # noqa: PLC0415 - as above
    from letterlock.storage.backup.manifest import CA, DKIM, DROP, MAIL  # noqa: PLC0415 - as above

    config: Config | None = None
    try:
        config = find_config(config_path).load()
    except ConfigErrors as errors:
        if config_path is not None or folder is None:
            raise CommandFailed(
                f"{errors}\nrestore: name the folder with --to, or settings with --config",
                ExitCode.WRONG_USAGE,
            ) from None
    if config is None or (folder is not None and folder.absolute() != config.data_dir.absolute()):
        assert folder is not None
        dsn = find_database(config) if config is not None and config_path is not None else None
        return Place(folder.absolute(), _find_owner(folder, config), dsn)
    folders = {
        DROP: config.send.drop_dir,
        DKIM: config.dkim.key_dir,
        MAIL: config.local.mail_dir,
        CA: config.ca.folder,
    }
    elsewhere = {name: path for name, path in folders.items() if path != config.data_dir / name}
    owner = _find_owner(config.data_dir, config)
    return Place(config.data_dir, owner, find_database(config), elsewhere)


def _find_owner(folder: Path, config: "Config | None") -> tuple[int, int] | None:
    """Give whose the files are to be, when root restores: the folder's owner, or `node.user`."""
    from letterlock.node.account import find_account, find_owner  # noqa: PLC0415 - lazy, for -h

    if os.geteuid() != 0:
        return None
    if folder.exists() and (owner := find_owner(folder))[0] != 0:
        return owner
    account = find_account(config) if config is not None else None
    return None if account is None else (account.pw_uid, account.pw_gid)
