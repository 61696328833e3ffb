"""Work behind requests begins at once, and is waited for no longer than allowed."""

import asyncio
from asyncio import Future
from datetime import timedelta

from letterlock.services.ca.requests.work import Works
from letterlock.storage.ca.kept import Claimed, Lease, Work, WorkKind
from tests.fakes import START

KIND = WorkKind.ISSUANCE


def claim(subject: str) -> Claimed:
    work = Work(KIND, subject, START)
    return Claimed(work, Lease(KIND, subject, "here", START + timedelta(minutes=5)))


async def test_who_waits_goes_on_when_the_work_ends() -> None:
    running: Future[None] = asyncio.get_running_loop().create_future()
    begun: list[Claimed] = []

    def begin(claimed: Claimed) -> Future[None]:
        begun.append(claimed)
        return running

    works = Works(begin)
    works.begin(claim("a"))
    assert [each.work.subject for each in begun] == ["a"]
    waiting = asyncio.ensure_future(works.wait(KIND, "a", 3600))
    await asyncio.sleep(0)
    assert not waiting.done()
    running.set_exception(ArithmeticError())  # is the business of who did it
    assert await waiting
    assert not await works.wait(KIND, "a", 3600)
    assert isinstance(running.exception(), ArithmeticError)


async def test_nobody_waits_longer_than_allowed_and_the_work_goes_on() -> None:
    running: Future[None] = asyncio.get_running_loop().create_future()
    works = Works(lambda _: running)
    works.begin(claim("a"))
    assert await works.wait(KIND, "a", 0.001)
    assert not running.done()
    assert not await works.wait(KIND, "a", 0)
    assert not await works.wait(KIND, "b", 3600)
    assert not await works.wait(WorkKind.VALIDATION, "a", 3600)


async def test_of_work_that_begins_again_the_later_is_waited_for() -> None:
    loop = asyncio.get_running_loop()
    runs: list[Future[None]] = [loop.create_future(), loop.create_future()]
    left = iter(runs)
    works = Works(lambda _: next(left))
    works.begin(claim("a"))
    works.begin(claim("a"))
    runs[0].set_result(None)
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(works.wait(KIND, "a", 3600))
    await asyncio.sleep(0)
    assert not waiting.done()
    runs[1].set_result(None)
    assert await waiting
