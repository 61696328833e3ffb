"""1,000 sessions of 20 kinds: what was decided, reported, read and added up there again agrees.

RFC 8460 §4.2-4.5. What is expected stands in the table, by hand. Real connections of these kinds
are in tests/services/deliver/test_tally.py, and beside a Postfix in tests/interop.
"""

import random
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.policy.facts import MtaStsFacts, Published, TlsaFacts, TlsaStatus
from letterlock.protocols.policy.requirement import (
    DaneDemand,
    HostUnusable,
    Level,
    MtaStsDemand,
    Requirement,
    Source,
)
from letterlock.protocols.policy.session_results import Place, count_session, count_unusable
from letterlock.protocols.policy.verdict import Outcome, Verdict
from letterlock.protocols.tlsrpt.destinations import MailDestination
from letterlock.protocols.tlsrpt.finding import read_file
from letterlock.protocols.tlsrpt.findings import Finding, PolicyType
from letterlock.protocols.tlsrpt.report import ReadReport, Report
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.protocols.tlsrpt.sessions import Session
from letterlock.services.collect.aggregate import DayCounts
from letterlock.services.intake.keeping import importing
from letterlock.services.intake.summary import summarize
from letterlock.services.report.carrying import Outgoing, ReportWriter
from letterlock.services.report.composing import DayReports, Submitter, Topic
from letterlock.storage.queue import RecipientResult, RecipientState, Settlement
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.queue import SqliteQueue
from letterlock.storage.sqlite.received_reports import SqliteReceived
from letterlock.storage.sqlite.tls_sessions import load_day
from tests.fakes import START, FakeClock
from tests.storage.messages import Mail

SESSIONS = 1000
DOMAIN, HOST = Domain("a.example"), "mx.a.example"
SUBMITTER = Submitter("Out", "tls@out.example", "mx.out.example")
STS, TLSA, NONE = "sts", "tlsa", "no-policy-found"

RECORDS = (TlsaRecord(3, 1, 1, bytes(32)),)
POLICY = MtaStsPolicy(MtaStsMode.ENFORCE, (HOST,), timedelta(days=1))
FACTS = MtaStsFacts(DOMAIN, policy=POLICY, policy_text=f"version: STSv1\nmx: {HOST}\n")
WITH_STS = Published(mta_sts=FACTS)
WITH_TLSA = Published(tlsa=TlsaFacts(TlsaStatus.USABLE, Domain(HOST), RECORDS))
WITH_BOTH = Published(tlsa=WITH_TLSA.tlsa, mta_sts=FACTS)
WITHOUT_POLICY = Published(mta_sts=MtaStsFacts(DOMAIN))

DEMAND = MtaStsDemand(DOMAIN, MtaStsMode.ENFORCE, (HOST,))
DANE = DaneDemand(RECORDS, (HOST,))
MAY = Requirement(Level.MAY, Source.DEFAULT, "", HOST)
HELD_STS = Requirement(Level.VERIFY, Source.MTA_STS, "", HOST, mta_sts=DEMAND)
HELD_TLSA = Requirement(Level.DANE, Source.DANE, "", HOST, dane=DANE)
HELD_BOTH = Requirement(Level.DANE, Source.DANE, "", HOST, dane=DANE, mta_sts=DEMAND)


def fault(kind: ResultType, reason: str, policy: PolicyType | None = None) -> Finding:
    return Finding(kind, reason, "", policy_type=policy)


NO_TLS = fault(ResultType.STARTTLS_NOT_SUPPORTED, "starttls-not-offered")
BROKEN = fault(ResultType.VALIDATION_FAILURE, "tls-alert-40")
EXPIRED = fault(ResultType.CERTIFICATE_EXPIRED, "expired", PolicyType.STS)
MISMATCH = fault(ResultType.CERTIFICATE_HOST_MISMATCH, "name-mismatch", PolicyType.STS)
UNTRUSTED = fault(ResultType.CERTIFICATE_NOT_TRUSTED, "unknown-issuer", PolicyType.STS)
UNLISTED = fault(ResultType.VALIDATION_FAILURE, "mtasts-policy-mx-mismatch", PolicyType.STS)
CACHED = fault(ResultType.STS_POLICY_FETCH_ERROR, "fallback-to-cached-policy", PolicyType.STS)
GONE = fault(ResultType.STS_POLICY_FETCH_ERROR, "no-policy", PolicyType.STS)
INVALID = fault(ResultType.STS_POLICY_INVALID, "no-policy", PolicyType.STS)
WEBPKI = fault(ResultType.STS_WEBPKI_INVALID, "no-policy", PolicyType.STS)
NO_MATCH = fault(ResultType.VALIDATION_FAILURE, "dane-no-match", PolicyType.TLSA)
UNUSABLE = fault(ResultType.TLSA_INVALID, "all-unusable-records", PolicyType.TLSA)
BOGUS = fault(ResultType.DNSSEC_INVALID, "tlsa-lookup-failed", PolicyType.TLSA)
LACKING = fault(ResultType.DANE_REQUIRED, "no-secure-tlsa-records", PolicyType.TLSA)


