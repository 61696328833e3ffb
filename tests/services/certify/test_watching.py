"""Certificates in use are looked at, and what is not as it should be is told, or mended."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from itertools import count

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from letterlock.network.http_exchange import HttpBounds, HttpRequest, HttpResponse
from letterlock.protocols.dns.answers import CaaRecord, TlsaRecord
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.certify import watching
from letterlock.services.certify.overview import PATIENCE, Wanted, list_problems, make_overview
from letterlock.services.certify.revocation import RevocationFinder
from letterlock.services.certify.served import OwnServers
from letterlock.services.certify.tending import tend
from letterlock.services.certify.watching import (
    AGAIN,
    EVERY,
    Watching,
    WatchTools,
    find_next_look,
    join_findings,
)
from letterlock.storage.certificates import CertificateId, CertificateState
from letterlock.storage.issued import KEPT_AFTER_END, IssuedCertificate
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.watched import SqliteWatched
from letterlock.storage.watched import Look, Watched, WatchFinding
from tests.acme_server import FakeAcmeServer
from tests.fakes import START
from tests.revocations import URL, make_crl, make_point
from tests.services.certify.scene import ID, NAME, Scene, making_scene

MINUTE = timedelta(minutes=1)
SEEN = Watched("one", ID, 3, START, START + EVERY)


@dataclass(frozen=True, slots=True)
class FakeServers(OwnServers):
    """Shows what the store has, or what `fault` says."""

    seen: list[tuple[CertificateId, set[KeyType]]] = field(default_factory=list)
    faults: dict[CertificateId, str] = field(default_factory=dict)

    async def find_difference(
        self, which: CertificateId, stored: Mapping[KeyType, bytes]
    ) -> str | None:
        self.seen.append((which, set(stored)))
        return self.faults.get(which)


@dataclass
class FakeAsker:
    """Gives a CRL. `status` 404: there is none."""

    body: bytes = b""
    status: int = 200
    error: Exception | None = None

    async def ask(self, request: HttpRequest, bounds: HttpBounds) -> HttpResponse:
        assert (request.host, bounds.max_body_octets > 0) == ("crl.example", True)
        if self.error is not None:
            raise self.error
        return HttpResponse(self.status, (), self.body)


@dataclass
class Looking:
    """A scene, and what looks at its certificates."""

    scene: Scene
    store: SqliteWatched
    servers: FakeServers
    asker: FakeAsker
    kept_after_end: timedelta = KEPT_AFTER_END
    told: list[str] = field(default_factory=list)
    unexported: str | None = None

    async def find_unexported(self, which: CertificateId) -> str | None:
        assert which == ID
        return self.unexported

    def watching(self, *wanted: CertificateId) -> Watching:
        """Be a process."""
        clock = self.scene.clock
        revocations = RevocationFinder({}, self.asker, clock)
        watch = WatchTools(
            "one", self.store, revocations, self.servers, self.find_unexported, self.kept_after_end
        )
        return Watching(
            self.scene.tools(), watch, wanted or (ID,), lambda: self.told.append("look")
        )

    async def look(self) -> Watched:
        """Look as a process does that has just begun."""
        await self.watching().look_around()
        (watched,) = await self.store.list_watched("one")
        return watched

    async def problems(self) -> list[str]:
        """Give what an operator is told without DNS."""
        state = await self.scene.store.load(ID)
        assert state is not None
        wanted = Wanted((ID,), self.scene.directories, 5, is_dns_ours=True)
        watched = await self.store.list_found()
        now = self.scene.clock.now()
        return list_problems(make_overview(state, wanted, now, watched=watched), now)


@pytest_asyncio.fixture
async def looking() -> AsyncIterator[Looking]:
    async with making_scene() as scene:
        scene.server.answer = lambda certificate: with_crl(scene.server, certificate)
        asker = FakeAsker(make_crl(scene.server._roots["Root"]))
        yield Looking(
            scene,
            SqliteWatched(scene.database),
            FakeServers((), (), frozenset(), (), NAME),
            asker,
        )


def with_crl(server: FakeAcmeServer, made: x509.Certificate) -> x509.Certificate:
    """Give the same certificate, with the place of its CRL."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(made.subject)
        .issuer_name(made.issuer)
        .public_key(made.public_key())
        .serial_number(made.serial_number)
        .not_valid_before(made.not_valid_before_utc)
        .not_valid_after(made.not_valid_after_utc)
        .add_extension(x509.CRLDistributionPoints([make_point(URL)]), critical=False)
    )
    for extension in made.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(server._roots["Root"].issued.key, hashes.SHA256())


