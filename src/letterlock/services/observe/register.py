"""What sessions tell of tests: each is kept with the test that it is of, before its 250 is said.

A session that names a recipient is of the test in its address. One that leaves before (its
handshake failed, or it did not like what it saw) names none: it is taken for the test that has seen
its client, when that is one test only. It may come first: so it is remembered for a while.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace

from letterlock.base.client_keys import client_key
from letterlock.base.clock import Clock
from letterlock.protocols.inbound.facts import InboundTest, SessionSeen
from letterlock.protocols.inbound.mail import may_be_answered
from letterlock.storage.inbound_tests import InboundTests

MAX_REMEMBERED = 500
"""Sessions of clients that no test knows; of a scan they are nearly all."""
REMEMBERED = timedelta(hours=1)


@dataclass(slots=True)
class _Known:
    """What is known of a test beside its file: who its clients are."""

    created: datetime
    expires: datetime
    clients: set[str] = field(default_factory=set)
    hellos: set[str] = field(default_factory=set)

    def add(self, sessions: Sequence[SessionSeen]) -> None:
        self.clients |= {client_key(each.ip) for each in sessions}
        self.hellos |= {each.hello.lower() for each in sessions if "." in each.hello}

    def has(self, seen: SessionSeen) -> bool:
        """Say whether a session is of one of its clients, by address or by the name it gives."""
        is_alike = client_key(seen.ip) in self.clients or seen.hello.lower() in self.hellos
        return is_alike and self.created <= seen.started < self.expires


class Register:
    """The tests that are open. Methods that write to them raise OSError."""

    def __init__(self, tests: InboundTests, clock: Clock) -> None:
        self._tests = tests
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._remembered: deque[SessionSeen] = deque(maxlen=MAX_REMEMBERED)

    def load(self) -> None:
        """Learn what tests there are already. Blocks."""
        for test in self._tests.list_all():
            self._learn(test)

    def find(self, token: str) -> InboundTest | None:
        """Give a test that is open; None: there is none of that name. Blocks for a small file."""
        test = self._tests.load(token.lower())
        if test is None or test.expires <= self._clock.now():
            return None
        if test.token not in self._known:
            self._learn(test)
        return test

    async def keep(self, token: str, seen: SessionSeen, sender: str | None = None) -> None:
        """Keep a session with its test, or more of one that is kept; durable when this returns.

        `sender` is the reverse-path of a message that came in it.
        """
        early = self._take_remembered(token, seen)
        change = _Change((*early, seen), sender)
        await asyncio.to_thread(self._tests.change, token, change.apply)

    async def note_left(self, seen: SessionSeen) -> None:
        """Take note of a session that named no recipient."""
        its = [token for token, known in self._known.items() if known.has(seen)]
        if len(its) == 1:
            change = _Change((replace(seen, is_guessed=True),), None)
            await asyncio.to_thread(self._tests.change, its[0], change.apply)
        elif not its:
            self._remembered.append(seen)

    async def forget_ended(self) -> list[str]:
        """Remove the tests whose time is over; gives their tokens."""
        ended = await asyncio.to_thread(self._tests.remove_ended, self._clock.now())
        for token in ended:
            self._known.pop(token, None)
        return ended

    async def take_due(self, quiet: timedelta) -> list[InboundTest]:
        """Give the tests whose sender is to be told now, and mark them as told.

        They have been quiet for so long. Marked first: who dies in between tells nobody, and
        nobody is told twice.
        """
        now, due = self._clock.now(), []
        for test in await asyncio.to_thread(self._tests.list_all):
            last = test.last_seen
            if test.report_to is None or test.reported is not None or last is None:
                continue
            if now - last >= quiet and now < test.expires:
                taken = await asyncio.to_thread(self._mark, test.token, now)
                due += [taken] if taken is not None else []
        return due

    def _mark(self, token: str, now: datetime) -> InboundTest | None:
        taken: list[InboundTest] = []

        def mark(test: InboundTest) -> InboundTest:
            if test.reported is None:
                taken.append(test)
            return replace(test, reported=test.reported or now)

        self._tests.change(token, mark)
        return taken[0] if taken else None

    def _learn(self, test: InboundTest) -> None:
        known = self._known.setdefault(test.token, _Known(test.created, test.expires))
        known.add([each for each in test.sessions if not each.is_guessed])

    def _take_remembered(self, token: str, seen: SessionSeen) -> list[SessionSeen]:
        """Take the sessions of this client that came before its test was known."""
        known = self._known.get(token)
        if known is None:
            return []
        known.add([seen])
        oldest = self._clock.now() - REMEMBERED
        its = [each for each in self._remembered if known.has(each) and each.started >= oldest]
        for each in its:
            self._remembered.remove(each)
        return [replace(each, is_guessed=True) for each in its]


@dataclass(frozen=True, slots=True)
class _Change:
    """What becomes of a test by sessions, and by the sender of a message."""

    sessions: tuple[SessionSeen, ...]
    sender: str | None

    def apply(self, test: InboundTest) -> InboundTest:
        by_key = {each.key: each for each in test.sessions}
        for each in self.sessions:
            if each.key in by_key or not test.is_full:
                by_key[each.key] = each
        test = replace(test, sessions=tuple(by_key.values()))
        if test.report_to is None and self.sender and self._may_answer(test, self.sender):
            test = replace(test, report_to=self.sender)
        return test

    @staticmethod
    def _may_answer(test: InboundTest, sender: str) -> bool:
        is_awaited = test.awaited is None or test.awaited.lower() == sender.lower()
        return is_awaited and may_be_answered(sender)
