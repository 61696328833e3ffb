"""The audit log itself: verified record by record, and its head signed and told.

All of it once in each round, what is new every minute. What is signed is kept, and is written to
the node's log, which may be kept on another machine: who changes the database cannot change that.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.protocols.audit.heads import SignedHead, format_head, is_signed, sign_head
from letterlock.protocols.audit.records import START, AuditRecord, Head, head_of
from letterlock.protocols.audit.verifying import MAX_BREAKS, Break, ChainVerifier
from letterlock.protocols.pki.issuance.signing import AuthorityKey, KeyUnavailable, Signer
from letterlock.services.ca.auditing.alarms import MAIL_EVERY, Alarm
from letterlock.storage.ca.audits import AddHead, AuditProgress, ChangeProgress
from letterlock.storage.ca.store import Commits

NAME = "log"
PAGE = 1000
"""Of who reads all of it in a process of his own."""
STEP_PAGE = 200
"""Of who reads beside others: milliseconds of work, then others have their turn."""
MAX_PAGES = 200
HEADS = 100
LOOK_AGAIN = timedelta(minutes=1)
SIGN_EVERY = timedelta(hours=1)


class LogStore(Commits, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_head(self) -> Head: ...

    async def list_records(
        self, after: int, limit: int, *, kind: str | None = None
    ) -> tuple[AuditRecord, ...]: ...

    async def load_progress(self, name: str) -> AuditProgress: ...

    async def load_last_signed_head(self) -> SignedHead | None: ...

    async def list_signed_heads(self, after: int, limit: int) -> tuple[SignedHead, ...]: ...


@dataclass(frozen=True, slots=True)
class Verified:
    """A part of the log that was read: up to where, and what is wrong in it (at most MAX_BREAKS).

    `unsigned` are heads whose signature is none of the authority's; `unsigned_kept` counts those of
    them that somebody has elsewhere: what they would have shown, nobody knows.
    """

    head: Head
    breaks: tuple[Break, ...]
    signed: int = 0
    unsigned: tuple[int, ...] = ()
    unsigned_kept: int = 0


async def verify_log(
    store: LogStore, keys: Sequence[AuthorityKey], kept: Sequence[SignedHead] = ()
) -> AsyncIterator[Verified]:
    """Verify all of the log; gives how far it is from page to page, the last time with all.

    `kept` are heads that somebody has elsewhere. Those of the store count beside them.
    Raises StoreUnavailable.
    """
    heads: dict[int, bytes] = {}
    unsigned_kept = _take(kept, keys, heads)
    unsigned = (*unsigned_kept, *await _load_heads(store, keys, 0, heads))
    verifier = ChainVerifier(START, heads)
    breaks: list[Break] = []
    while page := await store.list_records(verifier.head.number, PAGE):
        before = verifier.head.number
        for record in page:
            breaks += verifier.receive(record)
        if verifier.head.number <= before:
            break
        yield Verified(verifier.head, tuple(breaks[:MAX_BREAKS]), len(heads), unsigned)
    breaks += verifier.finish()
    known = tuple(breaks[:MAX_BREAKS])
    yield Verified(verifier.head, known, len(heads), unsigned, len(unsigned_kept))


async def _load_heads(
    store: LogStore, keys: Sequence[AuthorityKey], after: int, known: dict[int, bytes]
) -> list[int]:
    """Add those of the store that are ours to what is known; gives the numbers of the others."""
    unsigned: list[int] = []
    # Small pages: between them others have their turn.
    while page := await store.list_signed_heads(after, HEADS):
        unsigned += _take(page, keys, known)
        after = page[-1].head.number
    return unsigned


def _take(
    heads: Sequence[SignedHead], keys: Sequence[AuthorityKey], known: dict[int, bytes]
) -> list[int]:
    """Add those that are ours to what is known; gives the numbers of the others."""
    unsigned: list[int] = []
    for each in heads:
        if _is_ours(each, keys):
            # Where two differ, the log can be only one of them: the first stands.
            known.setdefault(each.head.number, each.head.hash)
        else:
            unsigned.append(each.head.number)
    return unsigned


def _is_ours(head: SignedHead, keys: Sequence[AuthorityKey]) -> bool:
    return any(is_signed(head, key) for key in keys)


class LogAudit:
    """Verifies what is new, and all of it once a round; signs the head."""

    def __init__(
        self,
        store: LogStore,
        signer: Signer,
        alarm: Alarm,
        clock: Clock,
        log: Log,
        *,
        rounds: timedelta,
    ) -> None:
        self._store = store
        self._signer = signer
        self._alarm = alarm
        self._clock = clock
        self._log = log
        self._rounds = rounds

    async def step(self) -> datetime:
        """Verify some, sign where it is time; gives when to go on. Raises StoreUnavailable."""
        now = self._clock.now()
        progress = _begin(await self._store.load_progress(NAME), now, self._rounds)
        verifier = await self._start(progress.position)
        breaks, is_end = await self._verify(verifier)
        after = replace(
            progress,
            position=verifier.head.number,
            checked=progress.checked + max(0, verifier.head.number - progress.position),
            faulty=progress.faulty + len(breaks),
            ended=now if is_end else None,
        )
        before = await self._store.load_progress(NAME)
        if after != before and not await self._store.commit((ChangeProgress(before, after),)):
            return now + LOOK_AGAIN
        if breaks:
            await self._tell(breaks, after, now)
        elif is_end:
            await self._sign(verifier.head, now)
        return now + LOOK_AGAIN if is_end else now

    async def _start(self, position: int) -> ChainVerifier:
        """Begin behind what was verified before, with the heads that were signed since.

        Where that is not there any more, from the beginning: it tells what is wrong.
        """
        last = await self._store.list_records(position - 1, 1) if position else ()
        head = head_of(last[0]) if last and last[0].number == position else START
        keys = (self._signer.public_key,)
        known: dict[int, bytes] = {}
        await _load_heads(self._store, keys, head.number, known)
        if head.number < position:
            known.setdefault(position, START.hash)
        return ChainVerifier(head, known)

    async def _verify(self, verifier: ChainVerifier) -> tuple[list[Break], bool]:
        breaks: list[Break] = []
        for _ in range(MAX_PAGES):
            began = self._clock.monotonic()
            page = await self._store.list_records(verifier.head.number, STEP_PAGE)
            for record in page:
                breaks += verifier.receive(record)
            if len(page) < STEP_PAGE:
                return [*breaks, *verifier.finish()], True
            await asyncio.sleep(self._clock.monotonic() - began)
        return breaks, False

    async def _tell(self, breaks: list[Break], progress: AuditProgress, now: datetime) -> None:
        if progress.mailed is not None and timedelta() <= now - progress.mailed < MAIL_EVERY:
            return
        lines = [f"the log: {each}" for each in breaks]
        await self._alarm.raise_it(lines, ())
        await self._alarm.mail("The audit log is not as it was written", lines)
        await self._store.commit((ChangeProgress(progress, replace(progress, mailed=now)),))

    async def _sign(self, head: Head, now: datetime) -> None:
        """Sign the head, unless it was signed a short while ago, or nothing came since."""
        last = await self._store.load_last_signed_head()
        if head.number == 0 or (last is not None and head.number <= last.head.number):
            return
        if last is not None and timedelta() <= now - last.moment < SIGN_EVERY:
            return
        try:
            signed = await asyncio.to_thread(sign_head, head, now, self._signer)
        except KeyUnavailable as error:
            self._log.write(Service.CA, f"warning: the audit log's head is not signed: {error}")
            return
        if await self._store.commit((AddHead(signed),)):
            text = format_head(signed).decode()
            self._log.write(Service.CA, f"audit log: its head is signed: {text}")


def _begin(progress: AuditProgress, now: datetime, rounds: timedelta) -> AuditProgress:
    """Give how far it is; from the beginning where a round is due."""
    is_at_end = progress.began is None or progress.ended is not None
    is_due = progress.began is None or not timedelta() <= now - progress.began < rounds
    if is_due and is_at_end:
        return AuditProgress(NAME, 0, progress.round + 1, now, mailed=progress.mailed)
    return progress
