"""How often a client may guess passwords, and how often an account's may be guessed.

Over all workers of the node (`base.shared_counters`). RFC 4954 §9 names guessing; limits are ours.
Who is over a limit is not tried at all, with a right password either: nobody learns anything by it.
An account's limit does not hold for clients that logged in to it of late, so that a stranger's
guesses keep its owner out nowhere that he has been. A name counts in the one form that accounts are
kept by: a domain can be written in more ways than there are guesses.
A guess counts when it has failed, so few are looked at side by side, and the others wait: else
whoever sends many at once has them all before the first one counts, and keeps others waiting.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from letterlock.base.client_keys import client_key
from letterlock.base.clock import Clock
from letterlock.base.shared_counters import SharedCounters
from letterlock.protocols.sasl.preparation import unify_name

WINDOW_SECONDS = 600
KNOWN_SECONDS = 86_400
AT_ONCE = 4
"""Passwords that one client, or strangers for one account, have looked at side by side."""


@dataclass(frozen=True, slots=True)
class GuessLimits:
    """Failed logins in ten minutes; 0 for no limit."""

    per_client: int = 20
    per_account: int = 100


class Guesses:
    """Counts one worker's failed logins into the shared counters."""

    def __init__(
        self, limits: GuessLimits, counters: SharedCounters, worker: int, clock: Clock
    ) -> None:
        self._limits = limits
        self._counters = counters
        self._worker = worker
        self._clock = clock
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, ip: str, name: str) -> AsyncIterator[None]:
        """Wait until a client's password for an account may be looked at, and let others wait."""
        client = client_key(ip)
        keys = [_of_client(client)] if self._limits.per_client else []
        if self._limits.per_account and not self._has_logged_in(client, name):
            keys.append(_at_account(name))
        async with AsyncExitStack() as stack:
            for key in keys:
                gate = self._gates.setdefault(key, asyncio.Semaphore(AT_ONCE))
                await stack.enter_async_context(gate)
            yield

    def may_try(self, ip: str, name: str | None = None) -> bool:
        """Say whether a client may try; `name` is the account's, None as long as it is not told."""
        limits = self._limits
        client = client_key(ip)
        if self._is_over(_of_client(client), limits.per_client):
            return False
        if name is None or self._has_logged_in(client, name):
            return True
        return not self._is_over(_at_account(name), limits.per_account)

    def note_failure(self, ip: str, name: str | None) -> None:
        """Count a wrong password; also for accounts that are not there."""
        window = self._window(WINDOW_SECONDS)
        self._count(_of_client(client_key(ip)), window)
        if name is not None:
            self._count(_at_account(name), window)

    def note_login(self, ip: str, name: str) -> None:
        """Remember that a client knew an account's password."""
        self._count(_login(client_key(ip), name), self._window(KNOWN_SECONDS))

    def _has_logged_in(self, client: str, name: str) -> bool:
        slot = self._counters.slot(_login(client, name))
        today = self._window(KNOWN_SECONDS)
        return any(self._counters.total_in_window(slot, day) for day in (today, today - 1))

    def _is_over(self, key: str, limit: int) -> bool:
        slot = self._counters.slot(key)
        count = self._counters.total_in_window(slot, self._window(WINDOW_SECONDS))
        return bool(limit) and count >= limit

    def _count(self, key: str, window: int) -> None:
        self._counters.add_in_window(self._worker, self._counters.slot(key), window)

    def _window(self, seconds: int) -> int:
        # Not 0: that is what a slot has in which nothing was counted.
        return int(self._clock.monotonic()) // seconds + 1


def _of_client(client: str) -> str:
    return f"guesses of {client}"


def _at_account(name: str) -> str:
    return f"guesses at {unify_name(name)}"


def _login(client: str, name: str) -> str:
    return f"login {client} {unify_name(name)}"
