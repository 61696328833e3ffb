"""Domains are looked at again and again: when, what is told, and what a restart leaves."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.errors import LocalError
from letterlock.services.check import watch as watch_module
from letterlock.services.check.telling import Teller
from letterlock.services.check.watch import Watch, WatchTools
from letterlock.services.check.watching import Change, Rules
from letterlock.storage.check_runs import CheckRuns
from tests.fakes import FakeClock
from tests.services.check.test_watching import EXPIRED, finding, look

HOUR, SOON = 3600.0, 300.0
NAMES = ("a.example", "b.example")


@dataclass
class FakeTeller:
    """Takes what is told, unless there is a `fault`."""

    name: str = "mail"
    fault: str | None = None
    told: list[list[str]] = field(default_factory=list)

    async def tell(self, changes: Sequence[Change], now: datetime) -> str | None:
        del now
        if self.fault is None:
            self.told.append([f"{each.domain} {each.event} {each.what}" for each in changes])
        return self.fault


@dataclass
class World:
    """What domains show now, and when they were looked at."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    tellers: list[FakeTeller] = field(default_factory=lambda: [FakeTeller()])
    shown: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    fault: str | None = None
    looks: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    draw: Callable[[float, float], float] = lambda least, most: (least + most) / 2

    async def look(self, names: Sequence[str], take: Callable[[dict[str, Any]], None]) -> None:
        if self.fault is not None:
            raise LocalError(self.fault)
        self.looks.append((self.clock.monotonic(), tuple(names)))
        for name in names:
            take(look(*self.shown.get(name, ())) | {"domain": name})

    async def wait(self, seconds: float) -> None:
        self.clock.move(timedelta(seconds=seconds))

    def begin(self, *names: str, kept: CheckRuns | None = None) -> Watch:
        tellers: list[Teller] = [*self.tellers]
        return Watch(
            names or NAMES,
            WatchTools(
                self.look,
                Rules(2),
                HOUR,
                SOON,
                tellers,
                kept or CheckRuns(self.folder),
                self.clock,
                self.wait,
                self.draw,
                lambda changes: self.said.extend(
                    f"{change.domain} {change.event} {change.what}" for change in changes
                ),
                self.notes.append,
            ),
        )

    async def pass_rounds(self, watch: Watch, number: int) -> None:
        for _ in range(number):
            await watch.look()
            await self.wait(watch.find_pause())

    @property
    def told(self) -> list[list[str]]:
        return self.tellers[0].told


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "watch")


async def test_all_are_looked_at_together_at_the_interval(world: World) -> None:
    await world.pass_rounds(world.begin(), 3)
    assert world.looks == [(0.0, NAMES), (HOUR, NAMES), (2 * HOUR, NAMES)]
    assert (world.told, world.said, world.notes) == ([], [], [])


async def test_the_interval_is_never_quite_the_same(world: World) -> None:
    drawn = iter((0.9, 1.1, 1.0))
    bounds = []

    def draw(least: float, most: float) -> float:
        bounds.append((least, most))
        return next(drawn)

    world.draw = draw
    await world.pass_rounds(world.begin(), 3)
    assert [moment for moment, _ in world.looks] == pytest.approx([0.0, 3240.0, 7200.0])
    assert bounds == [(0.9, 1.1)] * 3


async def test_where_something_changed_it_is_looked_at_again_soon(world: World) -> None:
    watch = world.begin()
    await world.pass_rounds(watch, 1)
    world.shown["b.example"] = [finding(EXPIRED)]
    await world.pass_rounds(watch, 3)
    assert world.looks[1:] == [
        (HOUR, NAMES),
        (HOUR + SOON, ("b.example",)),
        (2 * HOUR, NAMES),
    ]
    assert world.said == [f"b.example begins {EXPIRED}"]
    assert world.told == [[f"b.example begins {EXPIRED}"]]


async def test_what_many_domains_share_is_told_once_for_all(world: World) -> None:
    watch = world.begin()
    await world.pass_rounds(watch, 1)
    world.shown = {name: [finding(EXPIRED)] for name in NAMES}
    await world.pass_rounds(watch, 2)
    assert world.told == [[f"{name} begins {EXPIRED}" for name in NAMES]]


async def test_a_restart_tells_nothing_twice_and_does_not_look_sooner(world: World) -> None:
    world.shown["a.example"] = [finding(EXPIRED)]
    await world.pass_rounds(world.begin(), 1)
    world.clock.move(timedelta(seconds=-HOUR / 2))
    again = world.begin()
    assert again.find_pause() == HOUR / 2
    await again.look()
    assert len(world.looks) == 1
    await world.pass_rounds(world.begin(), 2)
    assert world.looks[1:] == [(HOUR, NAMES)]
    assert world.told == []


async def test_a_restart_between_two_looks_forgets_no_count(world: World) -> None:
    await world.pass_rounds(world.begin(), 1)
    world.shown["a.example"] = [finding(EXPIRED)]
    await world.pass_rounds(world.begin(), 1)
    assert world.told == []
    await world.pass_rounds(world.begin(), 1)
    assert world.told == [[f"a.example begins {EXPIRED}"]]
    assert world.looks[-1] == (HOUR + SOON, ("a.example",))


