"""Reports by mail (rule 202): proved by their author's signature, kept before the mail goes on."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from letterlock.base.domains import Domain
from letterlock.protocols.dkim.results import DkimResult, SignatureResult
from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.protocols.tables.aliases import parse_aliases
from letterlock.protocols.tables.expansion import AddressTables
from letterlock.services.deliver.delivery import ClaimDelivery, Routing
from letterlock.services.deliver.local import LocalDelivery
from letterlock.services.intake.mail import (
    MAX_OCTETS,
    PATIENCE,
    MailIntake,
    Proof,
    judge_signatures,
)
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.queue.outcomes import Result
from letterlock.services.receive.redirected import Redirected, redirect
from letterlock.services.redirect.tables import FixedTables, Tables, parse_transport_file
from letterlock.services.sign.keyring import Keyring
from letterlock.services.sign.keys import KeyPlan, make_missing_key
from letterlock.services.sign.signer import Signer
from letterlock.storage.dkim_keys import DkimKeyFiles
from letterlock.storage.maildir import MaildirStore
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.received_reports import ListedReport, ReceivedReport, Standing
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.received_reports import SqliteReceived
from tests.fakes import FakeClock, FakeLog, FixtureResolver
from tests.protocols.tlsrpt.corpus import encode, make_document, make_mail
from tests.services.deliver.outbound import Outbound, sending
from tests.services.deliver.test_lmtp import lmtp

SENDER = Domain("company-x.example")
TO = "reports@example.org"
KEEP = timedelta(days=400)
NOW = datetime(2026, 4, 2, 12, tzinfo=UTC)
"""When the corpus's reports come."""
PLAN = KeyPlan((SENDER,), "s1")
HOME = LocalDirectory(
    Domain("out.example.org"),
    frozenset({Domain("example.org")}),
    frozenset({TO, "alice@example.org", "postmaster@example.org"}),
    "postmaster",
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dkim")
    for which in PLAN.list_all():
        make_missing_key(DkimKeyFiles(folder), which)
    return folder


class Broken(SqliteReceived):
    """A store whose database is away."""

    async def keep(self, reports: Sequence[ReceivedReport]) -> list[bool]:
        del reports
        raise StoreUnavailable("node.sqlite: away")


class Desk:
    """A node's delivery, and who signs at the other side."""

    def __init__(self, node: Outbound, folder: Path, keys: Path) -> None:
        self.node = node
        self.clock, self.log = FakeClock(NOW), FakeLog()
        self.resolver = FixtureResolver()
        self.store_type: type[SqliteReceived] = SqliteReceived
        self.mails = folder / "mail"
        self._folder = folder
        self._keyring = Keyring(PLAN, DkimKeyFiles(keys), self.clock, FakeLog())
        self.intake = MailIntake(
            frozenset({TO}), self.make_store, self.resolver, self.clock, self.log, KEEP
        )
        local = LocalDelivery(HOME, MaildirStore(self.mails, "mx", node.clock), node.clock)
        ways = Routing(frozenset({"example.org"}), {}, None)
        self.delivery = ClaimDelivery(ways, local, node.remote, reports=self.intake)
        self.publish()

    def make_store(self) -> SqliteReceived:
        return self.store_type(NodeDatabase(self._folder / "node.sqlite", self.clock))

    def list_keys(self) -> list[tuple[str, bytes]]:
        return [
            (f"{each.selector}._domainkey.{SENDER}", each.record.encode())
            for each in self._keyring.find(SENDER)
        ]

    def publish(self, services: bytes = b"", flags: bytes = b"t=s") -> None:
        for name, record in self.list_keys():
            self.resolver.set(name, "TXT", record.replace(b"t=s", flags) + services)

    def sign(self, mail: bytes) -> bytes:
        return Signer(self._keyring, self.clock).sign(mail)

    async def deliver(self, mail: bytes, *recipients: str) -> dict[int, tuple[Result, str]]:
        """Have it come and be delivered; gives what became of each recipient."""
        await self.node.save(*recipients or (TO,), content=mail)
        claim = replace(await self.node.claim(), received=self.clock.now())
        delivery = await self.delivery.deliver(claim, self.node.store)
        return {each.number: (each.result, each.reply) for each in delivery.outcomes}

    async def list_kept(self) -> list[ListedReport]:
        store = SqliteReceived(NodeDatabase(self._folder / "node.sqlite", self.clock))
        await store.open()
        try:
            ever = self.clock.now().date().replace(year=2000)
            return await store.list_reports(domain=None, since=ever, limit=100)
        finally:
            await store.close()

    async def only(self) -> ListedReport:
        (found,) = await self.list_kept()
        return found

    def arrived(self, name: str = "reports") -> int:
        folder = self.mails / "example.org" / name / "new"
        return len(list(folder.iterdir())) if folder.is_dir() else 0


MakeDesk = Callable[[], contextlib.AbstractAsyncContextManager[Desk]]


@pytest.fixture
def desk(tmp_path: Path, keys: Path) -> MakeDesk:
    @contextlib.asynccontextmanager
    async def make() -> AsyncIterator[Desk]:
        async with sending(tmp_path) as node:
            yield Desk(node, tmp_path, keys)

    return make


MAIL = make_mail(encode(make_document()))


async def test_a_signed_report_counts_and_the_mail_goes_on(desk: MakeDesk) -> None:
    """RFC 8460 §3, §5.3; rule 202."""
    async with desk() as node:
        assert (await node.deliver(node.sign(MAIL)))[0][0] is Result.DELIVERED
        kept = await node.only()
        assert (kept.standing, kept.submitter) == (Standing.COUNTED, str(SENDER))
        assert (kept.way.value, kept.note, node.arrived()) == ("mail", "", 1)
        (line,) = node.log.texts
        assert "from=company-x.example, day=2026-04-01, policies=1, counted" in line


async def test_one_that_came_before_is_not_kept_again(desk: MakeDesk) -> None:
    async with desk() as node:
        for _ in range(2):
            await node.deliver(node.sign(MAIL))
        assert (await node.only()).copies == 1
        assert node.arrived() == 2
        assert "kept before" in node.log.texts[-1]


@pytest.mark.parametrize(
    ("mail", "reason"),
    [
        (lambda _: MAIL, "it is not signed"),
        (lambda node: node.sign(MAIL).replace(b"A report on", b"A Report on"), "body hash did not"),
        (lambda node: b"From: a@evil.example\r\n" + node.sign(MAIL), "it has 2 authors"),
        (
            lambda node: node.sign(MAIL.replace(b"From: tlsrpt@", b"From: tlsrpt@not-")),
            "not signed",
        ),
    ],
    ids=["not signed", "changed", "two authors", "of another domain"],
)
async def test_what_is_not_proved_is_kept_and_never_counts(
    desk: MakeDesk, mail: Callable[[Desk], bytes], reason: str
) -> None:
    """RFC 8460 §3: ignored, where it comes to numbers."""
    async with desk() as node:
        assert (await node.deliver(mail(node)))[0][0] is Result.DELIVERED
        kept = await node.only()
        assert (kept.standing, kept.submitter) == (Standing.UNAUTHENTICATED, "")
        assert reason in kept.note


@pytest.mark.parametrize(
    ("services", "standing"),
    [
        (b"; s=email", Standing.UNAUTHENTICATED),
        (b"; s=tlsrpt", Standing.COUNTED),
        (b"; s=*", Standing.COUNTED),
        (b"; s=email:tlsrpt", Standing.COUNTED),
    ],
)
async def test_the_key_must_be_good_for_reports(
    desk: MakeDesk, services: bytes, standing: Standing
) -> None:
    """RFC 8460 §3: `tlsrpt` as its service type, or `*`."""
    async with desk() as node:
        node.publish(services)
        await node.deliver(node.sign(MAIL))
        assert (await node.only()).standing is standing


async def test_a_key_that_is_only_tried_proves_nothing(desk: MakeDesk) -> None:
    """RFC 6376 §3.6.1, t=y: such mail is like mail that is not signed."""
    async with desk() as node:
        node.publish(flags=b"t=y:s")
        await node.deliver(node.sign(MAIL))
        kept = await node.only()
        assert kept.standing is Standing.UNAUTHENTICATED
        assert "its key is only for tests (t=y)" in kept.note


async def test_while_its_key_cannot_be_looked_up_a_mail_waits(desk: MakeDesk) -> None:
    async with desk() as node:
        for name, _ in node.list_keys():
            node.resolver.fail(name, "TXT")
        mail = node.sign(MAIL)
        await node.node.save(TO, content=mail)
        claim = replace(await node.node.claim(), received=node.clock.now())
        (outcome,) = (await node.delivery.deliver(claim, node.node.store)).outcomes
        assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.3.0")
        assert "cannot be verified now: company-x.example: key unavailable" in outcome.reply
        assert (await node.list_kept(), node.arrived()) == ([], 0)
        claim = replace(claim, received=node.clock.now() - PATIENCE)
        (outcome,) = (await node.delivery.deliver(claim, node.node.store)).outcomes
        assert outcome.result is Result.DELIVERED
        assert (await node.only()).standing is Standing.UNAUTHENTICATED


async def test_while_the_database_is_away_reports_wait_and_other_mail_does_not(
    desk: MakeDesk,
) -> None:
    async with desk() as node:
        node.store_type = Broken
        outcomes = await node.deliver(node.sign(MAIL), TO, "alice@example.org")
        assert {result for result, _ in outcomes.values()} == {Result.DELIVERED, Result.DEFERRED}
        assert (node.arrived("alice"), node.arrived()) == (1, 0)
        (reason,) = {reply for result, reply in outcomes.values() if result is Result.DEFERRED}
        assert reason == "reports cannot be kept now: node.sqlite: away"
        outcomes = await node.deliver(b"Subject: no report\r\n\r\nhello\r\n")
        assert outcomes[0][0] is Result.DELIVERED


async def test_what_was_kept_long_enough_goes_when_the_next_one_comes(desk: MakeDesk) -> None:
    dates = {"start-datetime": "2025-06-01T00:00:00Z", "end-datetime": "2025-06-01T23:59:59Z"}
    async with desk() as node:
        await node.deliver(node.sign(make_mail(encode(make_document(**{"date-range": dates})))))
        node.clock.move(timedelta(days=92))
        assert len(await node.list_kept()) == 1
        node.clock.move(timedelta(days=36))
        await node.deliver(node.sign(MAIL))
        assert (await node.only()).day.isoformat() == "2026-04-01"


async def test_mail_without_a_report_and_for_others_goes_on_unseen(desk: MakeDesk) -> None:
    async with desk() as node:
        await node.deliver(b"Subject: hello\r\n\r\nhello\r\n")
        await node.deliver(node.sign(MAIL), "alice@example.org")
        assert (node.resolver.asked, node.log.texts) == ([], [])
        assert (node.arrived(), node.arrived("alice")) == (1, 1)
        assert node.intake.wants(Recipient("Reports@Example.ORG"))


async def test_where_an_alias_leads_reports_are_taken_too(desk: MakeDesk) -> None:
    """RFC 3461 §4.2: postmaster, for one, is mostly somebody else's mailbox (RFC 2142)."""
    aliases = parse_aliases(b"reports: alice\n", "aliases")
    tables = Tables(AddressTables("example.org", {"example.org"}.__contains__, aliases=aliases))
    found = redirect(Envelope("", (Recipient(TO),)), tables)
    assert isinstance(found, Redirected)
    (alice,) = found.envelope.recipients
    assert alice.address == "alice@example.org"
    async with desk() as node:
        await node.node.save(alice.address, content=node.sign(MAIL))
        claim = await node.node.claim()
        (item,) = claim.recipients
        claim = replace(
            claim, received=node.clock.now(), recipients=(replace(item, recipient=alice),)
        )
        await node.delivery.deliver(claim, node.node.store)
        assert (await node.only()).standing is Standing.COUNTED
        assert node.arrived("alice") == 1


@pytest.mark.parametrize(
    ("way", "result"),
    [
        ("discard:", Result.DELIVERED),
        ("lmtp:unix:/nowhere", Result.DEFERRED),
        ("smtp:[127.0.0.1]:1", Result.DEFERRED),
    ],
)
async def test_whichever_way_the_mail_goes_on_its_reports_are_taken_once(
    desk: MakeDesk, way: str, result: Result
) -> None:
    """A transport table may lead elsewhere than to a mailbox here, and that may not answer."""
    transport = parse_transport_file(f"{TO} {way}\n".encode(), "transport")
    tables = Tables(AddressTables("example.org", {"example.org"}.__contains__), transport=transport)
    async with desk() as node:
        node.delivery = dataclasses.replace(
            node.delivery,
            tables=FixedTables(tables),
            lmtp=lmtp(node.node),
        )
        await node.node.save(TO, content=node.sign(MAIL))
        claim = replace(await node.node.claim(), received=node.clock.now())
        for _ in range(2):
            (outcome,) = (await node.delivery.deliver(claim, node.node.store)).outcomes
            assert outcome.result is result
        kept = await node.only()
        assert (kept.standing, kept.copies) == (Standing.COUNTED, 0)


@pytest.mark.parametrize("orcpt", ["utf-8;reports@example.org", "rfc822;re+ZZ", "rfc822", ""])
async def test_who_was_named_first_may_be_anybody(desk: MakeDesk, orcpt: str) -> None:
    async with desk() as node:
        assert not node.intake.wants(Recipient("alice@example.org", orcpt=orcpt))


async def test_what_cannot_be_read_is_kept_with_the_reason(desk: MakeDesk) -> None:
    async with desk() as node:
        await node.deliver(node.sign(make_mail(b'{"policies": ')))
        kept = await node.only()
        assert (kept.standing, kept.submitter) == (Standing.REFUSED, str(SENDER))
        assert kept.note.startswith("not JSON: ")


async def test_a_signed_report_on_a_day_that_has_not_come_is_refused(desk: MakeDesk) -> None:
    """Anybody can sign one; it would never be old, and be the last word for years."""
    dates = {"start-datetime": "2999-01-01T00:00:00Z", "end-datetime": "2999-01-01T23:59:59Z"}
    mail = make_mail(encode(make_document(**{"date-range": dates})))
    async with desk() as made:
        assert (await made.deliver(made.sign(mail)))[0][0] is Result.DELIVERED
        found = await made.only()
        assert (found.standing, found.submitter) == (Standing.REFUSED, SENDER)
        assert found.note == "it is about 2999-01-01, a day that has not come"
        assert found.day == made.clock.now().date()


async def test_what_is_forwarded_is_signed_by_somebody_else(desk: MakeDesk) -> None:
    forwarded = (
        b"From: bob@company-x.example\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: message/rfc822\r\n\r\n" + MAIL
    )
    async with desk() as node:
        await node.deliver(node.sign(forwarded))
        kept = await node.only()
        assert (kept.standing, kept.submitter) == (Standing.UNAUTHENTICATED, str(SENDER))
        assert "forwarded" in kept.note


async def test_what_is_too_large_is_not_looked_at(desk: MakeDesk) -> None:
    async with desk() as node:
        await node.node.save(TO, content=MAIL)
        claim = replace(await node.node.claim(), size=MAX_OCTETS + 1)
        assert await node.intake.take(claim, node.node.store) is None
        assert "are too large for one" in node.log.texts[0]


GOOD = SignatureResult(DkimResult.PASS, domain="example.com")


@pytest.mark.parametrize(
    ("authors", "results", "proof"),
    [
        (["example.com"], [GOOD], Proof("example.com")),
        (["mail.example.com"], [GOOD], Proof("mail.example.com")),
        (["com"], [GOOD], Proof("", "example.com: its author is of com")),
        (["badexample.com"], [GOOD], Proof("", "example.com: its author is of badexample.com")),
        ([], [GOOD], Proof("", "it has 0 authors")),
        (["example.com", "example.com"], [GOOD], Proof("", "it has 2 authors")),
        (["example.com"], [], Proof("", "it is not signed")),
        (
            ["example.com"],
            [SignatureResult(DkimResult.FAIL, "bad"), GOOD],
            Proof("example.com"),
        ),
        (
            ["example.com"],
            [SignatureResult(DkimResult.PASS, domain="example.com", has_length=True)],
            Proof("", "example.com: it signs a part only (l=)"),
        ),
        (
            ["example.com"],
            [SignatureResult(DkimResult.TEMPERROR, "later", "example.com")],
            Proof("", "example.com: later", is_final=False),
        ),
    ],
)
def test_whose_mail_it_is(authors: list[str], results: list[SignatureResult], proof: Proof) -> None:
    """Relaxed alignment: the author's domain is the one that signs, or below it."""
    assert judge_signatures(authors, results) == proof


def test_patience_is_shorter_than_a_message_lives() -> None:
    assert timedelta(days=1) > PATIENCE