def revoke(looking: Looking, serial: str) -> None:
    root = looking.scene.server._roots["Root"]
    entry = {int(serial, 16): x509.ReasonFlags.key_compromise}
    looking.asker.body = make_crl(root, entry, now=looking.scene.clock.now())


async def test_what_is_as_it_should_be_is_looked_at_once_a_day(looking: Looking) -> None:
    await looking.scene.obtain()
    watched = await looking.look()
    assert watched.findings == ()
    assert await looking.problems() == []
    assert looking.scene.clock.now() + EVERY * 3 / 4 <= watched.again
    assert watched.again <= looking.scene.clock.now() + EVERY
    await looking.look()
    assert len(looking.servers.seen) == 1
    looking.scene.clock.move(EVERY)
    await looking.look()
    assert len(looking.servers.seen) == 2


async def test_one_that_was_revoked_is_renewed_without_anybody_acting(looking: Looking) -> None:
    """RFC 5280 §4.2.1.13. The reason is told, since what is to be done may hang on it."""
    facts = await looking.scene.obtain()
    revoke(looking, facts.serial)
    await looking.look()
    assert looking.told == ["look"]
    assert looking.scene.said("revoked by its authority at 2026-03-01 12:00 UTC (keyCompromise)")
    assert await looking.problems() == ["revoked; seen at 2026-03-01T12:00:01Z"]
    (issued,) = await looking.scene.issued.find_issued(facts.serial)
    assert issued.revoked == looking.scene.clock.now()
    state = await looking.scene.tend()
    assert state.facts is not None
    assert state.facts.serial != facts.serial
    assert state.revoked is None
    assert (await looking.look()).version == 2
    assert await looking.problems() == []


async def test_a_revocation_is_told_once(looking: Looking) -> None:
    facts = await looking.scene.obtain()
    revoke(looking, facts.serial)
    await looking.look()
    looking.scene.clock.move(EVERY)
    revoke(looking, facts.serial)
    await looking.look()
    assert looking.told == ["look"]
    assert len([text for text in looking.scene.log.texts if "revoked by" in text]) == 1


async def test_one_that_is_being_renewed_is_not_marked(looking: Looking) -> None:
    facts = await looking.scene.obtain()
    revoke(looking, facts.serial)
    now = looking.scene.clock.now()
    lease = await looking.scene.store.claim(ID, now, now + MINUTE)
    assert lease is not None
    assert [each.look for each in (await looking.look()).findings] == [Look.REVOKED]
    assert looking.told == []
    state = await looking.scene.store.load(ID)
    assert state is not None
    assert state.revoked is None
    await looking.scene.store.release(lease)
    assert (await looking.look()).findings == ()
    assert looking.told == ["look"]


async def test_a_crl_that_stays_away_is_a_problem_after_two_days(looking: Looking) -> None:
    await looking.scene.obtain()
    looking.asker.status = 404
    watched = await looking.look()
    assert [each.look for each in watched.findings] == [Look.REVOCATION]
    assert await looking.problems() == []
    assert not looking.scene.said("not known whether it is revoked")
    looking.scene.clock.move(PATIENCE[Look.REVOCATION])
    await looking.look()
    assert await looking.problems() == [f"not known whether it is revoked: {URL}: HTTP status 404"]
    for _ in range(2):
        looking.scene.clock.move(2 * AGAIN)
        await looking.look()
    assert len([text for text in looking.scene.log.texts if "not known whether" in text]) == 1
    looking.asker.status = 200
    looking.scene.clock.move(2 * AGAIN)
    assert (await looking.look()).findings == ()
    assert await looking.problems() == []


