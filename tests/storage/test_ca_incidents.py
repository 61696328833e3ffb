"""Incidents, what they affect, and the audit's own notes, on both engines."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.protocols.acme.states import OrderStatus
from letterlock.protocols.audit.heads import sign_head
from letterlock.protocols.audit.records import Head
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.protocols.pki.issuance.signing import KeySigner
from letterlock.storage.ca.audits import AddHead, AuditProgress, ChangeProgress
from letterlock.storage.ca.changes import (
    AddAccount,
    AddAuthorization,
    AddCertificate,
    AddOrder,
    AddSerial,
    Change,
    ChangeCertificate,
    ChangeOrder,
)
from letterlock.storage.ca.incidents import (
    AddAffected,
    AddIncident,
    Affected,
    ChangeAffected,
    ChangeIncident,
    Incident,
    IncidentCounts,
    IncidentState,
    MarkTold,
)
from letterlock.storage.ca.store import AuthorityStore
from tests.fakes import START
from tests.storage.authorities import (
    DAY,
    KEYS,
    MINUTE,
    make_account,
    make_authorization,
    make_issued,
    make_order,
    reserve,
)

INCIDENT = Incident(
    id="20260301-abcd",
    state=IncidentState.COLLECTING,
    why="CAA was looked up for one name of each order",
    page="https://ca.example/incidents/20260301-abcd",
    renew_by=START + 5 * DAY,
    reason=Reason.SUPERSEDED,
    chosen="missing caa",
    created=START,
    who="postmaster",
)
LATER = START + MINUTE


async def issue(store: AuthorityStore, count: int = 4) -> list[Affected]:
    """Keep certificates 1 to `count`: the first two of one account, the others of another."""
    accounts = [make_account(f"account-{at}", KEYS[at]) for at in (1, 2)]
    changes: list[Change] = [AddAccount(each) for each in accounts]
    for number in range(1, count + 1):
        owner = accounts[0] if number <= 2 else accounts[1]
        authorization = make_authorization(f"authz-{number}", account_id=owner.id)
        order = make_order(f"order-{number}", authorization, account_id=owner.id)
        issued = make_issued(number, order_id=order.id, account_id=owner.id)
        changes += [AddAuthorization(authorization), AddOrder(order)]
        changes += [AddSerial(reserve(number, order.id)), AddCertificate(issued)]
    assert await store.commit(changes)
    listed = await store.list_certificates(0, count)
    return [
        Affected(
            INCIDENT.id,
            each.number,
            each.issued.certificate.name,
            each.issued.certificate.account_id,
            each.issued.certificate.not_after,
        )
        for each in listed
    ]


async def collect(store: AuthorityStore, affected: Sequence[Affected]) -> None:
    assert await store.commit([AddIncident(INCIDENT), AddAffected(INCIDENT.id, tuple(affected))])


async def test_an_incident_is_kept_and_changed_as_it_was_read(authority: AuthorityStore) -> None:
    assert await authority.commit([AddIncident(INCIDENT)])
    assert not await authority.commit([AddIncident(replace(INCIDENT, why="other"))])
    assert await authority.load_incident(INCIDENT.id) == INCIDENT
    assert await authority.load_incident("other") is None
    ready = replace(INCIDENT, state=IncidentState.READY)
    assert await authority.commit([ChangeIncident(INCIDENT, ready)])
    assert not await authority.commit([ChangeIncident(INCIDENT, ready)])
    assert not await authority.commit([ChangeIncident(replace(ready, id="other"), ready)])
    newer = replace(INCIDENT, id="20260302-abcd", created=LATER)
    assert await authority.commit([AddIncident(newer)])
    assert await authority.list_incidents() == (newer, ready)


async def test_what_is_affected_is_listed_by_pages(authority: AuthorityStore) -> None:
    affected = await issue(authority)
    await collect(authority, affected)
    found = await authority.list_affected(INCIDENT.id, 0, 3)
    assert found == tuple(affected[:3])
    assert await authority.list_affected(INCIDENT.id, found[-1].number, 3) == (affected[3],)
    assert await authority.list_affected("other", 0, 3) == ()


async def test_what_is_added_again_stays_as_it_was(authority: AuthorityStore) -> None:
    """Who was killed while he collected begins anew."""
    affected = await issue(authority)
    await collect(authority, affected[:2])
    assert await authority.commit([MarkTold(INCIDENT.id, "account-1", LATER)])
    assert await authority.commit([AddAffected(INCIDENT.id, tuple(affected))])
    found = await authority.list_affected(INCIDENT.id, 0, 10)
    assert [each.told for each in found] == [LATER, LATER, None, None]


async def test_nothing_is_added_to_what_is_complete(authority: AuthorityStore) -> None:
    affected = await issue(authority)
    await collect(authority, affected[:2])
    ready = replace(INCIDENT, state=IncidentState.READY)
    assert await authority.commit([ChangeIncident(INCIDENT, ready)])
    assert not await authority.commit([AddAffected(INCIDENT.id, tuple(affected))])
    assert not await authority.commit([AddAffected("other", tuple(affected))])
    assert len(await authority.list_affected(INCIDENT.id, 0, 10)) == 2


async def test_a_certificate_knows_its_incidents(authority: AuthorityStore) -> None:
    affected = await issue(authority)
    await collect(authority, affected[:2])
    newer = replace(INCIDENT, id="20260302-abcd", created=LATER)
    row = replace(affected[0], incident_id=newer.id)
    assert await authority.commit([AddIncident(newer), AddAffected(newer.id, (row,))])
    assert await authority.find_incidents_of(affected[0].name) == (INCIDENT, newer)
    assert await authority.find_incidents_of(affected[1].name) == (INCIDENT,)
    assert await authority.find_incidents_of(affected[2].name) == ()
    other_issuer = replace(affected[0].name, key_identifier=b"other")
    assert await authority.find_incidents_of(other_issuer) == ()


async def test_accounts_are_told_once(authority: AuthorityStore) -> None:
    await collect(authority, await issue(authority))
    assert await authority.find_untold_account(INCIDENT.id) == "account-1"
    untold = await authority.list_untold(INCIDENT.id, "account-1", 0, 1)
    (rest,) = await authority.list_untold(INCIDENT.id, "account-1", untold[0].affected.number, 9)
    assert [each.certificate.id for each in (*untold, rest)] == ["certificate-1", "certificate-2"]
    assert await authority.commit([MarkTold(INCIDENT.id, "account-1", LATER)])
    assert await authority.list_untold(INCIDENT.id, "account-1", 0, 9) == ()
    assert await authority.find_untold_account(INCIDENT.id) == "account-2"
    assert await authority.commit([MarkTold(INCIDENT.id, "account-2", LATER)])
    assert await authority.find_untold_account(INCIDENT.id) is None
    # Who is told again was told when he was told first.
    assert await authority.commit([MarkTold(INCIDENT.id, "account-2", LATER + MINUTE)])
    assert {each.told for each in await authority.list_affected(INCIDENT.id, 0, 9)} == {LATER}


async def test_what_is_left_stands_with_its_certificate(authority: AuthorityStore) -> None:
    affected = await issue(authority)
    await collect(authority, affected)
    found = await authority.list_standing(INCIDENT.id, START, 0, 9)
    assert [each.affected for each in found] == affected
    assert [each.certificate.id for each in found] == [f"certificate-{at}" for at in range(1, 5)]
    assert await authority.list_changed(INCIDENT.id, START, START, 0, 9) == ()
    assert await authority.list_standing(INCIDENT.id, START + 90 * DAY, 0, 9) == ()
    noted = replace(affected[0], revoked=LATER)
    assert await authority.commit([ChangeAffected(affected[0], noted)])
    left = await authority.list_standing(INCIDENT.id, START, 0, 2)
    assert [each.affected for each in left] == affected[1:3]


@pytest.mark.parametrize("is_issued", [True, False])
async def test_replaced_is_what_has_its_replacement(
    authority: AuthorityStore, *, is_issued: bool
) -> None:
    affected = await issue(authority)
    await collect(authority, affected)
    first, _, third, fourth = [each.issued for each in await authority.list_certificates(0, 9)]
    replaced = replace(first.certificate, replaced_by="order-2")
    revoked = replace(third.certificate, revoked=LATER)
    pending = replace(fourth.certificate, replaced_by="order-3")
    assert await authority.commit(
        [
            ChangeCertificate(first.certificate, replaced),
            ChangeCertificate(third.certificate, revoked),
            ChangeCertificate(fourth.certificate, pending),
        ]
    )
    order = await authority.load_order("order-2")
    assert order is not None
    if is_issued:
        valid = replace(order.order, status=OrderStatus.VALID)
        assert await authority.commit([ChangeOrder(order.order, valid)])
    found = await authority.list_changed(INCIDENT.id, START, START, 0, 9)
    assert [(each.certificate, each.is_replaced) for each in found] == [
        (replaced, is_issued),
        (revoked, False),
        (pending, False),
    ]
    # What is noted waits until it is due.
    noted = replace(affected[0], replaced=LATER)
    assert await authority.commit([ChangeAffected(affected[0], noted)])
    waiting = await authority.list_changed(INCIDENT.id, START, START, 0, 9)
    assert [each.certificate for each in waiting] == [revoked, pending]
    assert len(await authority.list_changed(INCIDENT.id, LATER, LATER, 0, 9)) == 3
    assert await authority.list_changed(INCIDENT.id, START + 90 * DAY, LATER, 0, 9) == ()


async def test_how_it_stands_is_noted_once(authority: AuthorityStore) -> None:
    affected = await issue(authority)
    await collect(authority, affected)
    noted = replace(affected[0], replaced=LATER)
    assert await authority.commit([MarkTold(INCIDENT.id, "account-1", LATER)])
    # That its account was told meanwhile is no reason not to note it.
    assert await authority.commit([ChangeAffected(affected[0], noted)])
    assert not await authority.commit([ChangeAffected(affected[0], noted)])
    elsewhere = replace(noted, number=99)
    assert not await authority.commit(
        [ChangeAffected(elsewhere, replace(elsewhere, revoked=LATER))]
    )
    kept = (await authority.list_affected(INCIDENT.id, 0, 1))[0]
    assert kept == replace(noted, told=LATER, is_mailed=True)
    with pytest.raises(ValueError, match="only when"):
        await authority.commit([ChangeAffected(noted, replace(noted, account_id="other"))])


async def test_all_are_counted(authority: AuthorityStore) -> None:
    affected = await issue(authority)
    await collect(authority, affected)
    zero = IncidentCounts(4, 0, 0, 0, 0, 4, 2, 0)
    assert await authority.count_affected(INCIDENT.id, START) == zero
    both = replace(affected[0], replaced=LATER, revoked=LATER)
    one = replace(affected[2], revoked=LATER)
    assert await authority.commit(
        [
            MarkTold(INCIDENT.id, "account-1", LATER),
            ChangeAffected(affected[0], both),
            ChangeAffected(affected[2], one),
        ]
    )
    counts = IncidentCounts(4, 2, 1, 2, 0, 2, 2, 1)
    assert await authority.count_affected(INCIDENT.id, START) == counts
    assert await authority.commit([MarkTold(INCIDENT.id, "account-2", LATER, is_mailed=False)])
    assert await authority.find_untold_account(INCIDENT.id) is None
    counts = replace(counts, accounts_mute=1)
    assert await authority.count_affected(INCIDENT.id, START) == counts
    ended = replace(counts, expired=2, left=0)
    assert await authority.count_affected(INCIDENT.id, START + 90 * DAY) == ended
    nothing = IncidentCounts(0, 0, 0, 0, 0, 0, 0, 0)
    assert await authority.count_affected("other", START) == nothing


async def test_an_audit_goes_on_where_it_was(authority: AuthorityStore) -> None:
    begun = await authority.load_progress("certificates")
    assert begun == AuditProgress("certificates")
    further = replace(begun, position=5, round=1, began=START, checked=5)
    assert await authority.commit([ChangeProgress(begun, further)])
    assert not await authority.commit([ChangeProgress(begun, further)])
    assert await authority.load_progress("certificates") == further
    assert await authority.load_progress("other") == AuditProgress("other")
    with pytest.raises(ValueError, match="another"):
        await authority.commit([ChangeProgress(begun, AuditProgress("other"))])


async def test_signed_heads_are_kept(authority: AuthorityStore) -> None:
    assert await authority.load_last_signed_head() is None
    signer = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    heads = [sign_head(Head(number, bytes(32)), LATER, signer) for number in (3, 5, 9)]
    assert await authority.commit([AddHead(each) for each in heads])
    assert await authority.load_last_signed_head() == heads[-1]
    assert await authority.list_signed_heads(0, 2) == tuple(heads[:2])
    assert await authority.list_signed_heads(5, 2) == (heads[2],)
    assert await authority.commit([AddHead(sign_head(Head(9, b"x" * 32), LATER, signer))])
    assert await authority.load_last_signed_head() == heads[-1]
