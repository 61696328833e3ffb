"""What would be reported, and to whom: composed and addressed as it will be, and not sent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date

from letterlock.protocols.tlsrpt.mail import pack
from letterlock.protocols.tlsrpt.report import PolicyResult
from letterlock.services.report.addressing import Addressing, Unwanted, Wanted
from letterlock.services.report.composing import DayReports, Submitter, Topic
from letterlock.services.report.counts import CountSource

_AT_A_TIME = 100


@dataclass(frozen=True, slots=True)
class Preview:
    """One report. `octets` are those of the JSON, packed; 0: there is none, as `wanted` says."""

    source: str
    day: date
    topic: Topic
    report_id: str
    wanted: Wanted | Unwanted
    policies: tuple[PolicyResult, ...]
    octets: int


async def preview(
    source: CountSource, days: Sequence[date], addressing: Addressing, submitter: Submitter
) -> AsyncIterator[Preview]:
    """Give the reports of days that a source has, in their order. Raises StoreUnavailable."""
    for day in days:
        reports = DayReports(day, await source.load_day(day))
        topics = reports.topics
        for start in range(0, len(topics), _AT_A_TIME):
            async with asyncio.TaskGroup() as tasks:
                asked = [
                    tasks.create_task(_preview(source.name, reports, topic, addressing, submitter))
                    for topic in topics[start : start + _AT_A_TIME]
                ]
            for task in asked:
                yield task.result()


async def _preview(
    source: str, reports: DayReports, topic: Topic, addressing: Addressing, submitter: Submitter
) -> Preview:
    report_id = submitter.make_report_id(source, reports.day, topic)
    wanted = await addressing.find(topic)
    left_out: frozenset[Topic] = frozenset()
    if isinstance(wanted, Wanted):
        left_out = await addressing.find_told(reports, topic, wanted)
    policies = reports.find(topic, left_out)
    octets = reports.compose(topic, submitter, report_id, left_out)
    if octets is None:
        wanted = Unwanted("its sessions are told in the reports of its domains")
    size = len(pack(octets)) if octets is not None and isinstance(wanted, Wanted) else 0
    return Preview(source, reports.day, topic, report_id, wanted, policies, size)
