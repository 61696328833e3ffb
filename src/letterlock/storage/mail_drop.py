"""Leaves mail of a program that runs on in the drop folder of this machine's node.

As `letterlock send` does, for whom loading must cost nothing: a file under another name, synced,
renamed, synced again. `drop` has the format. The node may be down: it finds the file later.
"""

import fcntl
import os
import secrets
from pathlib import Path

from letterlock.storage.drop import (
    BELL,
    FILE_MODE,
    PARTIAL,
    WHOLE,
    DropEnvelope,
    format_envelope,
)

_RANDOM_OCTETS = 16


def leave_mail(folder: Path, sender: str, recipients: tuple[str, ...], message: bytes) -> None:
    """Leave one message; it is on the disk when this returns. Blocks.

    Raises OSError, and DropError for addresses that cannot stand in a file.
    """
    head = format_envelope(DropEnvelope(recipients, {"sender": sender}))
    name = secrets.token_hex(_RANDOM_OCTETS)
    partial = folder / f"{PARTIAL}{name}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(partial, flags, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the node sees that it is at work
        os.fchmod(descriptor, FILE_MODE)
        _write(descriptor, head + message)
        os.fsync(descriptor)
        partial.rename(folder / f"{WHOLE}{name}")
        os.fsync(descriptor)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    _ring(folder / BELL)


def _write(descriptor: int, octets: bytes) -> None:
    rest = memoryview(octets)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _ring(bell: Path) -> None:
    """Let the node look now; if that fails, it looks by itself after some seconds."""
    try:
        descriptor = os.open(bell, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, b"\n")
    except OSError:
        return
    finally:
        os.close(descriptor)
