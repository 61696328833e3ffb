"""Tables that a worker has while a thread reads them again: whole ones, and none that is faulty."""

import asyncio
import gc
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.config.maps import MapsSection
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.node.live_tables import LiveTables
from letterlock.protocols.smtp.paths import Mailbox
from letterlock.services.redirect.tables import Tables
from tests.fakes import FakeClock

DOMAIN = Domain("example.org")
ALICE = Mailbox("alice", DOMAIN)


class Scene:
    """A file of virtual aliases and those who look it up."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "virtual"
        self.clock = FakeClock()
        self.told: list[str] = []
        self.write("alice@example.org bob@example.org\n")
        maps = MapsSection(virtual=self.path)
        self.config = Config(
            Domain("mx.example.org"), (DOMAIN,), "a@example.org", folder, maps=maps
        )
        self.live = LiveTables(self.config, self.clock, self.told.append)

    def write(self, text: str) -> None:
        """Write the file as it was left a minute ago."""
        self.path.write_text(text)
        self.clock.move(timedelta(seconds=60))
        before = (self.clock.now() - timedelta(seconds=30)).timestamp()
        os.utime(self.path, (before, before))

    def find(self) -> str:
        return str(self.live.current().expand(ALICE))


async def test_a_change_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert "bob" in scene.find()
    scene.write("alice@example.org carol@example.org\n")
    assert "bob" in scene.find()
    await scene.live.refresh()
    assert "carol" in scene.find()
    assert scene.told == []


async def test_files_are_read_by_a_thread(tmp_path: Path) -> None:
    """So a loop goes on while a large one is read, or one on a file system that hangs."""
    scene = Scene(tmp_path)
    threads: list[threading.Thread] = []
    current = scene.live._files.current

    def look() -> Tables:
        threads.append(threading.current_thread())
        return current()

    scene.live._files.current = look  # type: ignore[method-assign]
    await scene.live.refresh()
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


async def test_nothing_is_read_where_it_is_asked(tmp_path: Path) -> None:
    """Files are a thread's; so are hung ones."""
    scene = Scene(tmp_path)
    before = scene.live.current()
    scene.clock.move(timedelta(days=1))
    assert scene.live.current() is before


async def test_problems_are_told_in_the_loops_thread(tmp_path: Path) -> None:
    """The log is no thread's but its own."""
    scene = Scene(tmp_path)
    threads: list[threading.Thread] = []
    live = LiveTables(
        scene.config, scene.clock, lambda _: threads.append(threading.current_thread())
    )
    scene.write("alice@example.org\n")
    await live.refresh()
    assert threads == [threading.current_thread()]


async def test_a_file_that_is_gone_is_told_once_and_mail_for_it_waits(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.path.unlink()
    for _ in range(3):
        scene.clock.move(timedelta(seconds=60))
        await scene.live.refresh()
    assert scene.told == [f"{scene.path}: No such file or directory"]
    assert "Unusable" in scene.find()


async def test_a_fault_of_ours_leaves_what_was_read_before(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)

    def fail() -> None:
        raise MemoryError

    scene.live._files.current = fail  # type: ignore[method-assign,assignment]
    await scene.live.refresh()
    assert "bob" in scene.find()
    assert scene.told == ["error: tables cannot be read again: MemoryError()"]
    assert gc.isenabled()


async def test_without_files_there_is_nothing_to_do(tmp_path: Path) -> None:
    config = Config(Domain("mx.example.org"), (DOMAIN,), "a@example.org", tmp_path)
    await LiveTables(config, FakeClock(), print).run()


async def test_changes_are_looked_for_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    monkeypatch.setattr("letterlock.node.live_tables.CHECK_SECONDS", 0.001)
    running = asyncio.ensure_future(scene.live.run())
    scene.write("alice@example.org carol@example.org\n")
    while "carol" not in scene.find():  # noqa: ASYNC110 - a thread brings it about
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])


async def test_many_entries_are_read_while_the_loop_goes_on(tmp_path: Path) -> None:
    """Its turns are counted, not timed: others use this machine's cores."""
    scene = Scene(tmp_path)
    lines = (f"user{number}@example.org x{number}@example.net\n" for number in range(30_000))
    scene.write("alice@example.org carol@example.org\n" + "".join(lines))
    refreshing = asyncio.ensure_future(scene.live.refresh())
    turns = 0
    while not refreshing.done():
        turns += 1
        await asyncio.sleep(0)
    await refreshing
    assert turns > 100
    assert "carol" in scene.find()
    assert gc.isenabled()
