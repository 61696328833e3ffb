"""Answers that are kept: given at once, found anew behind, asked for once."""

import asyncio
from datetime import timedelta

import pytest

from letterlock.protocols.maps.messages import NOT_FOUND, Reply, Status
from letterlock.services.answer import cache as module
from letterlock.services.answer.cache import (
    ASK_AGAIN_SECONDS,
    GRACE_SECONDS,
    MAX_KEY_OCTETS,
    WAIT_SECONDS,
    AnswerCache,
)
from letterlock.services.answer.questions import Question
from tests.fakes import FakeClock

DANE = Reply(Status.OK, "dane-only")
SECURE = Reply(Status.OK, "secure")
KEY = b"example.com"


class Asking:
    """A cache, and what it asked."""

    def __init__(self, **settings: int) -> None:
        self.questions: list[Question] = []
        self.clock = FakeClock()
        self.cache = AnswerCache(self.questions.append, self.clock, **settings)

    @property
    def asked(self) -> list[str]:
        return [question.key for question in self.questions]

    def find(self, key: bytes) -> Reply | None:
        known = self.cache.find(key)
        return None if known is None else known.reply

    def wait_for(self, seconds: float) -> None:
        self.clock.move(timedelta(seconds=seconds))


async def test_what_is_not_known_is_asked_once_and_then_given_to_all_who_wait() -> None:
    it = Asking()
    assert it.find(KEY) is None
    waiting = [it.cache.wait(KEY), it.cache.wait(KEY)]
    assert not it.cache.is_empty.is_set()
    it.cache.take("example.com", DANE, 60)
    assert [await each for each in waiting] == [DANE, DANE]
    assert it.asked == ["example.com"]
    assert it.cache.is_empty.is_set()
    assert it.find(KEY) == DANE


async def test_an_answer_whose_time_is_over_is_found_anew_and_nobody_waits() -> None:
    it = Asking()
    it.cache.take("example.com", DANE, 60)
    it.wait_for(59)
    assert it.find(KEY) == DANE
    assert it.questions == []
    it.wait_for(1)
    assert [it.find(KEY) for _ in range(3)] == [DANE] * 3
    assert it.questions == [Question("example.com", is_awaited=False)]
    it.cache.take("example.com", SECURE, 60)
    assert it.find(KEY) == SECURE
    it.wait_for(59)
    assert it.find(KEY) == SECURE
    assert len(it.asked) == 1


async def test_an_answer_may_be_given_again_until_it_is_to_be_found_anew() -> None:
    it = Asking()
    it.cache.take("example.com", DANE, 60)
    known = it.cache.find(KEY)
    assert known is not None
    assert known.until == 60
    it.wait_for(60)
    assert it.cache.find(KEY) is known
    # It was asked for anew, and holds until that comes.
    assert known.until == 60 + GRACE_SECONDS


@pytest.mark.parametrize(
    ("reply", "seconds", "end"),
    [
        (DANE, 300, 300 + GRACE_SECONDS),
        (NOT_FOUND, 30, 30 + GRACE_SECONDS),
        (DANE, 12, 16),
        (Reply(Status.TEMP, "x"), 5, 5),
        (Reply(Status.PERM, "x"), 300, 300),
    ],
)
async def test_no_answer_is_older_than_its_time_and_some_seconds(
    reply: Reply, seconds: float, end: float
) -> None:
    """Whoever asks then, and however often, waits for another one."""
    it = Asking()
    it.cache.take("example.com", reply, seconds)
    for at in range(int(end)):
        assert it.find(KEY) == reply, at
        it.wait_for(1)
    assert it.find(KEY) is None
    waiting = it.cache.wait(KEY)
    assert not waiting.done()
    it.cache.take("example.com", SECURE, 60)
    assert await waiting == SECURE


async def test_a_question_that_somebody_waits_for_by_now_is_asked_again_as_such() -> None:
    it = Asking()
    it.cache.take("example.com", DANE, 30)
    it.wait_for(30)
    it.find(KEY)
    it.wait_for(ASK_AGAIN_SECONDS)
    it.cache.wait(KEY)
    it.cache.sweep()
    assert [question.is_awaited for question in it.questions] == [False, True]


@pytest.mark.parametrize("how", ["replaced", "pushed out", "ended"])
async def test_an_answer_that_is_gone_is_taken_back(how: str) -> None:
    it = Asking(max_kept=1)
    it.cache.take("example.com", DANE, 60)
    known = it.cache.find(KEY)
    assert known is not None
    if how == "ended":
        it.wait_for(60 + GRACE_SECONDS)
        assert it.cache.find(KEY) is None
    else:
        it.cache.take("example.com" if how == "replaced" else "other.example", SECURE, 60)
    assert known.until < it.clock.monotonic()


@pytest.mark.parametrize(
    "key",
    [
        b".example.com",
        b".com",
        b".",
        b"",
        b"unix:/run/lmtp",
        b"\xff",
        b"a b",
        b"[a",
        b"x" * (MAX_KEY_OCTETS + 1),
    ],
)
async def test_keys_without_a_policy_are_answered_at_once(key: bytes) -> None:
    """Postfix asks for each parent of a name that is not found."""
    it = Asking()
    assert it.find(key) == NOT_FOUND
    assert it.asked == []


async def test_a_question_that_may_be_lost_is_asked_again_and_given_up_in_the_end() -> None:
    it = Asking()
    waiting = it.cache.wait(KEY)
    for _ in range(int(WAIT_SECONDS / ASK_AGAIN_SECONDS) - 1):
        it.wait_for(ASK_AGAIN_SECONDS)
        it.cache.sweep()
        it.cache.sweep()
    assert it.asked == ["example.com"] * int(WAIT_SECONDS / ASK_AGAIN_SECONDS)
    assert not waiting.done()
    it.wait_for(ASK_AGAIN_SECONDS)
    it.cache.sweep()
    assert (await waiting).status is Status.TEMP
    # Nothing is kept of that: the answer may still come.
    assert it.find(KEY) is None
    it.cache.take("example.com", DANE, 60)
    assert it.find(KEY) == DANE


async def test_more_questions_than_may_wait_are_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ASKED", 2)
    it = Asking()
    waiting = [it.cache.wait(b"%d.example" % number) for number in range(3)]
    assert [each.done() for each in waiting] == [False, False, True]
    assert (await waiting[2]).status is Status.TEMP
    assert len(it.asked) == 2


async def test_the_oldest_answers_go_first() -> None:
    it = Asking(max_kept=2)
    for name in ("a", "b", "a", "c"):
        it.cache.take(name, DANE, 60)
    assert [it.find(name) for name in (b"a", b"b", b"c")] == [DANE, None, DANE]


async def test_who_waits_and_goes_away_leaves_the_others_waiting() -> None:
    it = Asking()
    first = asyncio.ensure_future(asyncio.shield(it.cache.wait(KEY)))
    second = it.cache.wait(KEY)
    first.cancel()
    it.cache.take("example.com", DANE, 60)
    assert await second == DANE
