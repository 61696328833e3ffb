"""Answers kept in the process that gives them, and questions to the one that finds them.

A warm answer is given at once, by a look into a dictionary, whatever is being found at the time.
When its time is over it is found anew behind, and given for some seconds more meanwhile, so that
nobody waits for what is in use. So nothing is answered that is older than an answer's seconds
and GRACE_SECONDS.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from letterlock.base.clock import Clock
from letterlock.network.map_server import Known
from letterlock.protocols.maps.messages import NOT_FOUND, Reply, Status
from letterlock.services.answer.questions import Question
from letterlock.services.discover.next_hop import NextHopError, parse_next_hop

MAX_KEPT = 100_000
"""Answers kept; the oldest goes first. About 60 MB with the longest keys that there are."""
MAX_ASKED = 10_000
"""Questions waiting at a time. More is more than Postfix has processes, or somebody's attack."""
MAX_KEY_OCTETS = 300
WAIT_SECONDS = 80.0
"""How long one who asks is let wait. Postfix gives up after 100 s, and what we say is heard."""
ASK_AGAIN_SECONDS = 10.0
"""When a question is asked again: the process that it went to may have ended."""
GRACE_SECONDS = 10.0
"""For how long an answer is given while another one is found in its place."""
GRACE_PART = 1 / 3
"""The same as a part of its time, where that is less."""

_LATE = Reply(Status.TEMP, "the policy was not found in time; see the log of letterlock")
_NO_POLICY = Known(NOT_FOUND, math.inf)
_NEVER = -math.inf
_CROWDED = Reply(Status.TEMP, "too many destinations are asked for at a time")


@dataclass(slots=True, eq=False)
class _Kept(Known):
    """An answer; when it is asked for after `until` it is found anew, and it ends at `end`."""

    end: float


@dataclass(slots=True)
class _Asked:
    waiting: "asyncio.Future[Reply]"
    is_awaited: bool
    asked_at: float
    since: float


class AnswerCache:
    """What is asked for; `ask` says what is to be found, and `take` gets what was."""

    def __init__(
        self, ask: Callable[[Question], None], clock: Clock, max_kept: int = MAX_KEPT
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._max_kept = max_kept
        self._kept: dict[bytes, _Kept] = {}
        self._asked: dict[str, _Asked] = {}
        self.is_empty = asyncio.Event()
        self.is_empty.set()

    def find(self, key: bytes) -> Known | None:
        """Give what is known at once; None: `wait` for it."""
        kept = self._kept.get(key)
        if kept is None:
            return _NO_POLICY if _is_without_policy(key) else None
        now = self._clock.monotonic()
        if now < kept.until:
            return kept
        if now >= kept.end:
            self._drop(key)
            return None
        # Once: the answer takes the place of this one, or this one ends.
        kept.until = kept.end
        self._begin(key.decode(), is_awaited=False)
        return kept

    def wait(self, key: bytes) -> "asyncio.Future[Reply]":
        """Give what becomes the answer. It is shared: to be looked at, never cancelled."""
        asked = self._begin(key.decode(), is_awaited=True)
        if asked is not None:
            asked.is_awaited = True
            return asked.waiting
        crowded: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        crowded.set_result(_CROWDED)
        return crowded

    def _begin(self, name: str, *, is_awaited: bool) -> _Asked | None:
        """Ask, if it is not asked already; None: too much is."""
        asked = self._asked.get(name)
        if asked is None and len(self._asked) < MAX_ASKED:
            waiting: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            now = self._clock.monotonic()
            asked = self._asked[name] = _Asked(waiting, is_awaited, now, now)
            self.is_empty.clear()
            self._ask(Question(name, is_awaited))
        return asked

    def take(self, key: str, reply: Reply, seconds: float) -> None:
        """Take an answer: keep it, and give it to those that wait."""
        now = self._clock.monotonic()
        octets = key.encode()
        self._drop(octets)
        until = now + seconds
        # Where nothing could be said, mail would wait in vain.
        has_grace = reply.status in (Status.OK, Status.NOTFOUND)
        grace = min(GRACE_SECONDS, GRACE_PART * seconds) if has_grace else 0
        self._kept[octets] = _Kept(reply, until, until + grace)
        while len(self._kept) > self._max_kept:
            self._drop(next(iter(self._kept)))
        self._end(key, reply)

    def sweep(self) -> None:
        """Ask again what may have been lost; tell those that waited for long."""
        now = self._clock.monotonic()
        for key, asked in tuple(self._asked.items()):
            if now - asked.since >= WAIT_SECONDS:
                self._end(key, _LATE)
            elif now - asked.asked_at >= ASK_AGAIN_SECONDS:
                asked.asked_at = now
                self._ask(Question(key, asked.is_awaited))

    def _drop(self, key: bytes) -> None:
        """Let go of an answer, and have everybody who remembers it let go too."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            kept.until = _NEVER

    def _end(self, key: str, reply: Reply) -> None:
        asked = self._asked.pop(key, None)
        if asked is not None and not asked.waiting.done():
            asked.waiting.set_result(reply)
        if not self._asked:
            self.is_empty.set()


def _is_without_policy(key: bytes) -> bool:
    """Say if there can be no policy for a key: a parent domain, a socket, what is no next hop.

    Postfix asks for `.example.com` and `.com` where it finds nothing for `mail.example.com`; the
    operator's entries for parents were looked at with the whole name.
    """
    if key.startswith(b".") or len(key) > MAX_KEY_OCTETS:
        return True
    try:
        parse_next_hop(key.decode())
    except (NextHopError, UnicodeDecodeError):
        return True
    return False