async def test_a_domain_that_is_new_after_a_restart_is_looked_at_at_once(world: World) -> None:
    await world.pass_rounds(world.begin(), 1)
    world.clock.move(timedelta(seconds=-HOUR / 2))
    await world.begin(*NAMES, "c.example").look()
    assert world.looks[1:] == [(HOUR / 2, ("c.example",))]


@pytest.mark.parametrize("days", [-400, 400])
async def test_a_clock_that_was_set_otherwise_puts_nothing_off(world: World, days: int) -> None:
    await world.pass_rounds(world.begin(), 1)
    world.clock.set_wall(world.clock.now() + timedelta(days=days))
    assert world.begin().find_pause() == 0.0


async def test_what_could_not_be_told_is_told_later_and_after_a_restart(world: World) -> None:
    watch = world.begin()
    await world.pass_rounds(watch, 1)
    world.tellers[0].fault = "no room"
    world.tellers.append(FakeTeller("command"))
    watch = world.begin()
    world.shown["a.example"] = [finding(EXPIRED)]
    await world.pass_rounds(watch, 4)
    begun = [f"a.example begins {EXPIRED}"]
    assert (world.told, world.tellers[1].told) == ([], [begun])
    assert world.notes == ["1 change waits to be told by mail: no room"]
    # Nothing but that is soon.
    assert len(world.looks) == 3
    world.tellers[0].fault = None
    await world.pass_rounds(world.begin(), 1)
    assert (world.told, world.tellers[1].told) == ([begun], [begun])


async def test_what_it_was_ended_in_telling_of_is_told_after_a_restart(world: World) -> None:
    class Ended(FakeTeller):
        async def tell(self, changes: Sequence[Change], now: datetime) -> str | None:
            del changes, now
            raise asyncio.CancelledError

    await world.pass_rounds(world.begin(), 1)
    world.shown["a.example"] = [finding(EXPIRED)]
    await world.pass_rounds(world.begin(), 1)
    world.tellers = [Ended()]
    with pytest.raises(asyncio.CancelledError):
        await world.begin().look()
    world.tellers = [FakeTeller()]
    await world.pass_rounds(world.begin(), 2)
    assert world.told == [[f"a.example begins {EXPIRED}"]]


async def test_of_too_many_that_wait_the_oldest_go_and_that_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "MAX_UNTOLD", 1)
    watch = world.begin()
    await world.pass_rounds(watch, 1)
    world.shown = {name: [finding(EXPIRED)] for name in NAMES}
    await world.pass_rounds(watch, 2)
    assert world.told == [[f"b.example begins {EXPIRED}"]]
    assert world.notes == ["1 change is never told: too many"]
    assert len(world.said) == 2


async def test_what_keeps_it_from_looking_is_said_once_and_it_goes_on(world: World) -> None:
    watch = world.begin()
    world.fault = "no trust anchors"
    await world.pass_rounds(watch, 3)
    assert world.notes == ["it cannot be looked at now: no trust anchors"]
    assert world.looks == []
    world.fault = None
    await world.pass_rounds(watch, 1)
    assert world.looks == [(3 * SOON, NAMES)]


async def test_a_disk_that_is_full_is_said_and_ends_nothing(world: World) -> None:
    class Full(CheckRuns):
        def save(self, name: str, document: dict[str, Any]) -> None:
            del name, document
            raise OSError(28, "No space left on device")

    watch = world.begin(kept=Full(world.folder))
    await world.pass_rounds(watch, 1)
    world.shown["a.example"] = [finding(EXPIRED)]
    await world.pass_rounds(watch, 2)
    assert world.told == [[f"a.example begins {EXPIRED}"]]
    assert "not kept for a restart" in world.notes[0]


@pytest.mark.parametrize(
    "kept",
    [
        {"findings": 7},
        {"findings": [{"id": "x"}]},
        {"findings": [], "verdicts": [{"sender": "x"}]},
        {"next": 7, "mail": ["x"]},
        {"mail": 7, "findings": None},
    ],
)
async def test_what_another_release_kept_is_not_known(world: World, kept: dict[str, Any]) -> None:
    runs = CheckRuns(world.folder)
    for name in (*NAMES, "/schedule", "/untold"):
        runs.save(name, kept)
    world.shown["a.example"] = [finding(EXPIRED)]
    await world.pass_rounds(world.begin(), 2)
    assert (world.told, world.looks[0]) == ([], (0.0, NAMES))


async def test_it_goes_on_until_it_is_ended(world: World) -> None:
    watch = world.begin()

    async def wait(seconds: float) -> None:
        await World.wait(world, seconds)
        if len(world.looks) == 3:
            raise asyncio.CancelledError

    world.wait = wait  # type: ignore[method-assign] # ends it
    watch = world.begin()
    with pytest.raises(asyncio.CancelledError):
        await watch.run()
    assert len(world.looks) == 3
