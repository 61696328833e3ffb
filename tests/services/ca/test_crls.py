"""CRLs: signed after each revocation and in time, numbers that only grow, believed by others."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.clock import SystemClock
from letterlock.protocols.audit.decisions import CrlLogged
from letterlock.protocols.audit.records import AuditEntry, read_decision
from letterlock.protocols.pki import crl
from letterlock.protocols.pki.issuance.issuers import Issuer, Places, find_shard, make_serial
from letterlock.protocols.pki.issuance.revocation_lists import (
    CrlPeriod,
    Reason,
    Revoked,
    draft_shard,
)
from letterlock.protocols.pki.issuance.signing import Draft, KeyUnavailable
from letterlock.services.ca import crls
from letterlock.services.ca.crls import CrlError, CrlPublisher, CrlRules, CrlStore, find_ending
from letterlock.services.ca.hierarchy.chains import IssuingAuthority
from letterlock.services.ca.publications import Publications
from letterlock.services.ca.revoking import Revoker
from letterlock.services.ca.unused_serials import AFTER, revoke_unused
from letterlock.storage.ca.changes import AddRevocation, Change, PutCrl
from letterlock.storage.ca.kept import Issued, KeptCrl, ShardEntries, ShardState
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.queue import StoreUnavailable
from tests.fakes import START, FakeClock
from tests.peers import environment, program
from tests.services.ca.hierarchy.authorities import make_world
from tests.services.ca.issuing.office import DAY, WORLD, Office

RULES = CrlRules(shards=4, lifetime=7 * DAY)
HOUR = timedelta(hours=1)


class Interrupted:
    """A store in which something happens right behind a reading, once; and one that can fail."""

    def __init__(self, inner: AuthorityStore) -> None:
        self._inner = inner
        self.behind_shard: Callable[[], Awaitable[None]] | None = None
        self.fault: StoreUnavailable | None = None
        self.published: asyncio.Queue[PutCrl] = asyncio.Queue()
        self.asked = asyncio.Event()

    async def load_shard(self, issuer: bytes, shard: int) -> ShardEntries:
        found = await self._inner.load_shard(issuer, shard)
        behind, self.behind_shard = self.behind_shard, None
        if behind is not None:
            await behind()
        return found

    async def load_shard_states(self, issuer: bytes) -> tuple[ShardState, ...]:
        return await self._inner.load_shard_states(issuer)

    async def load_crl(self, issuer: bytes, shard: int) -> KeptCrl | None:
        return await self._inner.load_crl(issuer, shard)

    async def list_unused_serials(self, before: datetime, limit: int) -> Any:
        self.asked.set()
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        return await self._inner.list_unused_serials(before, limit)

    async def commit(self, steps: Sequence[Change], entries: Sequence[AuditEntry] = ()) -> bool:
        is_done = await self._inner.commit(steps, entries)
        for each in steps:
            if isinstance(each, PutCrl):
                self.published.put_nowait(each)
        return is_done


def make_publisher(
    office: Office, *more: IssuingAuthority, store: CrlStore | None = None
) -> CrlPublisher:
    authorities = (office.authority, *more)
    return CrlPublisher(store or office.kept, authorities, RULES, office.clock, office.log)


async def issue(office: Office, name: str = "mx.example") -> Issued:
    claimed = await office.add_order(name)
    await office.issuing().do(claimed)
    issued = await office.find_issued(claimed)
    assert issued is not None
    return issued


async def revoke(
    office: Office, issued: Issued, publisher: CrlPublisher, reason: Reason = Reason.SUPERSEDED
) -> None:
    revoker = Revoker(office.kept, office.clock, office.log, publisher.hurry)
    assert await revoker.revoke(issued, reason, "operator a")


async def load(office: Office, shard: int) -> x509.CertificateRevocationList:
    """Fetch a CRL as relying parties do."""
    place = office.issuer.places.crl_url(shard)
    publications = Publications(office.kept, [office.issuer.certificate])
    found = await publications.find(*place.split("/")[-2:])
    assert found is not None
    return x509.load_der_x509_crl(found.octets)


def number_of(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def find_crl_shard(issued: Issued) -> int:
    shard = find_shard(issued.certificate.name.serial)
    assert shard is not None
    return shard


async def test_each_shard_has_a_crl_from_the_start(office: Office) -> None:
    """Baseline Requirements 4.9.7: before anything is issued; an empty one has no list."""
    publisher = make_publisher(office)
    assert await publisher.publish_due() == 4
    assert await publisher.publish_due() == 0
    for shard in range(1, 5):
        crl = await load(office, shard)
        assert crl.is_signature_valid(office.issuer.key)
        assert list(crl) == []
        assert crl.next_update_utc == START + 7 * DAY


async def test_what_is_revoked_is_in_the_next_crl_of_its_shard_alone(office: Office) -> None:
    """RFC 5280 §5.2.3, §5.3.1. Rule 248"""
    publisher = make_publisher(office)
    issued = await issue(office)
    await publisher.publish_due()
    shard = find_crl_shard(issued)
    before = await load(office, shard)
    office.clock.move(HOUR)
    await revoke(office, issued, publisher, Reason.KEY_COMPROMISE)
    assert await publisher.publish_due() == 1
    after = await load(office, shard)
    (entry,) = after
    assert entry.serial_number == issued.certificate.name.serial
    assert entry.revocation_date_utc == START + HOUR
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.key_compromise
    assert number_of(after) > number_of(before)
    records = await office.kept.list_records(0, 100, kind="crl")
    logged = read_decision(records[-1].document)
    assert isinstance(logged, CrlLogged)
    assert (logged.shard, logged.entries, logged.number) == (shard, 1, number_of(after))


async def test_no_reason_is_said_by_saying_nothing(office: Office) -> None:
    """RFC 5280 §5.3.1, RFC 8555 §7.6"""
    publisher = make_publisher(office)
    issued = await issue(office)
    await revoke(office, issued, publisher, Reason.UNSPECIFIED)
    await publisher.publish_due()
    (entry,) = await load(office, find_crl_shard(issued))
    assert list(entry.extensions) == []


async def test_a_crl_is_made_anew_in_time(office: Office) -> None:
    """RFC 5280 §5.1.2.5; four days at most (Baseline Requirements 4.9.7). Rule 248"""
    publisher = make_publisher(office)
    await publisher.publish_due()
    office.clock.move(3.5 * DAY - timedelta(seconds=1))
    assert await publisher.publish_due() == 0
    office.clock.move(timedelta(seconds=1))
    assert await publisher.publish_due() == 4
    assert CrlRules(1, 10 * DAY).renewed_after < 4 * DAY
    assert CrlRules(1, HOUR).renewed_after == HOUR / 2


async def test_a_number_grows_though_the_clock_was_set_back(office: Office) -> None:
    """RFC 5280 §5.2.3"""
    publisher = make_publisher(office)
    await publisher.publish_due()
    before = number_of(await load(office, 1))
    office.clock.set_wall(START - 30 * DAY)
    assert await publisher.publish(office.authority, 1)
    assert number_of(await load(office, 1)) == before + 1


async def test_an_entry_stays_for_one_crl_behind_its_certificates_end(office: Office) -> None:
    """RFC 5280 §3.3"""
    publisher = make_publisher(office)
    issued = await issue(office)
    shard = find_crl_shard(issued)
    await revoke(office, issued, publisher)
    await publisher.publish_due()
    office.clock.move(89 * DAY)
    await publisher.publish_due()
    office.clock.move(4 * DAY)
    await publisher.publish_due()
    assert len(list(await load(office, shard))) == 1
    office.clock.move(4 * DAY)
    await publisher.publish_due()
    assert len(list(await load(office, shard))) == 0


async def test_two_processes_publish_one_and_none_with_less_in_it(office: Office) -> None:
    """Who is overtaken while he signs has an older list, which replaces nothing. Rule 248"""
    store = Interrupted(office.kept)
    publisher, other = make_publisher(office, store=store), make_publisher(office)
    issued = await issue(office)
    shard = find_crl_shard(issued)
    await publisher.publish_due()

    async def behind() -> None:
        await revoke(office, issued, other)
        assert await other.publish(office.authority, shard)

    store.behind_shard = behind
    assert not await publisher.publish(office.authority, shard)
    assert len(list(await load(office, shard))) == 1


async def test_what_is_revoked_while_a_crl_is_signed_is_published_again(office: Office) -> None:
    store = Interrupted(office.kept)
    publisher = make_publisher(office, store=store)
    issued = await issue(office)
    shard = find_crl_shard(issued)
    await publisher.publish_due()
    office.clock.move(4 * DAY)
    store.behind_shard = lambda: revoke(office, issued, publisher)
    assert await publisher.publish(office.authority, shard)
    assert list(await load(office, shard)) == []
    await publisher.publish_due()
    assert len(list(await load(office, shard))) == 1


async def test_former_keys_go_on_with_their_crls(office: Office) -> None:
    former = make_world().authority
    publisher = make_publisher(office, former)
    assert await publisher.publish_due() == 8
    assert await office.kept.load_crl(former.key_identifier, 1) is not None


async def test_a_key_that_is_away_keeps_no_other_from_its_crls(office: Office) -> None:
    former = make_world().authority
    publisher = make_publisher(office, former)

    def spoil(signature: bytes) -> bytes:
        raise KeyUnavailable(f"token hsm: DeviceRemoved, {len(signature)}")

    office.signer.spoil = spoil
    assert await publisher.publish_due() == 4
    assert any("DeviceRemoved" in each for each in office.log.texts)
    assert await office.kept.load_crl(office.authority.key_identifier, 1) is None
    office.signer.spoil = lambda signature: signature
    assert await publisher.publish_due() == 4


async def test_a_crl_that_says_something_else_is_not_published(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read as relying parties read it: without what is revoked it is worse than none."""
    publisher = make_publisher(office)
    issued = await issue(office)
    await revoke(office, issued, publisher)
    shard = find_crl_shard(issued)

    def draft_empty(issuer: Issuer, number: int, _: object, period: CrlPeriod) -> Draft:
        return draft_shard(issuer, number, (), period)

    def draft_elsewhere(issuer: Issuer, number: int, revoked: Any, period: CrlPeriod) -> Draft:
        moved = replace(issuer, places=Places("http://ca.example.org/crl/"))
        return draft_shard(moved, number, revoked, period)

    for draft, reason in (
        (draft_empty, "does not say what was revoked"),
        (draft_elsewhere, "what was signed is no good"),
    ):
        monkeypatch.setattr(crls, "draft_shard", draft)
        with pytest.raises(CrlError, match=reason):
            await publisher.publish(office.authority, shard)
    monkeypatch.setattr(crls, "draft_shard", lambda *_: 1 / 0)
    assert await publisher.publish_due() == 0
    assert any("a defect of letterlock, ZeroDivisionError" in each for each in office.log.texts)
    assert await office.kept.load_crl(office.authority.key_identifier, shard) is None


