"""Many domains: a few at a time, and those whose hosts put us off once more, later."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from letterlock.network.probes import ProbeQuestion
from letterlock.protocols.check.facts import Probe, State
from letterlock.services.check import repeating
from letterlock.services.check.asking import Asker, Door
from letterlock.services.check.repeating import Patience, Repeater
from tests.fakes import FakeClock


@dataclass
class World:
    """Domains named by what their host's address ends in; `busy` is how often each is busy yet."""

    busy: dict[str, int] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    asked: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.asker = Asker(self.probe, self.clock, wait=self.wait)

    async def probe(self, door: Door, question: ProbeQuestion) -> Probe:
        name = str(door.ip).rpartition(".")[2]
        self.asked.append(name)
        left = self.busy.get(name, 0)
        self.busy[name] = left - 1
        state = State.BLOCKED if left > 0 else State.FINDING
        return Probe(question.asked, state, question.sni)

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.move(timedelta(seconds=seconds))

    async def check(self, name: str) -> dict[str, Any]:
        probes = await self.asker.ask(Door(ip_address(f"192.0.2.{name}"), 25, "mx"))
        shown = [{"state": each.state.value} for each in probes]
        return {"domain": name, "hosts": [{"addresses": [{"probes": shown}]}]}

    def tell(self, document: dict[str, Any]) -> None:
        (host,) = document["hosts"]
        self.told.append((document["domain"], host["addresses"][0]["probes"][0]["state"]))

    async def run(self, *names: str, times: int = 1) -> None:
        repeater = Repeater(
            self.check, self.asker, Patience(times, 60.0), self.notes.append, self.wait
        )
        await repeater.run(names, self.tell)


async def test_who_put_us_off_is_asked_again_after_the_others() -> None:
    """RFC 5321 §4.2.5: a code that begins with 4 is no last word."""
    world = World({"1": 1, "3": 1})
    await world.run("1", "2", "3")
    assert world.told == [("2", "finding"), ("1", "finding"), ("3", "finding")]
    assert world.asked == ["1", "2", "3", "1", "3"]
    assert world.waits == [60.0]
    assert world.notes == ["2 have hosts that put us off: asked again in 60 seconds"]


async def test_who_puts_us_off_again_stays_blocked() -> None:
    world = World({"1": 9})
    await world.run("1")
    assert world.told == [("1", "blocked")]
    assert world.asked == ["1", "1"]
    assert world.notes == ["1 has a host that put us off: asked again in 60 seconds"]


async def test_each_time_it_takes_twice_as_long_and_connections_run_out() -> None:
    world = World({"1": 9})
    await world.run("1", times=9)
    assert world.told == [("1", "blocked")]
    # Three connections to an address in all.
    assert world.waits == [60.0, 120.0]


async def test_with_no_patience_nobody_is_asked_twice() -> None:
    world = World({"1": 9})
    await world.run("1", times=0)
    assert (world.told, world.asked, world.waits) == ([("1", "blocked")], ["1"], [])


async def test_what_passed_meanwhile_counts() -> None:
    """A run over many domains has waited already when the last of them is done."""
    world = World({"1": 1})
    slow = world.check

    async def check(name: str) -> dict[str, Any]:
        document = await slow(name)
        if name == "2":
            world.clock.move(timedelta(seconds=100))
        return document

    world.check = check  # type: ignore[method-assign] # it takes longer
    await world.run("1", "2")
    assert world.told == [("2", "finding"), ("1", "finding")]
    assert (world.waits, world.notes) == ([], [])


async def test_only_a_few_are_looked_at_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeating, "AT_ONCE", 3)
    world = World()
    most, running = 0, 0

    async def check(name: str) -> dict[str, Any]:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return {"domain": name, "hosts": [{"addresses": [{"probes": [{"state": "ok"}]}]}]}

    world.check = check  # type: ignore[method-assign] # counted
    names = [str(number) for number in range(40)]
    await world.run(*names)
    assert sorted(name for name, _ in world.told) == sorted(names)
    assert most == 3
