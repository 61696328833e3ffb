"""Reports get to addresses as signed mail, and to servers by POST; what they say is believed."""

import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Collection
from datetime import date, timedelta
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.network.https_client import HttpsClient
from letterlock.protocols.dkim.fields import split_fields
from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.verifying import Verifier
from letterlock.protocols.smtp.envelope import Notify, TlsDemand
from letterlock.protocols.tlsrpt.destinations import HttpsDestination, MailDestination
from letterlock.protocols.tlsrpt.finding import read_file
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.mail import find_mail_header, read_mail_fields
from letterlock.protocols.tlsrpt.report import ReadReport
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy, Outcome, Session
from letterlock.services.collect.aggregate import DayCounts
from letterlock.services.discover.dkim_keys import find_dkim_keys
from letterlock.services.report.carrying import (
    HttpsCarrier,
    NotTaken,
    Outgoing,
    QueueCarrier,
    ReportWriter,
)
from letterlock.services.report.composing import DayReports, Submitter, Topic
from letterlock.services.report.program import make_program_carrier
from letterlock.services.report.signatures import TRUSTED_FOR, SignatureCheck
from letterlock.services.sign.keyring import Keyring
from letterlock.services.sign.keys import KeyPlan, make_missing_key
from letterlock.services.sign.signer import Signer
from letterlock.storage.dkim_keys import DkimKeyFiles
from letterlock.storage.ids import QueueIds
from letterlock.storage.queue import BodyWriter, NewMessage
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import START, FakeClock, FakeLog, FixtureResolver
from tests.network.certificates import issue
from tests.network.test_https_client import make as make_client
from tests.policy_host import Conduct, Ending, policy_host, respond

DAY = date(2026, 2, 28)
OURS = Domain("out.example")
SUBMITTER = Submitter("Bücher & Co", "tls@out.example", "mx.out.example")
TO = MailDestination("reports@a.example")
PLAN = KeyPlan((OURS,), "s1")
HOUR = timedelta(hours=1)


def make_report(policies: int = 1) -> Outgoing:
    counts = DayCounts()
    for number in range(policies):
        policy = AppliedPolicy(PolicyType.STS, "a.example", (f"x: {number}",), ("mx.a.example",))
        counts.add(Session("a.example", "", (Outcome(policy, is_failed=number == 0),)), 3)
    topic = Topic("a.example")
    report_id = SUBMITTER.make_report_id("queue", DAY, topic)
    octets = DayReports(DAY, counts).compose(topic, SUBMITTER, report_id)
    assert octets is not None
    return Outgoing(report_id, "a.example", DAY, octets)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dkim")
    for which in PLAN.list_all():
        make_missing_key(DkimKeyFiles(folder), which)
    return folder


class Keys:
    """Our keys, and what is published of them."""

    def __init__(self, folder: Path) -> None:
        self.resolver = FixtureResolver()
        self.clock = FakeClock()
        self.keyring = Keyring(PLAN, DkimKeyFiles(folder), self.clock, FakeLog())
        self.publish()

    def publish(self, services: str = "", flags: str = "t=s") -> None:
        """Publish all, with an `s=` if there is one."""
        for key in self.keyring.find(OURS):
            assert "t=s" in key.record
            record = key.record.replace("t=s", flags) + (f"; s={services}" if services else "")
            self.resolver.set(f"{key.selector}._domainkey.{OURS}", "TXT", record.encode())

    def withdraw(self) -> None:
        for key in self.keyring.find(OURS):
            self.resolver.set(f"{key.selector}._domainkey.{OURS}", "TXT")

    @property
    def writer(self) -> ReportWriter:
        check = SignatureCheck(self.resolver, OURS)
        return ReportWriter(SUBMITTER, Signer(self.keyring, self.clock).sign, check.find_fault)

    async def write(self, report: Outgoing | None = None) -> bytes | str:
        return await self.writer.write(report or make_report(), TO, 0, START)


async def test_the_mail_is_one_that_a_strict_reader_has_no_word_about(keys: Path) -> None:
    """RFC 8460 §5.1, §5.3; rules 194, 196, 197, 202, 203."""
    report = make_report(30)
    content = await Keys(keys).write(report)
    assert isinstance(content, bytes)
    (read,) = read_file(content)
    assert isinstance(read, ReadReport)
    assert (read.repairs, read.raw) == ((), report.octets)
    fields = read_mail_fields(find_mail_header(content))
    assert (fields.report_domain, fields.report_submitter) == ("a.example", "out.example")
    assert fields.subject is not None
    assert fields.subject.report_id == report.report_id
    for part in (
        b"From: tls@out.example\r\n", b"To: reports@a.example\r\n", b"TLS-Required: No\r\n",
        b"Auto-Submitted: auto-generated\r\n", b'filename="out.example!a.example!1772236800!17723',
        b"about mail from B?cher & Co\r\nto a.example on 2026-02-28, a day of UTC.\r\n",
        b"sts a.example: 3 of 3 sessions failed\r\n", b"\r\n...\r\n",
    ):  # fmt: skip
        assert part in content, part


