"""Revocation: onto the list, into the log, renewed at once; and what a lost key takes along."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from letterlock.protocols.acme.requests import RevocationReason
from letterlock.protocols.acme.server.renewals import is_in_window, suggest_window
from letterlock.protocols.acme.server.revocations import (
    Revocation,
    decide_by_account,
    decide_by_key,
)
from letterlock.protocols.acme.states import OrderStatus
from letterlock.protocols.audit.decisions import RevocationLogged
from letterlock.protocols.audit.records import read_decision
from letterlock.protocols.pki.issuance.issuers import find_shard
from letterlock.protocols.pki.issuance.revocation_lists import Reason, Revoked
from letterlock.services.ca import revoking
from letterlock.services.ca.revoking import LEASE, LostKeys, Revoker
from letterlock.storage.ca.kept import Claimed, Issued, WorkKind
from letterlock.storage.queue import StoreUnavailable
from tests.services.ca.issuing.office import DAY, Office


@dataclass
class Desk:
    office: Office
    hurries: list[None] = field(default_factory=list)

    @property
    def revoker(self) -> Revoker:
        office = self.office
        return Revoker(office.kept, office.clock, office.log, lambda: self.hurries.append(None))

    async def issue(self, name: str = "mx.example") -> Issued:
        claimed = await self.office.add_order(name)
        await self.office.issuing().do(claimed)
        issued = await self.office.find_issued(claimed)
        assert issued is not None
        return issued

    async def reload(self, issued: Issued) -> Issued:
        found = await self.office.kept.load_certificate(issued.certificate.id)
        assert found is not None
        return found

    async def find_entry(self, issued: Issued) -> Revoked | None:
        name = issued.certificate.name
        shard = find_shard(name.serial)
        assert shard is not None
        found = await self.office.kept.load_shard(name.key_identifier, shard)
        return next((each for each in found.entries if each.serial == name.serial), None)

    async def decide(self, issued: Issued, reason: RevocationReason) -> Revocation:
        account = await self.office.kept.load_account(issued.certificate.account_id)
        assert account is not None
        now = self.office.clock.now()
        decided = decide_by_account(issued.certificate, account, (), reason, now)
        assert isinstance(decided, Revocation)
        return decided

    async def decide_by_key(self, issued: Issued) -> Revocation:
        now = self.office.clock.now()
        decided = decide_by_key(issued.certificate, issued.certificate.key, now, is_blocked=False)
        assert isinstance(decided, Revocation)
        return decided

    async def claim_lost(self) -> Claimed | None:
        """Claim the work for a key, as another process would."""
        now = self.office.clock.now()
        found = await self.office.kept.claim_work(WorkKind.LOST_KEY, "b", now, now + LEASE, 9)
        return found[0] if found else None

    async def find_logged(self) -> list[RevocationLogged]:
        records = await self.office.kept.list_records(0, 1000, kind="revocation")
        found = [read_decision(each.document) for each in records]
        return [each for each in found if isinstance(each, RevocationLogged)]


@pytest.fixture
def desk(office: Office) -> Desk:
    return Desk(office)


@pytest.mark.parametrize("reason", RevocationReason)
async def test_what_is_revoked_is_on_its_list_with_its_reason(
    desk: Desk, reason: RevocationReason
) -> None:
    """RFC 5280 §5.3.1, RFC 8555 §7.6"""
    issued = await desk.issue()
    desk.office.clock.move(DAY)
    assert await desk.revoker(issued, await desk.decide(issued, reason), "account a")
    certificate = issued.certificate
    now = desk.office.clock.now()
    entry = Revoked(certificate.name.serial, now, certificate.not_after, Reason(reason))
    assert await desk.find_entry(issued) == entry
    after = (await desk.reload(issued)).certificate
    assert (after.revoked, after.is_key_compromised) == (now, reason == 1)
    (logged,) = await desk.find_logged()
    assert (logged.reason, logged.by, logged.order) == (reason, "account a", certificate.order_id)
    assert len(desk.hurries) == 1


async def test_its_renewal_is_asked_for_at_once(desk: Desk) -> None:
    """RFC 9773 §4.2: the window lies in the past, and an order that replaces it is in it."""
    issued = await desk.issue()
    now = desk.office.clock.now()
    assert not is_in_window(issued.certificate, None, now)
    revocation = await desk.decide(issued, RevocationReason.SUPERSEDED)
    await desk.revoker(issued, revocation, "account a")
    after = (await desk.reload(issued)).certificate
    window = suggest_window(after, None)
    assert window.end < now
    assert is_in_window(after, None, now)


async def test_what_changed_meanwhile_is_decided_again(desk: Desk) -> None:
    issued = await desk.issue()
    revocation = await desk.decide(issued, RevocationReason.SUPERSEDED)
    assert await desk.revoker(issued, revocation, "account a")
    assert not await desk.revoker(issued, revocation, "account a")
    assert len(await desk.find_logged()) == 1
    assert len(desk.hurries) == 1


async def test_a_key_that_is_shown_takes_all_its_certificates_along(desk: Desk) -> None:
    """Baseline Requirements 4.9.1.1, 6.1.1.3; nobody gets one for it any more. Rule 249"""
    first, second = await desk.issue("a.example"), await desk.issue("b.example")
    revocation = await desk.decide_by_key(first)
    assert await desk.revoker(first, revocation, "key")
    for each in (first, second):
        entry = await desk.find_entry(each)
        assert entry is not None
        assert entry.reason is Reason.KEY_COMPROMISE
        assert (await desk.reload(each)).certificate.is_key_compromised
    assert len(await desk.find_logged()) == 2
    claimed = await desk.office.add_order("c.example")
    await desk.office.issuing().do(claimed)
    assert (await desk.office.find_order(claimed)).status is OrderStatus.INVALID


async def test_a_key_that_an_account_says_is_lost_is_not_blocked(desk: Desk) -> None:
    """Else anybody could block anybody's, with a certificate for another's key."""
    first, second = await desk.issue("a.example"), await desk.issue("b.example")
    revocation = await desk.decide(first, RevocationReason.KEY_COMPROMISE)
    await desk.revoker(first, revocation, "account a")
    assert await desk.find_entry(second) is None
    assert await desk.office.kept.find_blocked_key(first.spki_sha256) is None


async def test_worse_news_replace_a_reason_and_nothing_else_does(desk: Desk) -> None:
    """Baseline Requirements 7.2.2"""
    issued = await desk.issue()
    began = desk.office.clock.now()
    assert await desk.revoker.revoke(issued, Reason.SUPERSEDED, "operator a")
    desk.office.clock.move(DAY)
    revoked = await desk.reload(issued)
    assert await desk.revoker.revoke(revoked, Reason.CESSATION_OF_OPERATION, "operator b")
    assert len(await desk.find_logged()) == 1
    assert await desk.revoker.revoke(revoked, Reason.KEY_COMPROMISE, "operator c")
    entry = await desk.find_entry(issued)
    assert entry is not None
    assert (entry.reason, entry.at) == (Reason.KEY_COMPROMISE, began)
    worst = await desk.reload(issued)
    assert worst.certificate.revoked == began
    assert await desk.revoker.revoke(worst, Reason.KEY_COMPROMISE, "operator d")
    assert [each.by for each in await desk.find_logged()] == ["operator a", "operator c"]
    assert not await desk.revoker.revoke(revoked, Reason.KEY_COMPROMISE, "operator e")


async def test_an_operator_says_since_when_a_key_is_lost(desk: Desk) -> None:
    """RFC 5280 §5.3.2"""
    issued = await desk.issue()
    since = desk.office.clock.now() + timedelta(hours=1)
    desk.office.clock.move(DAY)
    await desk.revoker.revoke(
        issued, Reason.KEY_COMPROMISE, "operator a", since=since, blocks_key=True
    )
    entry = await desk.find_entry(issued)
    assert entry is not None
    assert entry.invalid_since == since
    assert await desk.office.kept.find_blocked_key(issued.spki_sha256) is not None


async def test_what_has_expired_stays_as_it_is_when_its_key_is_lost(desk: Desk) -> None:
    issued = await desk.issue()
    desk.office.clock.move(91 * DAY)
    assert await desk.revoker.revoke_key(issued.spki_sha256, "operator a") == 0
    assert await desk.find_entry(issued) is None


async def test_all_certificates_of_a_key_are_counted_once(desk: Desk) -> None:
    issued = [await desk.issue(f"{letter}.example") for letter in "abc"]
    revoker = desk.revoker
    await revoker.revoke(issued[0], Reason.SUPERSEDED, "operator a")
    assert await revoker.revoke_key(issued[0].spki_sha256, "operator a") == 3
    assert await revoker.revoke_key(issued[0].spki_sha256, "operator a") == 0


async def test_a_process_that_dies_leaves_no_certificate_of_a_lost_key(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Baseline Requirements 4.9.1.1: what was begun is in the store, and another goes on."""
    issued = [await desk.issue(f"{letter}.example") for letter in "abc"]
    office, revocation = desk.office, await desk.decide_by_key(issued[0])

    async def die(*_: object) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(Revoker, "revoke_key", die)
        # The client is told: its certificate is revoked, and it cannot ask for more.
        assert await desk.revoker(issued[0], revocation, "key")
    assert [(await desk.reload(each)).certificate.revoked is None for each in issued] == [
        *(False, True, True)
    ]
    claimed = await desk.claim_lost()
    assert claimed is not None
    assert await LostKeys(office.kept, desk.revoker, office.clock).do(claimed) is None
    assert {each.by for each in await desk.find_logged()} == {"key"}
    assert all([(await desk.reload(each)).certificate.is_key_compromised for each in issued])
    office.clock.move(DAY)
    assert await desk.claim_lost() is None