async def test_what_caa_forbids_by_now_is_told_and_not_renewed(looking: Looking) -> None:
    """RFC 8659 §1, §3."""
    looking.scene.server.meta["caaIdentities"] = ["ca.example"]
    facts = await looking.scene.obtain()
    resolver = looking.scene.resolver
    resolver.set(NAME, "CAA", CaaRecord(0, b"issue", b"other.example"))
    await looking.look()
    (problem,) = await looking.problems()
    assert problem.startswith("its renewal would be refused by CAA: ")
    assert "publish instead" in problem
    state = await looking.scene.tend()
    assert state.facts == facts
    resolver.set(NAME, "CAA", CaaRecord(0, b"issue", b"ca.example"))
    looking.scene.clock.move(2 * AGAIN)
    await looking.look()
    assert await looking.problems() == []


async def test_an_authority_that_is_not_asked_any_more_is_not_looked_at(looking: Looking) -> None:
    await looking.scene.obtain()
    looking.scene.server.meta["caaIdentities"] = ["ca.example"]
    looking.scene.resolver.set(NAME, "CAA", CaaRecord(0, b"issue", b"other.example"))
    looking.scene.directories[:] = ["https://ca.example/directory?other"]
    assert (await looking.look()).findings == ()


async def test_an_authority_that_is_away_forbids_nothing(looking: Looking) -> None:
    await looking.scene.obtain()
    looking.scene.forget_process()
    looking.scene.server.replies["directory"] = [HttpResponse(503, ())] * 3
    assert (await looking.look()).findings == ()


async def test_a_key_that_no_tlsa_record_matches_is_told(looking: Looking) -> None:
    """RFC 7672 §3.1."""
    facts = await looking.scene.obtain()
    looking.scene.zone.records = {TlsaRecord(3, 1, 1, sha256(b"another").digest())}
    await looking.look()
    (problem,) = await looking.problems()
    assert problem.startswith(f"no TLSA record at _25._tcp.{NAME} matches it")
    looking.scene.zone.records.add(TlsaRecord(3, 1, 1, facts.spki_sha256))
    looking.scene.clock.move(2 * AGAIN)
    await looking.look()
    assert await looking.problems() == []


async def test_another_certificate_may_be_shown_for_a_while(looking: Looking) -> None:
    """Workers with the new one take the place of the others within minutes."""
    await looking.scene.obtain()
    looking.servers.faults[ID] = "127.0.0.1:25: another certificate is shown"
    watched = await looking.look()
    assert [each.look for each in watched.findings] == [Look.SERVED]
    assert await looking.problems() == []
    assert PATIENCE[Look.SERVED] < AGAIN <= watched.again - watched.looked
    looking.scene.clock.move(2 * AGAIN)
    await looking.look()
    assert await looking.problems() == ["one: 127.0.0.1:25: another certificate is shown"]
    assert looking.scene.said("warning: 127.0.0.1:25: another certificate is shown")


async def test_other_programs_may_be_told_later_and_not_never(looking: Looking) -> None:
    await looking.scene.obtain()
    looking.unexported = "its export to /x: the hook failed"
    await looking.look()
    assert await looking.problems() == []
    looking.scene.clock.move(2 * AGAIN)
    await looking.look()
    assert await looking.problems() == [looking.unexported]
    assert looking.scene.said("warning: its export to /x: the hook failed")


async def test_a_renewal_is_looked_at_soon_and_anew(looking: Looking) -> None:
    """What was seen of the one before says nothing of it."""
    await looking.scene.obtain()
    looking.servers.faults[ID] = "127.0.0.1:25: another certificate is shown"
    await looking.look()
    looking.scene.clock.move(timedelta(days=80))
    revoke(looking, "1")
    await looking.scene.tend()
    assert await looking.problems() == []
    watched = await looking.look()
    assert [each.since for each in watched.findings] == [looking.scene.clock.now()]
    assert await looking.problems() == []


