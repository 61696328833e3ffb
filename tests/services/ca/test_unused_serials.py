"""Serial numbers that were taken and have no certificate end up on a CRL."""

from datetime import timedelta

import pytest

from letterlock.protocols.audit.decisions import RevocationLogged
from letterlock.protocols.audit.records import read_decision
from letterlock.protocols.pki.issuance.revocation_lists import Reason, Revoked
from letterlock.services.ca.unused_serials import AFTER, BY, revoke_unused
from letterlock.storage.ca import changes
from tests.services.ca.issuing.office import KilledError, Office


async def kill_behind_the_signature(office: Office) -> int:
    def before(_: int, what: str) -> None:
        if what == "signed":
            raise KilledError

    claimed = await office.add_order("mx.example")
    office.steps.before = before
    with pytest.raises(KilledError):
        await office.issuing().do(claimed)
    office.steps.before = lambda _number, _what: None
    return int(office.signatures[-1].serial)


async def test_what_may_have_been_signed_is_revoked_when_it_is_old_enough(office: Office) -> None:
    """RFC 5280 §5.3. Rule 247"""
    serial = await kill_behind_the_signature(office)
    office.clock.move(AFTER)
    assert await revoke_unused(office.kept, office.clock, office.log) == 0
    office.clock.move(timedelta(seconds=1))
    assert await revoke_unused(office.kept, office.clock, office.log) == 1
    entries = [
        each
        for shard in range(1, 5)
        for each in (await office.kept.load_shard(office.authority.key_identifier, shard)).entries
    ]
    assert [(each.serial, each.reason) for each in entries] == [(serial, Reason.UNSPECIFIED)]
    records = await office.kept.list_records(0, 100, kind="revocation")
    (logged,) = [read_decision(each.document) for each in records]
    assert isinstance(logged, RevocationLogged)
    assert logged.by == BY
    assert await revoke_unused(office.kept, office.clock, office.log) == 0


async def test_a_number_that_is_on_a_list_becomes_no_certificate_any_more(office: Office) -> None:
    """However late the process is that signed with it: the database refuses. Rule 247"""
    claimed = await office.add_order("mx.example")
    is_late = False

    async def before(_: object, __: object) -> None:
        nonlocal is_late
        if office.signatures and not is_late:
            is_late = True
            (unused,) = await office.kept.list_unused_serials(
                office.clock.now() + timedelta(seconds=1), 10
            )
            revoked = Revoked(unused.name.serial, office.clock.now(), unused.not_after)
            change = changes.AddRevocation(unused.name.key_identifier, revoked)
            assert await office.kept.commit([change])

    office.store.before = before
    await office.issuing().do(claimed)
    issued = await office.find_issued(claimed)
    assert issued is not None
    first, second = office.signatures
    assert issued.certificate.name.serial == second.serial != first.serial


async def test_two_that_do_it_at_once_revoke_once(office: Office) -> None:
    await kill_behind_the_signature(office)
    office.clock.move(2 * AFTER)
    found = await office.kept.list_unused_serials(office.clock.now(), 10)

    class Behind:
        """Sees what was there before the other did it."""

        async def list_unused_serials(self, *_: object) -> object:
            return found

        commit = office.kept.commit

    assert await revoke_unused(office.kept, office.clock, office.log) == 1
    assert await revoke_unused(Behind(), office.clock, office.log) == 0  # type: ignore[arg-type]
