"""Answers are kept as long as they say, and equal questions are asked once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from letterlock.base.domains import Domain
from letterlock.network.dns_cache import (
    FAILURE_KEPT_SECONDS,
    MAX_KEPT_SECONDS,
    CachingResolver,
)
from letterlock.protocols.dns.answers import Answer, CaaRecord, Existence, Record, Security
from tests.fakes import FakeClock

NAME = Domain("example.com")


class SlowResolver:
    """Answers when it is let; counts what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.was_asked = asyncio.Event()

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        assert (name, rdtype) == (self.answer.name, self.answer.rdtype) or name != NAME
        self.asked += 1
        self.was_asked.set()
        await self.may_answer.wait()
        return self.answer


def an_answer(security: Security = Security.INSECURE, ttl: int = 60) -> Answer:
    return Answer(NAME, "MX", security, Existence.NODATA, ttl=ttl)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (an_answer(), 60),
        (an_answer(ttl=1_000_000), MAX_KEPT_SECONDS),
        (an_answer(Security.FAILED, ttl=0), FAILURE_KEPT_SECONDS),
        (an_answer(Security.BOGUS, ttl=300), FAILURE_KEPT_SECONDS),
    ],
)
async def test_an_answer_is_kept_for_its_time(answer: Answer, seconds: int) -> None:
    """RFC 1035 §3.2.1"""
    clock, below = FakeClock(), SlowResolver(answer)
    resolver = CachingResolver(below, clock)
    assert await resolver.ask(NAME, "MX") == answer
    clock.move(timedelta(seconds=seconds - 1))
    kept = await resolver.ask(NAME, "MX")
    assert (kept.security, kept.ttl) == (answer.security, 1 if answer.ttl else 0)
    assert below.asked == 1
    clock.move(timedelta(seconds=1))
    assert await resolver.ask(NAME, "MX") == answer
    assert below.asked == 2


async def test_a_ttl_of_zero_is_not_kept() -> None:
    """RFC 1035 §3.2.1"""
    below = SlowResolver(an_answer(ttl=0))
    resolver = CachingResolver(below, FakeClock())
    await resolver.ask(NAME, "MX")
    await resolver.ask(NAME, "MX")
    assert below.asked == 2


async def test_the_oldest_answer_goes_when_there_are_too_many() -> None:
    below = SlowResolver(an_answer())
    resolver = CachingResolver(below, FakeClock(), max_records=2)
    for number in (1, 2, 3, 3, 2, 1):
        await resolver.ask(Domain(f"n{number}.example"), "MX")
    assert below.asked == 4


@pytest.mark.parametrize("text", [b"x" * 1280, CaaRecord(0, b"issue", b"x" * 1280)])
async def test_large_answers_count_by_their_records_and_texts(text: Record) -> None:
    large = replace(an_answer(), records=(b"", text))
    below = SlowResolver(large)
    resolver = CachingResolver(below, FakeClock(), max_records=25)
    for number in (1, 1, 2, 1):
        await resolver.ask(Domain(f"n{number}.example"), "MX")
    assert below.asked == 3


async def test_an_answer_larger_than_all_the_memory_is_not_kept() -> None:
    below = SlowResolver(an_answer())
    resolver = CachingResolver(below, FakeClock(), max_records=0)
    await resolver.ask(NAME, "MX")
    await resolver.ask(NAME, "MX")
    assert below.asked == 2


async def test_answers_can_be_forgotten() -> None:
    below = SlowResolver(an_answer())
    resolver = CachingResolver(below, FakeClock())
    await resolver.ask(NAME, "MX")
    resolver.forget()
    await resolver.ask(NAME, "MX")
    assert below.asked == 2


async def test_equal_questions_at_a_time_are_asked_once() -> None:
    below = SlowResolver(an_answer(ttl=0))
    below.may_answer.clear()
    resolver = CachingResolver(below, FakeClock())
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(resolver.ask(NAME, "MX")) for _ in range(5)]
        await below.was_asked.wait()
        below.may_answer.set()
    assert {task.result() for task in tasks} == {below.answer}
    assert below.asked == 1


async def test_when_the_one_who_asked_gives_up_another_asks() -> None:
    below = SlowResolver(an_answer())
    below.may_answer.clear()
    resolver = CachingResolver(below, FakeClock())
    async with asyncio.TaskGroup() as group:
        first = group.create_task(resolver.ask(NAME, "MX"))
        others = [group.create_task(resolver.ask(NAME, "MX")) for _ in range(3)]
        await below.was_asked.wait()
        below.was_asked.clear()
        first.cancel()
        await below.was_asked.wait()
        below.may_answer.set()
    assert [task.result() for task in others] == [below.answer] * 3
    assert below.asked == 2


async def test_one_who_stops_waiting_does_not_stop_the_others() -> None:
    below = SlowResolver(an_answer())
    below.may_answer.clear()
    resolver = CachingResolver(below, FakeClock())
    async with asyncio.TaskGroup() as group:
        first = group.create_task(resolver.ask(NAME, "MX"))
        second = group.create_task(resolver.ask(NAME, "MX"))
        third = group.create_task(resolver.ask(NAME, "MX"))
        await below.was_asked.wait()
        second.cancel()
        below.may_answer.set()
    assert first.result() == third.result() == below.answer
    assert below.asked == 1


async def test_an_error_reaches_the_one_who_asked() -> None:
    class BrokenResolver:
        async def ask(self, name: Domain, rdtype: str) -> Answer:
            raise KeyError(name, rdtype)

    resolver = CachingResolver(BrokenResolver(), FakeClock())
    with pytest.raises(KeyError):
        await resolver.ask(NAME, "ODD")