async def test_leaves_of_both_types_of_key_are_compared(looking: Looking) -> None:
    rsa = CertificateId(NAME, KeyType.RSA)
    await looking.scene.obtain()
    assert await tend(looking.scene.tools(), rsa) is not None
    await looking.watching(ID, rsa).look_around()
    both = {KeyType.ECDSA, KeyType.RSA}
    assert sorted(looking.servers.seen) == [(ID, both), (rsa, both)]


async def test_what_is_not_wanted_or_not_there_is_not_looked_at(looking: Looking) -> None:
    await looking.scene.obtain()
    other = CertificateId("other.example.org", KeyType.ECDSA)
    lease = await looking.scene.store.claim(other, START, START)
    assert lease is not None
    await looking.watching(other).look_around()
    assert await looking.store.list_watched("one") == []


async def test_a_defect_is_told_and_does_not_end_the_watching(looking: Looking) -> None:
    await looking.scene.obtain()
    looking.asker.error = ZeroDivisionError("oh")
    await looking.watching().look_around()
    assert looking.scene.said(f"{ID}: error: a defect of letterlock, ZeroDivisionError: oh")
    looking.asker.error = StoreUnavailable("disk")
    process = looking.watching()
    await process.look_around()
    await process.look_around()
    assert looking.scene.log.texts.count("warning: certificates cannot be watched: disk") == 2
    looking.asker.error = None
    assert (await looking.look()).findings == ()


async def test_a_store_that_is_away_is_told_once(looking: Looking) -> None:
    await looking.scene.obtain()
    await looking.scene.database.close()
    process = looking.watching()
    for _ in range(2):
        await process.look_around()
    assert len([text for text in looking.scene.log.texts if "cannot be watched" in text]) == 1
    await looking.scene.database.open()


async def test_what_ended_long_ago_is_forgotten(looking: Looking) -> None:
    facts = await looking.scene.obtain()
    gone = replace(SEEN, id=CertificateId("gone.example.org", KeyType.ECDSA))
    await looking.store.note(gone)
    old = IssuedCertificate("1", ID, "d", START, START - KEPT_AFTER_END - MINUTE, b"old")
    await looking.scene.issued.add_issued(old)
    looking.scene.clock.move(timedelta(days=4))
    await looking.look()
    found = await looking.scene.issued.list_issued_for(ID)
    assert [each.serial for each in found] == [facts.serial]
    assert [each.id for each in await looking.store.list_watched("one")] == [ID]
    process = looking.watching()
    await process.look_around()
    await looking.scene.issued.add_issued(old)
    await process.look_around()
    assert len(await looking.scene.issued.list_issued_for(ID)) == 2


async def test_what_says_how_old_a_key_is_is_remembered(looking: Looking) -> None:
    await looking.scene.obtain()
    old = IssuedCertificate("1", ID, "d", START, START - KEPT_AFTER_END - MINUTE, b"old")
    await looking.scene.issued.add_issued(old)
    looking.kept_after_end = 2 * KEPT_AFTER_END
    await looking.look()
    assert len(await looking.scene.issued.list_issued_for(ID)) == 2


async def test_it_goes_on_until_it_is_cancelled(
    looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "START_SECONDS", 0.0)
    await looking.scene.obtain()
    running = asyncio.ensure_future(looking.watching().run())
    async with asyncio.timeout(60):
        for _ in count():
            if await looking.store.list_watched("one"):
                break
            await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_a_clock_that_was_wrong_does_not_end_the_watching() -> None:
    state = CertificateState(ID, version=3)
    assert find_next_look(state, SEEN, START) == START + EVERY
    far = replace(SEEN, again=START + timedelta(days=400))
    assert find_next_look(state, far, START) == START
    finding = WatchFinding(Look.CAA, START + timedelta(days=400), "forbidden")
    joined = join_findings(replace(SEEN, findings=(finding,)), {Look.CAA: "so"}, 3, START)
    assert joined == (WatchFinding(Look.CAA, START, "so"),)
