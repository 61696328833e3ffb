"""Takes what programs of this machine dropped: at once when they ring, and by looking now and then.

One worker does it. A file is removed after its message was stored: a process that dies in between
stores it again, and the log shows both. Each file is locked while it is in hands, so that a worker
that drains and the one that follows it never take the same.
"""

import asyncio
import contextlib
import os
import pwd
import secrets
from collections.abc import Callable
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.log import Log, Service
from letterlock.base.waiting import wait_for_event
from letterlock.services.receive.dropped import DroppedFile, LocalUser
from letterlock.services.receive.local import LocalSettings, LocalSubmissions, Taken
from letterlock.services.receive.session import Receiver
from letterlock.storage.drop import DropError
from letterlock.storage.drop_folder import MAX_NAMES, DropFolder, Found, Refused

LOOK_SECONDS = 10.0
"""Between two looks when nobody rings, or the queue could not take what is there."""
PAUSE_SECONDS = 0.05
"""From one look to the next, at least."""
_RING_OCTETS = 4096


class Submissions(Protocol):
    """What takes a dropped message: `LocalSubmissions`."""

    async def take(self, file: DroppedFile, user: LocalUser, dropped: float) -> Taken: ...


class Pickup:
    """Picks up until cancelled, or stopped."""

    def __init__(
        self,
        folder: DropFolder,
        submissions: Submissions,
        limits: dict[str, int],
        clock: Clock,
        log: Log,
        find_user: Callable[[int], LocalUser],
    ) -> None:
        """`limits` are told to programs before they drop what would be refused."""
        self._folder = folder
        self._submissions = submissions
        self._limits = limits
        self._clock = clock
        self._log = log
        self._find_user = find_user
        self._rung = asyncio.Event()
        self._is_stopped = False
        self._left: set[str] = set()
        """What could not be removed: it is not taken or told of again."""
        self._fault = ""

    def stop(self) -> None:
        """Take nothing more; `run` ends."""
        self._is_stopped = True
        self._rung.set()

    async def run(self) -> None:
        """Pick up. What is in hands is finished when this is cancelled."""
        while not self._is_stopped:
            try:
                bell = await asyncio.to_thread(self._prepare)
                await self._listen(bell)
            except OSError as error:
                self._note_fault(error)
                self._rung.clear()
                if not self._is_stopped:
                    await wait_for_event(self._rung, LOOK_SECONDS)

    def _prepare(self) -> int:
        folder = self._folder
        folder.prepare(self._limits)
        bell = folder.open_bell()
        closed = folder.find_closed()
        whose = "all users" if closed is None else f"this user alone: {closed} is closed to others"
        self._log.write(Service.PICKUP, f"mail is handed in at {folder.path}, by {whose}")
        return bell

    async def _listen(self, bell: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(bell, self._answer_bell, bell)
        try:
            while not self._is_stopped:
                await self._take_all()
                self._fault = ""
                # Anybody may ring all the time.
                await asyncio.sleep(PAUSE_SECONDS)
                await wait_for_event(self._rung, LOOK_SECONDS)
        finally:
            loop.remove_reader(bell)
            os.close(bell)

    def _answer_bell(self, bell: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(bell, _RING_OCTETS)
        self._rung.set()

    async def _take_all(self) -> None:
        """Take what is there, each file once. One that can't be taken keeps no other waiting."""
        self._rung.clear()
        folder = self._folder
        await asyncio.to_thread(folder.sweep, self._clock.now().timestamp())
        seen: set[str] = set()
        while True:
            names, there = await asyncio.to_thread(folder.list_whole, self._left | seen)
            self._left &= there
            for name in names:
                if self._is_stopped:
                    return
                await self._take_to_its_end(name)
            if len(names) < MAX_NAMES:
                return
            # The rest, and not these again: somebody may hold any number of his own.
            seen.update(names)

    async def _take_to_its_end(self, name: str) -> None:
        taking = asyncio.ensure_future(self._take(name))
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait([taking])
            raise

    async def _take(self, name: str) -> None:
        try:
            found = await asyncio.to_thread(self._folder.open, name)
        except OSError as error:
            self._leave(name, f"it cannot be opened: {error.strerror}")
            return
        if isinstance(found, Refused):
            await self._reject(found)
        elif found is not None:
            try:
                await self._submit(found)
            finally:
                found.file.close()

    async def _submit(self, found: Found) -> None:
        user = await asyncio.to_thread(self._find_user, found.user)
        try:
            taken = await self._submissions.take(found.file, user, found.dropped)
        except DropError as error:
            await self._reject(Refused(found.name, str(error), found.user))
        except OSError as error:
            self._leave(found.name, f"it cannot be read: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - a fault of ours, and one file's: others go on
            self._leave(found.name, f"error: it could not be taken: {error!r}")
        else:
            if taken is Taken.DONE:
                await self._remove(found.name)

    async def _reject(self, refused: Refused) -> None:
        if refused.is_kept:
            self._leave(refused.name, f"{refused.reason}; it stays")
        elif await self._remove(refused.name):
            whose = "" if refused.user is None else f" of uid {refused.user}"
            text = f"warning: {refused.name}{whose} is removed: {refused.reason}"
            self._log.write(Service.PICKUP, text)

    async def _remove(self, name: str) -> bool:
        try:
            await asyncio.to_thread(self._folder.remove, name)
        except OSError as error:
            self._leave(name, f"it cannot be removed: {error.strerror}")
            return False
        return True

    def _leave(self, name: str, reason: str) -> None:
        self._left.add(name)
        self._log.write(Service.PICKUP, f"warning: {name}: {reason}")

    def _note_fault(self, error: OSError) -> None:
        text = f"{self._folder.path}: {error.strerror}; programs cannot hand in mail"
        if text != self._fault:
            self._log.write(Service.PICKUP, f"warning: {text}")
        self._fault = text


def build_pickup(config: Config, receiver: Receiver) -> Pickup:
    """Build it of the parts that sessions have."""
    limits = {
        "max_message_bytes": config.receive.max_message_bytes,
        "max_recipients": config.receive.max_recipients,
    }
    assert receiver.notices is not None, "who hands in mail is told of what cannot be taken"
    settings = LocalSettings(
        origin=config.send.origin or config.hostname,
        make_token=lambda: secrets.token_hex(12),
        notices=receiver.notices,
        **limits,
    )
    submissions = LocalSubmissions(receiver, settings)
    folder = DropFolder(config.send.drop_dir)
    return Pickup(folder, submissions, limits, receiver.clock, receiver.log, find_user_by_id)


def find_user_by_id(number: int) -> LocalUser:
    """Ask the system's list of users; it blocks."""
    try:
        entry = pwd.getpwuid(number)
    except KeyError:
        return LocalUser(number, f"uid{number}")
    full_name = entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())
    return LocalUser(number, entry.pw_name, full_name)