async def test_a_key_of_many_certificates_is_done_with_in_steps(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither who asks nor a lease waits for all of them."""
    monkeypatch.setattr(revoking, "PAGE", 2)
    issued = [await desk.issue(f"{letter}.example") for letter in "abcdefg"]
    office = desk.office
    assert await desk.revoker(issued[0], await desk.decide_by_key(issued[0]), "key")
    work = LostKeys(office.kept, desk.revoker, office.clock, at_a_time=3)
    left, dues = [], []
    while claimed := await desk.claim_lost():
        left.append(sum([not (await desk.reload(each)).certificate.revoked for each in issued]))
        dues.append(await work.do(claimed))
    assert (left, dues) == ([4, 1], [office.clock.now(), None])
    assert all([(await desk.reload(each)).certificate.is_key_compromised for each in issued])


async def test_an_operator_blocks_a_key_of_which_its_account_said_that_it_is_lost(
    desk: Desk,
) -> None:
    """Baseline Requirements 6.1.1.3: what an account says blocks none."""
    issued = await desk.issue()
    decided = await desk.decide(issued, RevocationReason.KEY_COMPROMISE)
    assert await desk.revoker(issued, decided, "account a")
    said = await desk.reload(issued)
    kept = desk.office.kept
    assert await kept.find_blocked_key(issued.spki_sha256) is None
    for _ in range(2):
        assert await desk.revoker.revoke(said, Reason.KEY_COMPROMISE, "operator a", blocks_key=True)
        assert await kept.find_blocked_key(issued.spki_sha256) is not None
    assert [each.by for each in await desk.find_logged()] == ["account a", "operator a"]
