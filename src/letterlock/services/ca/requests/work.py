"""Work behind requests, validating and issuing: begun at once in the process that was asked.

RFC 8555 §7.4, §7.5.1 (a client may look again while something is processed). Work is a row in the
store, committed with what made it, under a lease of this process. So nothing is lost with a
process: a lease that ran out is claimed by another's sweep. Only how soon an answer has news rests
on what is here.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass

from letterlock.storage.ca.kept import Claimed, WorkKind

OnWork = Callable[[Claimed], "Future[None]"]
"""Begin work that was committed a moment ago under this process's lease; return at once.

It is called on the event loop right after the commit of `AddWork`. Who does the work ends it
(`EndWork`) or puts it off (`PutOffWork`); then the future is done, with whatever outcome: a verb
waits for it for a bounded, short time (`Patience`), reads the order or authorization again, and
answers with what stands there. It never cancels it, and does not look at its exception: what could
not be done is told by the store. For `WorkKind.VALIDATION` the subject is an authorization and the
detail the type of its challenge, which is `processing`; for `WorkKind.ISSUANCE` the subject is an
order, which is `processing`, and the detail is its certificate signing request in DER, judged.
"""


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds an answer may wait for news; 0: not at all. Clients that poll see no less.

    `response` is for a challenge that is answered, `validation` for who looks at what is validated,
    `issuance` for who finalizes an order or looks at it.
    """

    response: float = 0.25
    validation: float = 1.0
    issuance: float = 1.0


class Works:
    """The work that runs in this process, by what it is for."""

    def __init__(self, on_work: OnWork) -> None:
        self._on_work = on_work
        self._running: dict[tuple[WorkKind, str], Future[None]] = {}

    def begin(self, claimed: Claimed) -> None:
        """Begin work that was committed."""
        key = (claimed.work.kind, claimed.work.subject)
        running = self._on_work(claimed)
        self._running[key] = running
        running.add_done_callback(lambda done: self._forget(key, done))

    async def wait(self, kind: WorkKind, subject: str, seconds: float) -> bool:
        """Wait until work ends, at most so long. False: nothing of the kind ran here."""
        running = self._running.get((kind, subject))
        if running is None or seconds <= 0:
            return False
        await asyncio.wait((running,), timeout=seconds)
        return True

    def _forget(self, key: tuple[WorkKind, str], done: "Future[None]") -> None:
        if self._running.get(key) is done:
            del self._running[key]
