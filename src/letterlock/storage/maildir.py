"""Final delivery into Maildirs: a message is whole and on the disk in `new`, or it is not there.

The file is written in `tmp`, synced, renamed into `new`, and `new` is synced
(https://cr.yp.to/proto/maildir.html). Lines end in LF, as local mail does. Folders below `mail_dir`
are `domain/mailbox`; who has a mailbox is not decided here.
"""

import asyncio
import contextlib
import itertools
import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.storage.durable import describe, is_full, make_folder, sync_folder

MAX_COMPONENT_OCTETS = 200
"""File systems take 255 in a name; what is longer than this is no mailbox of ours."""

FILE_MODE = 0o600
WRITE_BYTES = 256 * 1024
"""How much is gathered before a thread writes it."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The message is in the mailbox, durable."""

    path: Path


@dataclass(frozen=True, slots=True)
class MaildirFull:
    """No space, or no quota left; later there may be."""

    reason: str


@dataclass(frozen=True, slots=True)
class MaildirFailed:
    """It could not be delivered. `is_permanent`: it never can, to this mailbox name."""

    reason: str
    is_permanent: bool = False


class MaildirStore:
    """All mailboxes below one folder. Deliveries may run at the same time."""

    def __init__(
        self,
        mail_dir: Path,
        hostname: str,
        clock: Clock,
        *,
        random_name: Callable[[], str] = lambda: secrets.token_hex(6),
    ) -> None:
        self._mail_dir = mail_dir
        self._host = _escape_host(hostname)
        self._clock = clock
        self._random_name = random_name
        self._numbers = itertools.count()
        self._ready: dict[Path, int] = {}
        """Mailboxes whose folders this process has synced, with the inode of `new`."""

    def mailbox(self, domain: str, local: str) -> Path | None:
        """Give the folder of a mailbox; None when its name cannot be one of a folder."""
        if is_safe_component(domain) and is_safe_component(local):
            return self._mail_dir / domain / local
        return None

    async def deliver(
        self, domain: str, local: str, prefix: bytes, body: AsyncIterator[bytes]
    ) -> Delivered | MaildirFull | MaildirFailed:
        """Deliver `prefix` (header fields of final delivery) and `body`, CRLF lines both.

        What reading the body raises is raised, and nothing is delivered.
        """
        mailbox = self.mailbox(domain, local)
        if mailbox is None:
            return MaildirFailed("the mailbox name cannot be that of a folder", is_permanent=True)
        delivery = _Delivery(mailbox, self._unique_name(), self._prepare)
        try:
            await self._write(delivery, prefix, body)
            return Delivered(await asyncio.to_thread(delivery.finish))
        except OSError as error:
            await asyncio.to_thread(delivery.abandon)
            text = describe(error)
            return MaildirFull(text) if is_full(error) else MaildirFailed(text)
        except BaseException:
            # Not waited for: a task that was cancelled may be here, and its thread still writes.
            asyncio.get_running_loop().run_in_executor(None, delivery.abandon)
            raise

    async def _write(
        self, delivery: "_Delivery", prefix: bytes, body: AsyncIterator[bytes]
    ) -> None:
        lines = LfLines()
        held = lines.receive(prefix)
        async for piece in body:
            held += lines.receive(piece)
            if len(held) >= WRITE_BYTES:
                await asyncio.to_thread(delivery.write, held)
                held = b""
        await asyncio.to_thread(delivery.write, held + lines.finish())

    def _prepare(self, mailbox: Path) -> None:
        """Make a mailbox, or see that it lasts: who made it may not have synced it. Blocks."""
        tmp, new, cur = (mailbox / name for name in ("tmp", "new", "cur"))
        with contextlib.suppress(FileNotFoundError):
            if self._ready.get(mailbox) == new.stat().st_ino and tmp.is_dir():
                return
        for folder in (mailbox.parent, mailbox, tmp, new, cur):
            make_folder(folder)
        self._ready[mailbox] = new.stat().st_ino

    def _unique_name(self) -> str:
        moment: datetime = self._clock.now()
        number = f"M{moment.microsecond}P{os.getpid()}Q{next(self._numbers)}R{self._random_name()}"
        return f"{int(moment.timestamp())}.{number}.{self._host}"


class LfLines:
    """Turn CRLF into LF, however the octets are split; other CRs stay."""

    def __init__(self) -> None:
        self._held = b""

    def receive(self, data: bytes) -> bytes:
        data = self._held + data
        self._held = b"\r" if data.endswith(b"\r") else b""
        return data.removesuffix(b"\r").replace(b"\r\n", b"\n")

    def finish(self) -> bytes:
        """Give what was held back at the end."""
        held, self._held = self._held, b""
        return held


def is_safe_component(name: str) -> bool:
    """Tell whether a text from outside may name one folder, inside the one it is put in.

    A leading dot is refused too: such folders are others' (`.` and `..`, Maildir++ folders).
    """
    try:
        octets = name.encode()
    except UnicodeEncodeError:
        return False
    return (
        0 < len(octets) <= MAX_COMPONENT_OCTETS
        and not name.startswith(".")
        and "/" not in name
        and name.isprintable()
    )


class _Delivery:
    """One file on its way from `tmp` to `new`. Blocks; `abandon` may come while a thread writes."""

    def __init__(self, mailbox: Path, name: str, prepare: Callable[[Path], None]) -> None:
        self._mailbox = mailbox
        self._prepare = prepare
        self._name = name
        self._temporary = mailbox / "tmp" / name
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._size = 0

    def write(self, data: bytes) -> None:
        with self._lock:
            file = self._open()
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            self._size += len(data)

    def finish(self) -> Path:
        with self._lock:
            file = self._open()
            os.fsync(file.fileno())
            file.close()
            path = self._mailbox / "new" / f"{self._name},S={self._size}"
            self._temporary.rename(path)
            sync_folder(path.parent)
        return path

    def abandon(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _open(self) -> FileIO:
        if self._file is None:
            self._prepare(self._mailbox)
            self._file = FileIO(self._temporary, "xb", opener=_open_private)
        return self._file


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, FILE_MODE)


def _escape_host(hostname: str) -> str:
    # As the Maildir page has it; the comma begins Dovecot's size fields.
    return hostname.replace("/", "\\057").replace(":", "\\072").replace(",", "\\054")
