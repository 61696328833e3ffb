"""Picking up what programs dropped: at once, one by one, and nothing twice."""

import asyncio
import fcntl
import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.node import pickup
from letterlock.node.pickup import Pickup, find_user_by_id
from letterlock.services.receive.dropped import DroppedFile, LocalUser
from letterlock.services.receive.local import Taken
from letterlock.storage import drop_folder
from letterlock.storage.drop import FORMAT
from letterlock.storage.drop_folder import DropFolder
from tests.fakes import FakeLog
from tests.send.sending import DropPlace

PATIENCE = 60.0
Answer = Callable[[bytes], Awaitable[Taken]]


async def _done(_: bytes) -> Taken:
    return Taken.DONE


@dataclass
class Scene:
    """A pickup at work, and what it gave on."""

    place: DropPlace
    answer: Answer = _done
    log: FakeLog = field(default_factory=FakeLog)
    taken: list[bytes] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        folder = DropFolder(self.place.drops)
        user = LocalUser(1, "jo")
        self.pickup = Pickup(folder, self, {}, SystemClock(), self.log, lambda _: user)

    async def take(self, file: DroppedFile, user: LocalUser, dropped: float) -> Taken:
        del user, dropped
        octets = (file.read(1000) or b"").partition(b"\n\n")[2]
        self.taken.append(octets)
        try:
            return await self.answer(octets)
        finally:
            self.changed.set()

    def drop(self, name: str, message: bytes, age: int = 0) -> None:
        path = self.place.drops / f"tmp.{name}"
        path.write_bytes(FORMAT + b"recipient a\n\n" + message)
        os.utime(path, (1e9 - age, 1e9 - age))
        path.rename(self.place.drops / f"msg.{name}")

    def names(self) -> list[str]:
        return sorted(path.name for path in self.place.drops.glob("msg.*"))

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for what a thread brings about."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - files tell of nothing
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.pickup.run())
            yield task
            task.cancel()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(DropPlace(tmp_path).make())


async def test_what_is_there_is_taken_the_oldest_first_and_then_removed(scene: Scene) -> None:
    scene.drop("a", b"new")
    scene.drop("b", b"old", age=10)
    async with scene.running():
        await scene.wait(lambda: scene.names() == [])
    assert scene.taken == [b"old", b"new"]


async def test_who_rings_is_heard_at_once(scene: Scene) -> None:
    """Ten seconds would pass until it looks by itself."""
    async with scene.running():
        await scene.wait(lambda: (scene.place.drops / "bell").exists() and bool(scene.log.lines))
        done = await asyncio.to_thread(scene.place.run, "a", text=b"hello")
        assert done.returncode == 0
        async with asyncio.timeout(8):
            await scene.changed.wait()
        await scene.wait(lambda: scene.names() == [])
    assert scene.taken == [b"hello"]


async def test_what_the_queue_cannot_take_keeps_nothing_else_waiting(scene: Scene) -> None:
    async def answer(octets: bytes) -> Taken:
        return Taken.LATER if octets == b"not now" else Taken.DONE

    scene.answer = answer
    scene.drop("a", b"not now", age=10)
    scene.drop("b", b"hello")
    async with scene.running():
        await scene.wait(lambda: scene.names() == ["msg.a"])
    assert scene.taken[:2] == [b"not now", b"hello"]


async def test_files_that_somebody_holds_keep_no_others_waiting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many: only so many are looked at in one pass."""
    for module in (drop_folder, pickup):
        monkeypatch.setattr(module, "MAX_NAMES", 2)
    with ExitStack() as stack:
        for number in range(5):
            scene.drop(f"held{number}", b"held", age=10)
            file = stack.enter_context((scene.place.drops / f"msg.held{number}").open("rb"))
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        for number in range(3):
            scene.drop(f"other{number}", b"hello")
        async with scene.running():
            await scene.wait(lambda: len(scene.taken) == 3)
    assert scene.taken == [b"hello"] * 3


async def test_a_message_that_breaks_us_stays_and_is_told_once(scene: Scene) -> None:
    async def answer(octets: bytes) -> Taken:
        if octets == b"bad":
            raise RuntimeError("broken")
        if octets == b"unreadable":
            raise OSError(5, "Input/output error")
        return Taken.DONE

    scene.answer = answer
    scene.drop("a", b"bad", age=10)
    scene.drop("b", b"unreadable", age=9)
    scene.drop("c", b"hello")
    async with scene.running():
        await scene.wait(lambda: scene.names() == ["msg.a", "msg.b"])
        scene.drop("d", b"more")
        bell = os.open(scene.place.drops / "bell", os.O_WRONLY | os.O_NONBLOCK)
        os.write(bell, b"\n")
        os.close(bell)
        await scene.wait(lambda: scene.names() == ["msg.a", "msg.b"] and b"more" in scene.taken)
    assert scene.taken == [b"bad", b"unreadable", b"hello", b"more"]
    told = [text for text in scene.log.texts if "warning" in text]
    assert len(told) == 2
    assert "broken" in told[0]
    assert "Input/output" in told[1]


async def test_what_is_in_hands_is_finished_when_the_worker_ends(scene: Scene) -> None:
    """Else it would be stored, and stay to be stored again."""
    go_on = asyncio.Event()

    async def answer(_: bytes) -> Taken:
        scene.changed.set()
        await go_on.wait()
        return Taken.DONE

    scene.answer = answer
    scene.drop("a", b"hello")
    async with scene.running() as task:
        await scene.changed.wait()
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait([task])
    assert scene.names() == []
    assert scene.taken == [b"hello"]


async def test_one_that_drains_takes_nothing_more(scene: Scene) -> None:
    async def answer(_: bytes) -> Taken:
        scene.pickup.stop()
        return Taken.DONE

    scene.answer = answer
    scene.drop("a", b"one", age=10)
    scene.drop("b", b"two")
    async with asyncio.timeout(PATIENCE):
        await scene.pickup.run()
    assert scene.taken == [b"one"]
    assert scene.names() == ["msg.b"]


async def test_a_folder_that_cannot_be_made_is_told_once_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "drop").write_bytes(b"in the way")
    scene = Scene(DropPlace(tmp_path))
    async with scene.running():
        await scene.wait(lambda: bool(scene.log.lines))
        scene.pickup.stop()
    (text,) = scene.log.texts
    assert text.endswith("programs cannot hand in mail")


def test_users_are_known_by_their_number() -> None:
    entry = pwd.getpwuid(0)
    assert find_user_by_id(0).name == entry.pw_name
    assert find_user_by_id(2**31 - 7) == LocalUser(2**31 - 7, f"uid{2**31 - 7}")
