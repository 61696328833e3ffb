"""Who wants a report, and where: the TLSRPT records of those that reports are about.

RFC 8460 §3. What counted sessions may have seen the record then, and that one counts; else it is
looked up. A host with TLSA records that wants reports at the same places as a domain has heard of
that domain's sessions already.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.tlsrpt.destinations import MAX_DESTINATIONS
from letterlock.protocols.tlsrpt.record import TlsrptRecord, TlsrptRecordError, parse_record
from letterlock.services.discover.tlsrpt import find_tlsrpt
from letterlock.services.report.composing import DayReports, Topic

_LOOKUPS_AT_A_TIME = 16
_MAX_GUESTS = 1000
"""Domains looked up for one host: the sessions of more are told to it, whoever heard of them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Reports are wanted at these URIs."""

    uris: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unwanted:
    """No report can be sent, for `reason`; `is_passing`: it may be known another time."""

    reason: str
    is_passing: bool = False


class Addressing:
    """Finds who wants reports."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._slots = asyncio.Semaphore(_LOOKUPS_AT_A_TIME)

    async def find(self, topic: Topic) -> Wanted | Unwanted:
        """Find where a report about somebody is wanted."""
        if topic.record:
            return _judge(topic.record)
        async with self._slots:
            facts = await find_tlsrpt(self._resolver, Domain(topic.domain))
        if facts is None:
            return Unwanted(f"{topic.domain} has no TLSRPT record")
        if facts.error is not None:
            return Unwanted(facts.error, facts.is_passing)
        return Wanted(_shorten(facts.destinations))

    async def find_told(self, day: DayReports, topic: Topic, wanted: Wanted) -> frozenset[Topic]:
        """Find the guests of a host that hear of their sessions at all its places themselves."""
        guests = day.list_guests(topic)[:_MAX_GUESTS]
        if not guests:
            return frozenset()
        async with asyncio.TaskGroup() as tasks:
            asked = {guest: tasks.create_task(self.find(guest)) for guest in guests}
        return frozenset(
            guest
            for guest, task in asked.items()
            if isinstance(found := task.result(), Wanted) and set(found.uris) >= set(wanted.uris)
        )


def _judge(text: str) -> Wanted | Unwanted:
    match parse_record([text.encode("utf-8", "replace")]):
        case TlsrptRecord() as record if record.destinations:
            return Wanted(_shorten(record.destinations))
        case TlsrptRecord():
            return Unwanted("none of its rua is mailto or https")
        case TlsrptRecordError(reason):
            return Unwanted(f"its TLSRPT record is not valid: {reason}")
        case None:
            return Unwanted("its TLSRPT record is none")


def _shorten(uris: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(uris))[:MAX_DESTINATIONS]
