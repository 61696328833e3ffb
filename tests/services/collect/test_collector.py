"""Batches are counted by day; what is wrong is told of, now and then, and harms nothing."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from letterlock.network.datagram_receiver import Received
from letterlock.services.collect import collector as module
from letterlock.services.collect.collector import Collector
from letterlock.services.collect.journal import load_day
from letterlock.storage.day_files import DayFiles
from tests.fakes import FakeClock, FakeLog
from tests.protocols.tlsrpt.datagrams import PLAIN, make_datagram

EVENING = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
GOOD = PLAIN.encode()


class Scripted:
    """Gives what a test has put there."""

    def __init__(self) -> None:
        self.received = Received([])

    def take(self) -> Received:
        received, self.received = self.received, Received([])
        return received


class World:
    """A collector with all that it needs."""

    def __init__(self, folder: Path) -> None:
        self.files = DayFiles(folder)
        self.clock = FakeClock(EVENING)
        self.log = FakeLog()
        self.source = Scripted()
        self.pauses = 0
        self.collector = self.start()

    def start(self) -> Collector:
        return Collector(self.files, self.clock, self.log, timedelta(days=10), self.pause)

    def pause(self) -> None:
        self.pauses += 1

    def receive(self, *datagrams: bytes, dropped: int = 0, too_large: int = 0) -> None:
        self.source.received = Received(list(datagrams), dropped, too_large)
        self.collector.work(self.source)

    def sessions(self, day: int) -> int:
        return load_day(self.files, EVENING.date().replace(day=day)).sessions


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.collector.close()


def test_what_comes_is_counted_and_in_the_journal(world: World) -> None:
    """Rules 240 and 244."""
    world.receive(GOOD, GOOD, make_datagram("a.example"))
    counts = load_day(world.files, EVENING.date())
    assert counts.sessions == 3
    assert counts.list_domains() == ["a.example", "example.com"]


def test_what_is_wrong_is_counted_and_logged_once_a_minute(world: World) -> None:
    """Rule 241."""
    world.receive(b"garbage", GOOD, b"more garbage", dropped=7, too_large=2)
    world.receive(*[b"garbage"] * 5)
    counts = load_day(world.files, EVENING.date())
    assert (counts.sessions, counts.refused, counts.dropped) == (1, 9, 7)
    told = [text for text in world.log.texts if "datagrams" in text]
    assert told == [
        "warning: datagrams refused: 2, lastly: a datagram is too large",
        "warning: datagrams dropped: 7, lastly: they came faster than they are counted",
    ]
    world.clock.move(timedelta(seconds=61))
    world.receive(b"garbage\n")
    (last,) = [text for text in world.log.texts if "refused: 8" in text]
    assert last.startswith("warning: datagrams refused: 8, lastly: not JSON")


def test_others_go_on_while_much_is_counted(world: World) -> None:
    world.receive(*[make_datagram(f"a{number}.example") for number in range(200)])
    assert world.pauses >= 6


def test_a_day_ends_at_midnight_of_utc(world: World) -> None:
    """RFC 8460 §4.1; rule 243."""
    world.receive(GOOD)
    world.clock.move(timedelta(minutes=2))
    world.receive(GOOD, GOOD)
    world.receive(GOOD)
    assert (world.sessions(1), world.sessions(2)) == (3, 1)
    (told,) = world.log.texts
    assert told.startswith("2026-03-01 is over: 3 sessions, 1 domain, 0 refused")


def test_a_clock_that_is_set_back_goes_on_with_the_day_before(world: World) -> None:
    """Rule 243."""
    world.receive(GOOD)
    world.clock.set_wall(EVENING + timedelta(days=1))
    world.receive()
    world.receive(GOOD)
    world.clock.set_wall(EVENING)
    world.receive()
    world.receive(GOOD)
    assert (world.sessions(1), world.sessions(2)) == (2, 1)


def test_days_are_forgotten_when_they_are_too_old(world: World) -> None:
    """Rule 243."""
    world.receive(GOOD)
    for days in range(1, 13):
        world.clock.set_wall(EVENING + timedelta(days=days))
        world.receive(GOOD)
        # What came with the turn belongs to the day before.
    days_kept = [day.day for day in world.files.list_days()]
    assert days_kept == list(range(3, 14))
    assert "2026-03-02 is forgotten: older than `keep`" in world.log.texts


def test_on_a_full_disk_what_comes_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 244: and is counted once when there is room."""
    world.receive(GOOD)
    real = os.write

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    world.receive(GOOD)
    world.receive(GOOD, b"garbage")
    assert world.sessions(1) == 1
    monkeypatch.setattr(os, "write", real)
    world.receive()
    counts = load_day(world.files, EVENING.date())
    assert (counts.sessions, counts.refused) == (3, 1)
    faults = [text for text in world.log.texts if "journal" in text]
    assert len(faults) == 2
    assert faults[0].startswith("error: ")
    assert "No space left on device" in faults[0]
    assert faults[1] == "the journal is written again"


def test_what_waits_for_a_disk_has_its_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 241."""
    monkeypatch.setattr(module, "WAITING_OCTETS", 3 * len(GOOD))

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", fail)
        for number in range(9):
            world.receive(make_datagram(f"a{number}.example"))
    world.receive()
    counts = load_day(world.files, EVENING.date())
    assert counts.sessions + counts.dropped == 9
    assert counts.sessions > 0
    assert counts.dropped > 0
    assert any("the journal cannot be written" in text for text in world.log.texts)


def test_it_is_synced_each_second(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    world.receive(GOOD)
    world.clock.move(timedelta(seconds=1))
    world.receive(GOOD)
    world.receive(GOOD)
    assert len(synced) == 1
    monkeypatch.undo()


def test_a_torn_end_is_told_of(world: World, tmp_path: Path) -> None:
    """Rule 244."""
    world.receive(GOOD)
    world.collector.close()
    with (tmp_path / "2026-03-01.0.journal").open("ab") as file:
        file.write(b"torn")
    world.collector = world.start()
    assert any("4 octets at the end" in text for text in world.log.texts)
    world.receive(GOOD)
    assert world.sessions(1) == 2


def test_what_is_known_has_its_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KNOWN_DATAGRAMS", 10)
    for number in range(30):
        world.receive(make_datagram(f"a{number % 20}.example"))
    assert len(world.collector._known._known) <= 10
    assert world.sessions(1) == 30


def test_a_long_journal_is_added_up(world: World, tmp_path: Path) -> None:
    world.collector._journal._journal_octets = 100
    world.receive(GOOD)
    world.receive(GOOD)
    assert len(list(tmp_path.glob("*.counts"))) == 1
    assert world.sessions(1) == 2
