"""Giving a roll-over up, as long as the old key is in use."""

from dataclasses import replace

from letterlock.services.certify.tending import BUSY, LEASE
from letterlock.services.certify.tools import Tools
from letterlock.services.publish.records import make_tlsa
from letterlock.storage.certificates import CertificateId, RollOverStage


async def abandon_rollover(tools: Tools, which: CertificateId) -> str | None:
    """Give a roll-over up; a text says in one line why that can't be done, BUSY: not now.

    Its record is taken away, if records are ours to change. Raises StoreUnavailable.
    """
    now = tools.clock.now()
    lease = await tools.store.claim(which, now, now + LEASE)
    if lease is None:
        return BUSY
    state, fault = lease.state, None
    rollover = state.rollover
    if rollover is None:
        fault = "no roll-over goes on"
    elif rollover.stage is RollOverStage.SWITCHED:
        fault = "the new key is in use already; begin another roll-over"
    else:
        if tools.zone.is_ours_to_change and rollover.stage is not RollOverStage.KEY_MADE:
            fault = await tools.zone.remove(which.name, make_tlsa(rollover.spki_sha256))
        state = replace(state, rollover=None)
    await tools.store.settle(lease, state)
    return fault