async def test_each_signature_is_good_for_reports_and_covers_their_fields(keys: Path) -> None:
    """RFC 8460 §3, §5.3: TLS-Report fields are signed, l= is not there; rule 202."""
    ours = Keys(keys)
    content = await ours.write()
    assert isinstance(content, bytes)
    header, _, body = content.partition(b"\r\n\r\n")
    verifier = Verifier(header + b"\r\n", START, "tlsrpt")
    verifier.receive(body)
    results = verifier.finish(await find_dkim_keys(ours.resolver, verifier.key_names))
    assert [(each.result, each.domain, each.has_length) for each in results] == [
        (DkimResult.PASS, OURS, False)
    ] * 2
    signed = [field for name, field in split_fields(header + b"\r\n") if name == b"dkim-signature"]
    for each in signed:
        plain = b"".join(each.split()).lower()
        assert b"tls-report-domain" in plain
        assert b"tls-report-submitter" in plain


async def test_the_same_report_has_the_same_message_id_at_each_place(keys: Path) -> None:
    """So that who gets it twice can tell."""
    writer, report = Keys(keys).writer, make_report()
    later = START + timedelta(hours=3)
    mails = [await writer.write(report, TO, *when) for when in ((0, START), (0, later), (1, START))]
    ids = []
    for mail in mails:
        assert isinstance(mail, bytes)
        ids.append(mail.partition(b"\r\nMessage-ID: ")[2].partition(b"\r\n")[0])
    left, _, right = report.report_id.partition("@")
    assert ids == [f"<{left}.{number}@{right}>".encode() for number in (0, 0, 1)]


KEY_FAULTS = [
    ("email", "no key of out.example that is published is good for it"),
    ("email:other", "no key of out.example that is published is good for it"),
    ("tlsrpt", None),
    ("email:tlsrpt", None),
    ("*", None),
]


@pytest.mark.parametrize(("services", "fault"), KEY_FAULTS)
async def test_a_key_that_is_not_for_reports_is_of_no_use(
    services: str, fault: str | None, keys: Path
) -> None:
    """RFC 8460 §3, RFC 6376 §3.6.1 (s=); rule 202."""
    ours = Keys(keys)
    ours.publish(services)
    written = await ours.write()
    assert isinstance(written, bytes if fault is None else str)
    assert fault is None or str(written).startswith(fault)


@pytest.mark.parametrize("flags", ["t=y", "t=s:y"])
async def test_a_key_that_is_only_for_tests_is_of_no_use(flags: str, keys: Path) -> None:
    """RFC 6376 §3.6.1 (t=y): mail is taken as if it were not signed; rule 202."""
    ours = Keys(keys)
    ours.publish(flags=flags)
    written = await ours.write()
    assert isinstance(written, str)
    assert "s1: its key is only for tests (t=y)" in written


async def test_a_mail_that_nobody_would_read_is_not_sent(keys: Path, tmp_path: Path) -> None:
    """RFC 8460 §3: what has no valid signature must be ignored; rule 202."""
    ours = Keys(keys)
    ours.withdraw()
    assert "s1: " in str(await ours.write())
    unsigned = ReportWriter(SUBMITTER, bytes, SignatureCheck(ours.resolver, OURS).find_fault)
    assert await unsigned.write(make_report(), TO, 0, START) == (
        "nobody signs mail of out.example: see [dkim], or tlsrpt.contact"
    )
    async with queue_in(tmp_path) as store:
        carrier = QueueCarrier(unsigned, Box(store), ours.clock, QueueIds(ours.clock).make)
        assert "nobody signs" in str(await carrier.send(make_report(), TO, 0))
        assert await store.list_messages() == []


async def test_keys_are_looked_at_again_after_a_while(keys: Path) -> None:
    ours = Keys(keys)
    check = SignatureCheck(ours.resolver, OURS)
    content = await ours.write()
    assert isinstance(content, bytes)
    assert await check.find_fault(content, START) is None
    ours.withdraw()
    asked = len(ours.resolver.asked)
    assert await check.find_fault(content, START) is None
    assert len(ours.resolver.asked) == asked
    assert await check.find_fault(content, START + TRUSTED_FOR) is not None


