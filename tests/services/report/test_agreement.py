"""1,000 sessions of 20 kinds: what the sender counted, reported, and the receiver was told agrees.

RFC 8460 §4.2-4.5, §5.3. What is expected stands in a table, by hand (`real_sessions`). Each kind is
a real connection to a real host; counts, report, signed mail and the receiver's store are the real
ones. Beside a Postfix the same is compared in tests/interop.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest

from letterlock.base.config.load import load_config
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.node.report_sources import make_sources, make_submitter
from letterlock.protocols.tlsrpt.finding import read_file
from letterlock.protocols.tlsrpt.report import PolicyResult, ReadReport
from letterlock.protocols.tlsrpt.sessions import Session
from letterlock.services.intake.mail import MailIntake
from letterlock.services.intake.summary import Summary, summarize
from letterlock.services.report.addressing import Addressing
from letterlock.services.report.carrying import HttpsCarrier, QueueCarrier, ReportWriter
from letterlock.services.report.sending import ReportTools, Sending
from letterlock.services.report.signatures import SignatureCheck
from letterlock.services.sign.keyring import Keyring
from letterlock.services.sign.keys import KeyPlan, make_missing_key
from letterlock.services.sign.signer import Signer
from letterlock.storage.dkim_keys import DkimKeyFiles
from letterlock.storage.ids import QueueIds
from letterlock.storage.queue import (
    BodyWriter,
    Claim,
    NewMessage,
    RecipientResult,
    RecipientState,
    Settlement,
)
from letterlock.storage.received_reports import Standing
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.own_reports import SqliteOwnReports
from letterlock.storage.sqlite.queue import SqliteQueue
from letterlock.storage.sqlite.received_reports import SqliteReceived
from tests.fakes import START, FakeClock, FakeLog, FixtureResolver
from tests.services.deliver.outbound import DOMAIN
from tests.services.report.real_sessions import KINDS, NONE, STS, TLSA, Kind
from tests.storage.messages import Mail

SESSIONS = 1000
OURS = Domain("out.example")
REPORTS = f"reports@{DOMAIN}"
SETTINGS = f"""\
hostname = "mx.{OURS}"
domains = ["{OURS}"]
contact = "postmaster@{OURS}"
data_dir = "data"
"""

Totals = dict[str, tuple[int, int, dict[str, int]]]
"""By policy type: sessions that were good, that failed, and failures by their names."""


def expect(kinds: Sequence[Kind]) -> Totals:
    good, bad, names = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for kind in kinds:
        for policy, is_failed, failures in kind.expected:
            (bad if is_failed else good)[policy] += 1
            names.update((policy, each) for each in failures)
    return {
        policy: (good[policy], bad[policy], {n: c for (p, n), c in names.items() if p == policy})
        for policy in (STS, TLSA, NONE)
    }


def total(policies: Sequence[PolicyResult]) -> Totals:
    """Add up what is told by policy type: several texts of a policy are several entries."""
    found = expect(())
    for each in policies:
        good, bad, names = found[each.type or ""]
        assert each.successful is not None
        assert each.failed is not None
        for failure in each.failures:
            assert failure.result_type is not None
            names[failure.result_type] = names.get(failure.result_type, 0) + (failure.count or 0)
        found[each.type or ""] = good + each.successful, bad + each.failed, names
    return found


def total_of_summaries(summaries: Sequence[Summary]) -> Totals:
    found = expect(())
    for summary in summaries:
        for kind, sessions in summary.totals.items():
            assert sessions.unknown == 0
            good, bad, names = found[kind]
            found[kind] = good + sessions.successful, bad + sessions.failed, names
        for each in summary.failures:
            names = found[each.kind.type][2]
            names[each.kind.result_type] = names.get(each.kind.result_type, 0) + each.count
    return found


class Sender:
    """A node that sends: its queue, which counts, and what reports are signed with."""

    def __init__(self, folder: Path) -> None:
        (folder / "letterlock.toml").write_text(SETTINGS)
        self.config: Config = load_config(folder / "letterlock.toml")
        self.clock = FakeClock()
        self.resolver = FixtureResolver()
        self.queue = SqliteQueue(self.config.queue_dir / "shard-000.db", self.clock)
        self._plan, self._keys = KeyPlan((OURS,), "s1"), DkimKeyFiles(folder / "dkim")
        for which in self._plan.list_all():
            key = make_missing_key(self._keys, which)
            assert key is not None
            self.resolver.set(f"{which.selector}._domainkey.{OURS}", "TXT", key.record.encode())
        self.resolver.set(
            f"_smtp._tls.{DOMAIN}", "TXT", f"v=TLSRPTv1; rua=mailto:{REPORTS}".encode()
        )

    async def settle(self, sessions: Sequence[Session]) -> None:
        """Settle mails, each with some of the sessions."""
        mail = Mail(self.queue, self.clock)
        for at in range(0, len(sessions), 7):
            await mail.save()
            claim = await mail.claim_one()
            number = claim.recipients[0].number
            done = RecipientResult(number, RecipientState.DELIVERED, "2.0.0", "250 fine")
            some = tuple(sessions[at : at + 7])
            settlement = Settlement(claim, (done,), settled=self.clock.now(), sessions=some)
            assert await self.queue.settle(settlement)

    async def count(self, day: date) -> Totals:
        """Add up what it counted on a day."""
        (source,) = make_sources(self.config)
        assert await source.list_days() == [day]
        counts = await source.load_day(day)
        assert counts.sessions == SESSIONS
        return total([each for results in counts.list_results() for each in results.policies])

    async def report(self) -> Claim:
        """Send what is left of days that are over; gives the mail as its queue would send it."""
        store = SqliteOwnReports(NodeDatabase(self.config.node_database, self.clock))
        await store.open()
        submitter = make_submitter(self.config)
        keyring = Keyring(self._plan, self._keys, self.clock, FakeLog())
        check = SignatureCheck(self.resolver, submitter.domain)
        writer = ReportWriter(submitter, Signer(keyring, self.clock).sign, check.find_fault)
        tools = ReportTools(
            store=store,
            sources=make_sources(self.config),
            addressing=Addressing(self.resolver),
            submitter=submitter,
            mail=QueueCarrier(writer, Box(self.queue), self.clock, QueueIds(self.clock).make),
            https=HttpsCarrier(None, self.clock),  # type: ignore[arg-type]  # nobody wants that
            clock=self.clock,
            log=FakeLog(),
            random=lambda: 0.0,
            within=timedelta(hours=4),
            keep=timedelta(days=10),
        )
        sending = Sending(tools)
        await sending.plan()
        while await sending.work():
            pass
        await store.close()
        return await Mail(self.queue, self.clock).claim_one()


class Box:
    """The queue, and nobody who delivers."""

    def __init__(self, queue: SqliteQueue) -> None:
        self._queue = queue

    def write_body(self) -> BodyWriter:
        return self._queue.write_body()

    async def save(self, message: NewMessage) -> None:
        await self._queue.save(message)

    def wake(self, destinations: Collection[str]) -> None:
        assert destinations == (DOMAIN,)


async def receive(path: Path, sender: Sender, claim: Claim, day: date) -> Totals:
    """Take the mail in at the other side; gives what its summaries say."""

    def make_store() -> SqliteReceived:
        return SqliteReceived(NodeDatabase(path, sender.clock))

    keep = timedelta(days=400)
    intake = MailIntake(
        frozenset({REPORTS}), make_store, sender.resolver, sender.clock, FakeLog(), keep
    )
    assert await intake.take(claim, sender.queue) is None
    store = make_store()
    await store.open()
    (kept,) = await store.list_reports(domain=None, since=day, limit=10)
    assert (kept.standing, kept.submitter, kept.day) == (Standing.COUNTED, OURS, day)
    end = day + timedelta(days=1)
    summaries = [
        summarize(each.domain, await store.list_results(each.domain, day, end), (), day, end)
        for each in await store.list_domains(day)
    ]
    await store.close()
    return total_of_summaries(summaries)


async def claim_agreement(folder: Path, kinds: Sequence[Kind], sessions: Sequence[Session]) -> None:
    """Claim that both ends say what the table has."""
    sender, day = Sender(folder), START.date()
    await sender.queue.open()
    await sender.settle(sessions)
    expected = expect(kinds)
    assert await sender.count(day) == expected
    sender.clock.move(timedelta(days=1))
    claim = await sender.report()
    mail = b"".join([piece async for piece in sender.queue.read_body(claim.queue_id)])
    (read,) = read_file(mail)
    assert isinstance(read, ReadReport)
    assert read.repairs == ()
    assert total(read.report.policies) == expected
    assert await receive(folder / "receiver.sqlite", sender, claim, day) == expected
    await sender.queue.close()


def choose() -> Iterator[Kind]:
    """Choose a kind for each session: all of them, and then some more often than others."""
    yield from KINDS
    yield from random.Random(8460).choices(KINDS, k=SESSIONS - len(KINDS))


async def test_both_ends_of_1000_sessions_of_20_kinds_agree(tmp_path: Path) -> None:
    """Rules 84, 184, 186 and 200. Each kind is connected once, and counted as often as chosen."""
    assert len(KINDS) == 20
    made = {kind: await kind.make(tmp_path / f"kind{at}") for at, kind in enumerate(KINDS)}
    kinds = list(choose())
    sessions = [session for kind in kinds for session in made[kind]]
    assert len(sessions) == SESSIONS
    await claim_agreement(tmp_path, kinds, sessions)


@pytest.mark.proof
async def test_both_ends_of_1000_connections_agree(tmp_path: Path) -> None:
    """Rules 84, 184, 186 and 200. Each session is a connection of its own."""
    kinds = list(choose())
    sessions = [
        session
        for at, kind in enumerate(kinds)
        for session in await kind.make(tmp_path / f"connection{at}")
    ]
    assert len(sessions) == SESSIONS
    await claim_agreement(tmp_path, kinds, sessions)