@dataclass(frozen=True)
class Kind:
    """A kind of session, and what it is to count as: policy type, failed, names of failures."""

    decision: Requirement | HostUnusable
    published: Published
    findings: tuple[Finding, ...]
    expected: tuple[tuple[str, bool, tuple[str, ...]], ...]
    is_secured: bool = True
    may_send: bool = True

    def make(self, number: int) -> Session:
        """Make one; addresses differ."""
        place = Place(HOST, f"192.0.2.{number % 4}", "198.51.100.1")
        if isinstance(self.decision, HostUnusable):
            found = count_unusable(DOMAIN, self.decision, self.published, HOST)
        else:
            outcome = Outcome.ENCRYPTED if self.may_send else Outcome.DEFER
            verdict = Verdict(outcome, None, "", "", self.findings)
            secured = self.is_secured
            found = count_session(
                DOMAIN, self.decision, self.published, verdict, place, is_secured=secured
            )
        assert found is not None
        return found


def unusable(source: Source, finding: Finding) -> HostUnusable:
    return HostUnusable(source, "", (finding,))


def refused(*findings: Finding, held: Requirement = HELD_STS, published: Published = WITH_STS) -> (
    tuple[Requirement, Published, tuple[Finding, ...]]
):  # fmt: skip
    return held, published, findings


KINDS = (
    Kind(MAY, Published(), (), ((NONE, False, ()),)),
    Kind(MAY, Published(), (NO_TLS,), ((NONE, True, ("starttls-not-supported",)),),
         is_secured=False),
    Kind(MAY, Published(), (BROKEN,), ((NONE, True, ("validation-failure",)),),
         is_secured=False, may_send=False),
    Kind(HELD_STS, WITH_STS, (), ((STS, False, ()),)),
    Kind(*refused(EXPIRED), ((STS, True, ("certificate-expired",)),), may_send=False),
    Kind(*refused(MISMATCH), ((STS, True, ("certificate-host-mismatch",)),), may_send=False),
    Kind(*refused(UNTRUSTED), ((STS, True, ("certificate-not-trusted",)),)),
    Kind(*refused(EXPIRED, MISMATCH),
         ((STS, True, ("certificate-expired", "certificate-host-mismatch")),), may_send=False),
    Kind(*refused(NO_TLS), ((STS, True, ("starttls-not-supported",)),),
         is_secured=False, may_send=False),
    Kind(*refused(CACHED), ((STS, False, ("sts-policy-fetch-error",)),)),
    Kind(unusable(Source.MTA_STS, UNLISTED), WITH_STS, (), ((STS, True, ("validation-failure",)),)),
    Kind(Requirement(Level.MAY, Source.DEFAULT, "", HOST, findings=(GONE,)), WITHOUT_POLICY,
         (GONE,), ((STS, True, ("sts-policy-fetch-error",)),)),
    Kind(Requirement(Level.MAY, Source.DEFAULT, "", HOST, findings=(INVALID,)), WITHOUT_POLICY,
         (INVALID,), ((STS, True, ("sts-policy-invalid",)),)),
    Kind(Requirement(Level.MAY, Source.DEFAULT, "", HOST, findings=(WEBPKI,)), WITHOUT_POLICY,
         (WEBPKI,), ((STS, True, ("sts-webpki-invalid",)),)),
    Kind(HELD_TLSA, WITH_TLSA, (), ((TLSA, False, ()),)),
    Kind(HELD_TLSA, WITH_TLSA, (NO_MATCH,), ((TLSA, True, ("validation-failure",)),),
         may_send=False),
    Kind(Requirement(Level.ENCRYPT, Source.DANE, "", HOST, findings=(UNUSABLE,)), WITH_TLSA,
         (UNUSABLE,), ((TLSA, True, ("tlsa-invalid",)),)),
    Kind(unusable(Source.DANE, BOGUS), Published(), (), ((TLSA, True, ("dnssec-invalid",)),)),
    Kind(unusable(Source.DANE, LACKING), Published(), (), ((TLSA, True, ("dane-required",)),)),
    Kind(HELD_BOTH, WITH_BOTH, (EXPIRED,),
         ((STS, True, ("certificate-expired",)), (TLSA, False, ())), may_send=False),
)  # fmt: skip