async def test_what_cannot_stand_in_a_header_is_told() -> None:
    """RFC 8460 §7."""
    writer = ReportWriter(SUBMITTER, bytes, SignatureCheck(FixtureResolver(), OURS).find_fault)
    wrong = MailDestination("a\r\nBcc: b@x.example")
    assert "cannot stand in a header field" in str(
        await writer.write(make_report(), wrong, 0, START)
    )


class Box:
    """A queue as a worker has it: who is to be woken is noted."""

    def __init__(self, store: SqliteQueue) -> None:
        self.store = store
        self.woken: list[str] = []

    def write_body(self) -> BodyWriter:
        return self.store.write_body()

    async def save(self, message: NewMessage) -> None:
        self.message = message
        await self.store.save(message)

    def wake(self, destinations: Collection[str]) -> None:
        self.woken += destinations


@contextlib.asynccontextmanager
async def queue_in(folder: Path) -> AsyncIterator[SqliteQueue]:
    store = SqliteQueue(folder / "queue" / "shard-000.db", FakeClock())
    await store.open()
    yield store
    await store.close()


async def test_mail_is_in_the_queue_for_a_day_and_goes_in_spite_of_tls(
    keys: Path, tmp_path: Path
) -> None:
    """RFC 8460 §3, §5.3.1, §5.5; RFC 8689 §5; rules 203, 204."""
    ours = Keys(keys)
    async with queue_in(tmp_path) as store:
        box = Box(store)
        carrier = QueueCarrier(ours.writer, box, ours.clock, QueueIds(ours.clock).make)
        assert await carrier.send(make_report(), TO, 3) is None
        (message,) = await store.list_messages()
        content = b"".join([piece async for piece in store.read_body(message.queue_id)])
        envelope = box.message.envelope
    assert message.sender == "tls@out.example"
    assert message.tls_demand is TlsDemand.TLS_REQUIRED_NO
    assert message.expires - message.received == timedelta(hours=24)
    assert [each.address for each in message.recipients] == ["reports@a.example"]
    # Nobody is told that a report could not be delivered: no report about a report.
    assert envelope.recipients[0].notify == {Notify.NEVER}
    assert box.woken == ["a.example"]
    # By these it is known what failed, should it come to that (`services.report.undelivered`).
    assert message.origin["report"] == make_report().report_id
    assert message.origin["report_place"] == "3"
    assert content.startswith(b"DKIM-Signature:")


def write_program(folder: Path, text: str) -> Path:
    path = folder / "sendmail"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_a_program_gets_the_mail_and_its_envelope(keys: Path, tmp_path: Path) -> None:
    """sendmail(1): no shell is in between, an address is no option."""
    ours = Keys(keys)
    path = write_program(tmp_path, f'cd {tmp_path}; printf "%s\\n" "$@" > arguments; cat > mail')
    carrier = make_program_carrier(ours.writer, path, ours.clock)
    hostile = MailDestination("-oQ/tmp$(id)@a.example")
    assert await carrier.send(make_report(), hostile, 0) is None
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments == ["-i", "-f", "tls@out.example", "--", "-oQ/tmp$(id)@a.example"]
    mail = (tmp_path / "mail").read_bytes()
    assert b"\r" not in mail
    (read,) = read_file(mail)
    assert isinstance(read, ReadReport)
    assert read.repairs == ()