async def test_a_publisher_that_runs_publishes_soon_after_a_revocation(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when its time comes to look around: `hurry` wakes it. A database may fail meanwhile."""
    monkeypatch.setattr(crls, "GATHER_SECONDS", 0.0)
    store = Interrupted(office.kept)
    publisher = make_publisher(office, store=store)
    issued = await issue(office)
    store.fault = StoreUnavailable("disk I/O error")
    async with asyncio.timeout(60):
        task = asyncio.ensure_future(publisher.run())
        await store.asked.wait()
        publisher.hurry()
        for _ in range(4):
            await store.published.get()
        await revoke(office, issued, publisher)
        change = await store.published.get()
        task.cancel()
        await asyncio.wait([task])
    assert any("disk I/O error" in each for each in office.log.texts)
    assert change.crl.shard == find_crl_shard(issued)
    assert len(list(await load(office, change.crl.shard))) == 1


async def test_a_number_without_a_certificate_is_published_as_revoked(office: Office) -> None:
    issued = await issue(office)
    reserved = await office.kept.list_unused_serials(START + DAY, 10)
    assert reserved == ()
    office.signer.spoil = lambda signature: signature[:-1] + bytes([signature[-1] ^ 1])
    claimed = await office.add_order("b.example")
    await office.issuing().do(claimed)
    office.signer.spoil = lambda signature: signature
    office.clock.move(AFTER + timedelta(seconds=1))
    publisher = make_publisher(office)
    await revoke_unused(office.kept, office.clock, office.log)
    await publisher.publish_due()
    serial = office.signatures[1].serial
    shard = find_shard(serial)
    assert shard is not None
    assert [each.serial_number for each in await load(office, shard)] == [serial]
    assert issued.certificate.name.serial != serial


# What others say of them


def _verify(folder: Path, moment: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(program("openssl"), "verify", "-x509_strict", "-purpose", "sslserver"),
            *("-no-CApath", "-no-CAstore", "-CAfile", "root.pem", "-untrusted", "issuer.pem"),
            *("-attime", str(moment), "-crl_check", "-CRLfile", "crl.pem", "leaf.pem"),
        ],
        cwd=folder,
        env=environment("openssl"),
        capture_output=True,
        text=True,
        check=False,
    )


async def _write(folder: Path, office: Office, issued: Issued) -> None:
    crl = await load(office, find_crl_shard(issued))
    leaf = x509.load_der_x509_certificate(issued.der)
    for file, each in (
        ("root", WORLD.root.certificate),
        ("issuer", office.issuer.certificate),
        ("crl", crl),
        ("leaf", leaf),
    ):
        (folder / f"{file}.pem").write_bytes(each.public_bytes(Encoding.PEM))


@pytest.mark.peer("openssl")
async def test_openssl_believes_them(office: Office, tmp_path: Path) -> None:
    """RFC 5280 §6.3.3. 23: revoked; 12: the CRL has expired."""
    publisher = make_publisher(office)
    issued = await issue(office)
    await publisher.publish_due()
    await _write(tmp_path, office, issued)
    moment = int(office.clock.now().timestamp())
    done = _verify(tmp_path, moment)
    assert done.returncode == 0, done.stderr
    assert "error 12 at" in _verify(tmp_path, moment + 8 * 86400).stderr
    await revoke(office, issued, publisher)
    await publisher.publish_due()
    await _write(tmp_path, office, issued)
    assert "error 23 at" in _verify(tmp_path, moment).stderr


def _certtool(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [program("certtool"), *arguments],
        cwd=folder,
        env=environment("gnutls"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.peer("gnutls")
async def test_gnutls_believes_them(office: Office, tmp_path: Path) -> None:
    """It knows no other time than now, so that ours is that."""
    now = SystemClock().now()
    world = make_world(now=now)
    office = Office(office.kept, FakeClock(now), world)
    serial = make_serial(bytes(17), 1)
    entry = Revoked(serial, now, now + DAY, Reason.CESSATION_OF_OPERATION)
    await office.kept.commit([AddRevocation(office.authority.key_identifier, entry)])
    await make_publisher(office).publish_due()
    crl = await load(office, 1)
    (tmp_path / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    (tmp_path / "issuer.pem").write_bytes(world.certificate.public_bytes(Encoding.PEM))
    said = _certtool(tmp_path, "--crl-info", "--infile", "crl.pem")
    assert "Revoked certificates (1)" in said
    assert f"{serial:034x}" in said
    trusted = ("--load-ca-certificate", "issuer.pem")
    said = _certtool(tmp_path, "--verify-crl", *trusted, "--infile", "crl.pem")
    assert "Verification output: Verified" in said


def test_the_end_of_a_roots_crl_is_told_in_time() -> None:
    period = CrlPeriod(1, START, START + 365 * DAY)
    crl = KeptCrl(b"root", 1, period, 0, b"")
    assert find_ending(None, START, 30 * DAY) == "there is none"
    assert find_ending(crl, START, 30 * DAY) is None
    assert find_ending(crl, START + 335 * DAY, 30 * DAY) == "it ends on 2027-03-01"
    assert find_ending(crl, START + 365 * DAY, 30 * DAY) == "it ended on 2027-03-01"


async def test_a_list_that_is_longer_than_we_would_fetch_is_published(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others' CRLs may have is no bound for how many of ours are revoked."""
    publisher = make_publisher(office)
    issued = await issue(office)
    await revoke(office, issued, publisher)
    monkeypatch.setattr(crl, "MAX_CRL_OCTETS", 10)
    assert await publisher.publish(office.authority, find_crl_shard(issued))
