"""The files that reports are in: named ones, those in folders and Maildirs, mails in mailboxes."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from letterlock.protocols.mime.mbox import is_mbox, split_mbox
from letterlock.protocols.tlsrpt.limits import MAX_MAIL_OCTETS

STDIN = "-"


def list_files(names: tuple[str, ...]) -> Iterator[str]:
    """Give the names of all files, those in folders too, in a steady order.

    Links to folders are not followed, and what is neither file nor folder is passed over; a name
    that was given is given back in any case, for its reading to fail, and so is a folder that
    cannot be looked into.
    """
    for name in names:
        if name == STDIN or not os.path.isdir(name):  # noqa: PTH112 - Path raises, for some
            yield name
            continue
        closed: list[OSError] = []
        for folder, folders, files in os.walk(name, onerror=closed.append):
            folders.sort()
            for file in sorted(files):
                path = Path(folder) / file
                if _is_regular(path):
                    yield str(path)
        yield from sorted(str(each.filename) for each in closed)


def read_messages(file: str) -> Iterator[tuple[str, bytes]]:
    """Give a file's name and octets; of a mailbox those of each message. Raises OSError.

    What is larger than may be read comes with an octet too much.
    """
    name = make_line(file)
    if file == STDIN:
        yield from _read_stream(name, sys.stdin.buffer)
        return
    with open(file, "rb") as stream:  # noqa: PTH123 - the name as it was given
        yield from _read_stream(name, stream)


def _read_stream(name: str, stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    first = stream.readline(MAX_MAIL_OCTETS + 1)
    if not is_mbox(first):
        yield name, first + stream.read(max(0, MAX_MAIL_OCTETS + 1 - len(first)))
        return
    lines = iter(lambda: stream.readline(MAX_MAIL_OCTETS + 1), b"")
    for number, message in enumerate(split_mbox(_chain(first, lines), MAX_MAIL_OCTETS), 1):
        yield f"{name}:{number}", message


def make_line(file: str) -> str:
    """Give a file's name as it can be shown: octets that are no UTF-8 are replaced."""
    return os.fsencode(file).decode("utf-8", "replace")


def _is_regular(path: Path) -> bool:
    try:
        return S_ISREG(path.stat().st_mode)
    except OSError:
        return True  # reading it tells why


def _chain(first: bytes, lines: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from lines
