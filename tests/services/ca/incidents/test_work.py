"""An enabled incident: told, replaced, revoked; over kills, and several processes."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from letterlock.protocols.incidents.serials import format_serial
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.incidents.changing import withdraw
from letterlock.services.ca.incidents.telling import Teller, list_addresses
from letterlock.services.ca.incidents.work import LEASE, IncidentRules, IncidentWork
from letterlock.storage.ca.changes import ChangeAccount, ChangeCertificate
from letterlock.storage.ca.incidents import Incident, IncidentCounts, IncidentState
from letterlock.storage.ca.kept import Issued, WorkKind
from tests.services.ca.incidents.scene import (
    HOUR,
    PLACES,
    SENDER,
    Scene,
    account_with,
)
from tests.storage.authorities import DAY, MINUTE


async def count(scene: Scene, incident: Incident) -> IncidentCounts:
    return await scene.store.count_affected(incident.id, scene.clock.now())


async def state(scene: Scene, incident: Incident) -> IncidentState:
    found = await scene.store.load_incident(incident.id)
    assert found is not None
    return found.state


async def test_each_account_gets_one_mail_with_all_of_its_certificates(scene: Scene) -> None:
    await scene.issue(1, 2, 1)
    incident = await scene.enable()
    await scene.step(scene.make_work())
    assert [recipients for _, recipients, _ in scene.mail.left] == [("a@example.org",)] * 2
    sender, _, first = scene.mail.left[0]
    assert sender == "ca@ca.example"
    for part in (b"2 certificates", b"n1.example", b"n3.example", b"account/account-1"):
        assert part in first
    assert b"n2.example" not in first
    scene.clock.move(HOUR)
    await scene.step(scene.make_work())
    assert len(scene.mail.left) == 2
    assert (await count(scene, incident)).accounts_told == 2


async def test_mail_that_cannot_be_left_is_left_later(scene: Scene) -> None:
    await scene.issue(1)
    incident = await scene.enable()
    scene.mail.fault = "no such folder"
    work = scene.make_work()
    await scene.step(work)
    assert any("no mail: no such folder" in text for text in scene.log.texts)
    assert (await count(scene, incident)).told == 0
    scene.mail.fault = None
    await scene.step(work)
    assert scene.mail.left == []
    scene.clock.move(MINUTE)
    await scene.step(work)
    assert len(scene.mail.left) == 1
    assert (await count(scene, incident)).told == 1


async def test_who_has_no_contacts_is_told_by_his_client_alone(scene: Scene) -> None:
    await scene.issue(1)
    account = await scene.store.load_account("account-1")
    assert account is not None
    bare = account_with(["https://a.example/contact"])
    assert await scene.store.commit([ChangeAccount(account, bare)])
    incident = await scene.enable()
    await scene.step(scene.make_work())
    assert scene.mail.left == []
    assert any("has no mail address" in text for text in scene.log.texts)
    counts = await count(scene, incident)
    assert (counts.told, counts.accounts_told, counts.accounts_mute) == (0, 0, 1)
    assert list_addresses(None) == ()
    assert list_addresses(account_with(["MAILTO:a@a.example", "tel:1"])) == ("a@a.example",)


async def test_what_is_replaced_is_revoked_a_while_later(scene: Scene) -> None:
    one, _ = await scene.issue(1, 2)
    incident = await scene.enable()
    work = scene.make_work(IncidentRules(after_replaced=HOUR))
    await scene.step(work)
    await scene.replace(one)
    scene.clock.move(MINUTE)
    await scene.step(work)
    counts = await count(scene, incident)
    assert (counts.replaced, counts.revoked, counts.left) == (1, 0, 2)
    assert scene.revocations == []
    scene.clock.move(HOUR)
    await scene.step(work)
    by = f"incident {incident.id}"
    assert scene.revocations == [("certificate-1", Reason.SUPERSEDED, by, False)]
    counts = await count(scene, incident)
    assert (counts.replaced, counts.revoked, counts.left) == (1, 1, 1)
    assert await state(scene, incident) is IncidentState.ENABLED


async def test_an_order_that_has_no_certificate_yet_replaces_nothing(scene: Scene) -> None:
    (one,) = await scene.issue(1)
    incident = await scene.enable()
    pending = replace(one.certificate, replaced_by="order-1")
    assert await scene.store.commit([ChangeCertificate(one.certificate, pending)])
    scene.clock.move(2 * HOUR)
    await scene.step(scene.make_work())
    assert (await count(scene, incident)).replaced == 0
    assert scene.revocations == []


async def test_at_the_deadline_all_that_is_left_is_revoked_and_the_incident_ends(
    scene: Scene,
) -> None:
    """BR 4.9.1.1; rule 254"""
    await scene.issue(1, 2, 2)
    incident = await scene.enable()
    work = scene.make_work()
    scene.clock.move(5 * DAY - MINUTE)
    await scene.step(work)
    assert scene.revocations == []
    assert await scene.store.find_next_due(WorkKind.INCIDENT) == incident.renew_by
    scene.clock.move(MINUTE)
    await scene.step(work)
    assert len(scene.revocations) == 3
    assert await state(scene, incident) is IncidentState.ENDED
    assert await scene.store.find_next_due(WorkKind.INCIDENT) is None
    assert scene.log.texts[-1] == f"incident {incident.id} has ended: 3 of 3 revoked"
    assert all(each.certificate.revoked for each in await scene.list())


async def test_a_compromised_key_gets_no_certificate_again(scene: Scene) -> None:
    await scene.issue(1)
    await scene.enable(Reason.KEY_COMPROMISE)
    scene.clock.move(5 * DAY)
    await scene.step(scene.make_work())
    ((_, reason, _, blocks_key),) = scene.revocations
    assert (reason, blocks_key) == (Reason.KEY_COMPROMISE, True)


async def test_what_its_owner_revoked_is_noted_and_not_mailed_about(scene: Scene) -> None:
    one, _ = await scene.issue(1, 1)
    incident = await scene.enable()
    revoked = replace(one.certificate, revoked=scene.clock.now())
    assert await scene.store.commit([ChangeCertificate(one.certificate, revoked)])
    await scene.step(scene.make_work())
    ((_, _, octets),) = scene.mail.left
    assert b"n1.example" not in octets
    counts = await count(scene, incident)
    assert (counts.revoked, counts.left) == (1, 1)
    assert scene.revocations == []


async def test_when_all_are_gone_before_the_deadline_it_ends(scene: Scene) -> None:
    await scene.issue(1)
    incident = await scene.enable()
    scene.clock.move(DAY)
    (issued,) = await scene.list()
    revoked = replace(issued.certificate, revoked=scene.clock.now())
    assert await scene.store.commit([ChangeCertificate(issued.certificate, revoked)])
    await scene.step(scene.make_work())
    assert await state(scene, incident) is IncidentState.ENDED


async def test_what_was_withdrawn_is_done_no_more(scene: Scene) -> None:
    await scene.issue(1)
    incident = await scene.enable()
    await withdraw(scene.store, incident.id, "me", scene.clock.now())
    scene.clock.move(5 * DAY)
    assert await scene.step(scene.make_work()) == 1
    assert scene.mail.left == []
    assert scene.revocations == []
    assert await scene.store.find_next_due(WorkKind.INCIDENT) is None


class Killed(BaseException):
    """The process is gone."""


async def test_killed_anywhere_it_is_gone_on_with(scene: Scene) -> None:
    """After each kill another process claims the work when its lease has run out."""
    await scene.issue(1, 2, 1, 2)
    incident = await scene.enable()
    scene.clock.move(5 * DAY)
    left = [0, 1, 1]

    async def revoke(issued: Issued, reason: Reason, by: str, *, blocks_key: bool = False) -> bool:
        if left and left[0] == 0:
            left.pop(0)
            raise Killed
        if left:
            left[0] -= 1
        return await scene.revoke(issued, reason, by, blocks_key=blocks_key)

    teller = Teller(scene.store, SENDER, PLACES, scene.mail, scene.clock, scene.log)
    rules = IncidentRules()
    for process in range(20):
        work = IncidentWork(scene.store, teller, revoke, rules, scene.clock, scene.log)
        with suppress(BaseExceptionGroup):
            await scene.step(work, f"process-{process}")
        scene.clock.move(LEASE)
    assert left == []
    assert all(each.certificate.revoked for each in await scene.list())
    assert (await count(scene, incident)).revoked == 4
    assert await state(scene, incident) is IncidentState.ENDED
    assert len(scene.mail.left) == 2


async def test_two_processes_do_not_do_the_same(scene: Scene) -> None:
    await scene.issue(1, 2)
    await scene.enable()
    one, other = scene.make_work(), scene.make_work()
    await asyncio.gather(scene.step(one, "one"), scene.step(other, "other"))
    assert len(scene.mail.left) == 2


async def test_a_certificate_that_changes_meanwhile_is_looked_at_again(scene: Scene) -> None:
    await scene.issue(1)
    incident = await scene.enable()
    scene.clock.move(5 * DAY)
    scene.is_refusing = True
    work = scene.make_work()
    await scene.step(work)
    assert await state(scene, incident) is IncidentState.ENABLED
    scene.is_refusing = False
    scene.clock.move(MINUTE)
    await scene.step(work)
    assert await state(scene, incident) is IncidentState.ENDED


async def test_one_that_cannot_be_revoked_does_not_keep_the_others_from_it(scene: Scene) -> None:
    issued = await scene.issue(1, 2, 2)
    incident = await scene.enable()
    scene.clock.move(5 * DAY)
    scene.breaks_at = issued[0].certificate.id
    work = scene.make_work()
    await scene.step(work)
    assert len(scene.revocations) == 2
    assert await state(scene, incident) is IncidentState.ENABLED
    serial = format_serial(issued[0].certificate.name.serial)
    assert (
        f"error: incident {incident.id}: certificate {serial} was not settled: "
        "a defect of letterlock, ValueError: of no shard of ours"
    ) in scene.log.texts
    scene.breaks_at = None
    scene.clock.move(MINUTE)
    await scene.step(work)
    assert await state(scene, incident) is IncidentState.ENDED


async def test_without_mail_nobody_is_mailed_and_the_rest_is_done(scene: Scene) -> None:
    await scene.issue(1)
    incident = await scene.enable()
    scene.clock.move(5 * DAY)
    await scene.step(scene.make_work(has_mail=False))
    assert await state(scene, incident) is IncidentState.ENDED
    assert (await count(scene, incident)).told == 0


async def test_what_has_ended_by_itself_is_left_alone(scene: Scene) -> None:
    await scene.issue(1)
    incident = await scene.enable()
    scene.clock.move(timedelta(days=90))
    await scene.step(scene.make_work())
    assert scene.revocations == []
    assert await state(scene, incident) is IncidentState.ENDED


async def test_many_accounts_are_told_in_steps(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("letterlock.services.ca.incidents.work.MAX_TOLD", 1)
    await scene.issue(1, 2)
    await scene.enable()
    assert await scene.step(scene.make_work()) == 3
    assert len(scene.mail.left) == 2


async def test_many_certificates_are_revoked_in_steps(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("letterlock.services.ca.incidents.work.PAGE", 2)
    monkeypatch.setattr("letterlock.services.ca.incidents.work.STEP", timedelta(minutes=1))
    await scene.issue(1, 1, 1, 2, 2)
    incident = await scene.enable()
    scene.clock.move(5 * DAY)
    # Each revocation takes most of a minute: a step has two pages of two.
    scene.revoking_takes = timedelta(seconds=25)
    assert await scene.step(scene.make_work()) == 2
    assert await state(scene, incident) is IncidentState.ENDED
