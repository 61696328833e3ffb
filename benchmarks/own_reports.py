"""A day's reports to 10,000 domains made, signed and queued, as a node does it after midnight.

The day is planned, each record is looked up (in memory: DNS is not what is measured), the report is
composed and packed, its mail is signed with both kinds of keys and verified once, saved in the
queue, and what became of it is kept. On one core; files are in the folder for temporary ones.
"""

import asyncio
import tempfile
import time
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from pathlib import Path

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Answer, Existence, Security
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy, Outcome, Session
from letterlock.services.collect.aggregate import DayCounts
from letterlock.services.report.addressing import Addressing
from letterlock.services.report.carrying import HttpsCarrier, QueueCarrier, ReportWriter
from letterlock.services.report.composing import Submitter
from letterlock.services.report.sending import ReportTools, Sending
from letterlock.services.report.signatures import SignatureCheck
from letterlock.services.sign.keyring import Keyring
from letterlock.services.sign.keys import KeyPlan, make_missing_key
from letterlock.services.sign.signer import Signer
from letterlock.storage.dkim_keys import DkimKeyFiles
from letterlock.storage.ids import QueueIds
from letterlock.storage.queue import BodyWriter, NewMessage
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.own_reports import SqliteOwnReports
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeLog

DOMAINS = 10_000
MAX_SECONDS = 60.0
_OURS = Domain("out.example")
_SUBMITTER = Submitter("Example", f"tls@{_OURS}", f"mx.{_OURS}")


def measure() -> Iterator[str]:
    """Give the line of the result."""
    with tempfile.TemporaryDirectory() as folder:
        clock, cpu = asyncio.run(_measure(Path(folder)))
    verdict = "met" if cpu <= MAX_SECONDS else "MISSED"
    yield (
        f"{DOMAINS} domains' reports made, signed and queued: {cpu:.1f} s of the CPU, "
        f"{cpu / DOMAINS * 1e6:.0f} us each; {clock:.1f} s by the clock   "
        f"at most {MAX_SECONDS:.0f} s: {verdict}"
    )


class _Names:
    """All domains want reports; our keys are published."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._keys = keys

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        text = self._keys.get(name) or f"v=TLSRPTv1; rua=mailto:tls@{name}".encode()
        return Answer(name, rdtype, Security.INSECURE, Existence.RECORDS, (text,), owner=name)


class _Day:
    """What was counted."""

    name = "queue"

    def __init__(self, day: date) -> None:
        self._day = day
        self._counts = DayCounts()
        for number in range(DOMAINS):
            self._counts.add(_make_session(f"d{number}.example"), 1 + number % 50)

    async def list_days(self) -> list[date]:
        return [self._day]

    async def load_day(self, day: date) -> DayCounts:
        del day
        return self._counts


class _Box:
    """The queue, and nobody who delivers."""

    def __init__(self, store: SqliteQueue) -> None:
        self._store = store

    def write_body(self) -> BodyWriter:
        return self._store.write_body()

    async def save(self, message: NewMessage) -> None:
        await self._store.save(message)

    def wake(self, destinations: Collection[str]) -> None:
        """Wake nobody."""


def _make_session(domain: str) -> Session:
    strings = ("version: STSv1", "mode: enforce", f"mx: mx.{domain}", "max_age: 86400")
    policy = AppliedPolicy(PolicyType.STS, domain, strings, (f"mx.{domain}",))
    failure = FailureDetails(
        "certificate-expired",
        sending_mta_ip="192.0.2.1",
        receiving_mx_hostname=f"mx.{domain}",
        receiving_ip="198.51.100.7",
        reason_code="expired",
    )
    return Session(domain, "", (Outcome(policy, is_failed=True, failures=(failure,)),))


async def _measure(folder: Path) -> tuple[float, float]:
    clock, log = SystemClock(), FakeLog()
    plan, files = KeyPlan((_OURS,), "s1"), DkimKeyFiles(folder / "dkim")
    keys = {}
    for which in plan.list_all():
        key = make_missing_key(files, which)
        assert key is not None
        keys[f"{which.selector}._domainkey.{_OURS}"] = key.record.encode()
    names = _Names(keys)
    queue = SqliteQueue(folder / "queue" / "shard-000.db", clock)
    store = SqliteOwnReports(NodeDatabase(folder / "node.db", clock))
    await queue.open()
    await store.open()
    sign = Signer(Keyring(plan, files, clock, log), clock).sign
    writer = ReportWriter(_SUBMITTER, sign, SignatureCheck(names, _OURS).find_fault)
    sending = Sending(
        ReportTools(
            store=store,
            sources=[_Day(clock.now().date() - timedelta(days=2))],
            addressing=Addressing(names),
            submitter=_SUBMITTER,
            mail=QueueCarrier(writer, _Box(queue), clock, QueueIds(clock).make),
            https=HttpsCarrier(None, clock),  # type: ignore[arg-type]  # nobody wants that
            clock=clock,
            log=log,
            random=lambda: 0.0,
            within=timedelta(),
            keep=timedelta(days=10),
        )
    )
    began, cpu = time.monotonic(), time.process_time()
    await sending.plan()
    while await sending.work():
        pass
    taken = time.monotonic() - began, time.process_time() - cpu
    count = await queue.count()
    assert count["messages"] == DOMAINS, count
    await queue.close()
    await store.close()
    return taken


def main() -> None:
    """Measure this alone."""
    for line in measure():
        print(line)


if __name__ == "__main__":
    main()