async def test_a_program_that_fails_is_told(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Keys(keys)
    failing = write_program(tmp_path, "cat > /dev/null; echo not now; exit 75")
    carrier = make_program_carrier(ours.writer, failing, ours.clock)
    assert await carrier.send(make_report(), TO, 0) == f"{failing}: ended with 75: 'not now'"
    missing = make_program_carrier(ours.writer, tmp_path / "none", ours.clock)
    assert await missing.send(make_report(), TO, 0) == f"{tmp_path}/none: No such file or directory"
    monkeypatch.setattr("letterlock.services.report.program.TIMEOUT_SECONDS", 0.05)
    endless = write_program(tmp_path, "exec tail -f /dev/null")
    hanging = make_program_carrier(ours.writer, endless, ours.clock)
    assert "did not end within" in str(await hanging.send(make_report(), TO, 0))
    unsigned = ReportWriter(SUBMITTER, bytes, SignatureCheck(ours.resolver, OURS).find_fault)
    nobody = make_program_carrier(unsigned, failing, ours.clock)
    assert "nobody signs" in str(await nobody.send(make_report(), TO, 0))


HOST = "ca.example"
TAKEN = ["200 OK", "201 Created", "202 Accepted", "204 No Content", "299 Fine"]
NOT_TAKEN = ["301 Moved", "400 Bad", "401 No", "404 Not Found", "429 Slow", "500 Oh", "503 Later"]


@pytest.mark.parametrize("status", TAKEN)
async def test_any_2xx_is_success(status: str) -> None:
    """RFC 8460 §5.4; rule 204."""
    conduct = Conduct([respond(b"", status=status, has_length=not status.startswith("204"))])
    async with policy_host(issue((HOST,)), conduct) as host:
        destination = HttpsDestination(HOST, host.port, "/v1?a=b%2Cc")
        report = make_report()
        assert await HttpsCarrier(make_client(), FakeClock()).post(report, destination) is None
        head, _, body = host.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1?a=b%2Cc HTTP/1.1"
    assert b"Content-Type: application/tlsrpt+gzip" in lines
    assert json.loads(gzip.decompress(body))["report-id"] == report.report_id
    assert gzip.decompress(body) == report.octets


@pytest.mark.parametrize("status", NOT_TAKEN)
async def test_any_other_status_is_none_and_no_redirect_is_followed(status: str) -> None:
    """RFC 8460 §5.4; tlsrpt-reporter took a 500 for success; rule 204."""
    headers = ("Location: https://elsewhere.example/",)
    conduct = Conduct([respond(b"", *headers, status=status)])
    async with policy_host(issue((HOST,)), conduct) as host:
        destination = HttpsDestination(HOST, host.port, "/")
        answer = await HttpsCarrier(make_client(), FakeClock()).post(make_report(), destination)
        assert host.connections == 1
    assert answer == NotTaken(f"{HOST}: HTTP status {status[:3]}")


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        ("503 Later", ("Retry-After: 3600",), HOUR),
        ("429 Much", ("Retry-After: Sun, 01 Mar 2026 13:00:00 GMT",), HOUR),
        ("503 Later", ("Retry-After: soon",), None),
        ("503 Later", ("Retry-After: 1", "Retry-After: 2"), None),
        ("503 Later", (), None),
        ("500 Oh", ("Retry-After: 3600",), None),
    ],
)
async def test_a_server_may_say_when_to_come_again(
    status: str, headers: tuple[str, ...], wait: timedelta | None
) -> None:
    """RFC 9110 §10.2.3."""
    async with policy_host(
        issue((HOST,)), Conduct([respond(b"", *headers, status=status)])
    ) as host:
        destination = HttpsDestination(HOST, host.port, "/")
        answer = await HttpsCarrier(make_client(), FakeClock()).post(make_report(), destination)
    assert answer == NotTaken(f"{HOST}: HTTP status {status[:3]}", wait)


MISCONDUCT = [
    Conduct([b"HELLO\r\n\r\n"]),
    Conduct([b"HTTP/1.1 20"], Ending.FIN),
    Conduct([]),
    Conduct(instead_of_tls=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
]


@pytest.mark.parametrize("conduct", MISCONDUCT)
async def test_a_receiver_that_misbehaves_has_not_taken_it(conduct: Conduct) -> None:
    """RFC 8460 §5.4."""
    async with policy_host(issue((HOST,)), conduct) as host:
        destination = HttpsDestination(HOST, host.port, "/")
        assert (
            await HttpsCarrier(make_client(), FakeClock()).post(make_report(), destination)
            is not None
        )


async def test_a_receiver_that_says_2xx_and_then_never_ends_has_taken_it() -> None:
    """RFC 8460 §5.4: what stands behind the status is of no interest."""
    endless = Conduct([b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", b"x"], Ending.SILENCE)
    async with policy_host(issue((HOST,)), endless) as host:
        destination = HttpsDestination(HOST, host.port, "/")
        assert (
            await HttpsCarrier(make_client(), FakeClock()).post(make_report(), destination) is None
        )


async def test_a_receiver_has_to_prove_its_name_and_be_outside() -> None:
    """RFC 8460 §5.4 lets us be lax, and we are not; §7: no report gets into our own network."""
    async with policy_host(issue(("other.example",))) as host:
        destination = HttpsDestination(HOST, host.port, "/")
        answer = await HttpsCarrier(make_client(), FakeClock()).post(make_report(), destination)
        assert "other.example" in str(answer)
        strict = make_client()
        strict._hosts = HttpsClient(
            FixtureResolver(), strict._contexts, strict._find_anchors, strict._clock
        )._hosts
        inside = HttpsDestination("127.0.0.1", host.port, "/")
        assert await HttpsCarrier(strict, FakeClock()).post(make_report(), inside) is not None
        assert host.requests == []