Totals = dict[str, tuple[int, int, dict[str, int]]]
"""By policy type: sessions that were good, that failed, and failures by their names."""


def expect(kinds: list[Kind]) -> Totals:
    good, bad, names = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for kind in kinds:
        for policy, is_failed, failures in kind.expected:
            (bad if is_failed else good)[policy] += 1
            names.update((policy, each) for each in failures)
    return {
        policy: (good[policy], bad[policy], {n: c for (p, n), c in names.items() if p == policy})
        for policy in (STS, TLSA, NONE)
    }


def total(report: Report) -> Totals:
    """Add up what a report says, by policy type: several texts of a policy are several entries."""
    found: Totals = {STS: (0, 0, {}), TLSA: (0, 0, {}), NONE: (0, 0, {})}
    for each in report.policies:
        good, bad, names = found[each.type or ""]
        assert each.successful is not None
        assert each.failed is not None
        for failure in each.failures:
            assert failure.result_type is not None
            names[failure.result_type] = names.get(failure.result_type, 0) + (failure.count or 0)
        found[each.type or ""] = good + each.successful, bad + each.failed, names
    return found


async def store(folder: Path, sessions: list[Session]) -> Path:
    """Settle mails, each with some sessions."""
    clock = FakeClock()
    path = folder / "queue" / "shard-000.db"
    queue = SqliteQueue(path, clock)
    await queue.open()
    mail = Mail(queue, clock)
    while sessions:
        await mail.save()
        claim = await mail.claim_one()
        some, sessions = sessions[:7], sessions[7:]
        done = RecipientResult(
            claim.recipients[0].number, RecipientState.DELIVERED, "2.0.0", "250 fine"
        )
        settlement = Settlement(claim, (done,), settled=clock.now(), sessions=tuple(some))
        assert await queue.settle(settlement)
    await queue.close()
    return path


async def test_what_is_read_of_the_report_is_what_happened(tmp_path: Path) -> None:
    """Rules 84, 184, 186 and 200."""
    assert len(KINDS) == 20
    kinds = [*KINDS, *random.Random(8460).choices(KINDS, k=SESSIONS - len(KINDS))]
    path = await store(tmp_path, [kind.make(number) for number, kind in enumerate(kinds)])
    day, counts = START.date(), DayCounts()
    for each in await load_day(path, day):
        counts.add(each.session, each.count)
    assert counts.sessions == SESSIONS
    topic = Topic(DOMAIN)
    report_id = SUBMITTER.make_report_id("queue", day, topic)
    octets = DayReports(day, counts).compose(topic, SUBMITTER, report_id)
    assert octets is not None

    async def take(content: bytes, now: object) -> None:
        del content, now

    writer = ReportWriter(SUBMITTER, bytes, take)
    mail = await writer.write(
        Outgoing(report_id, DOMAIN, day, octets), MailDestination("tls@a.example"), 0, START
    )
    assert isinstance(mail, bytes)
    (read,) = read_file(mail)
    assert isinstance(read, ReadReport)
    assert read.repairs == ()
    assert total(read.report) == expect(kinds)
    assert await add_up_received(tmp_path / "receiver.sqlite", mail) == expect(kinds)


async def add_up_received(path: Path, mail: bytes) -> Totals:
    """Keep a report at the other side; gives what its summaries say."""
    store = SqliteReceived(NodeDatabase(path, FakeClock()))
    async with importing(store, FakeClock(), timedelta(days=400)) as work:
        await work.add("mail", mail)
        assert not work.counts.refused
    await store.open()
    since, until = START.date(), START.date() + timedelta(days=1)
    found: Totals = {STS: (0, 0, {}), TLSA: (0, 0, {}), NONE: (0, 0, {})}
    for domain in await store.list_domains(since):
        results = await store.list_results(domain.domain, since, until)
        summary = summarize(domain.domain, results, (), since, until)
        for kind, sessions in summary.totals.items():
            assert sessions.unknown == 0
            good, bad, names = found[kind]
            found[kind] = good + sessions.successful, bad + sessions.failed, names
        for each in summary.failures:
            names = found[each.kind.type][2]
            names[each.kind.result_type] = names.get(each.kind.result_type, 0) + each.count
    await store.close()
    return found
