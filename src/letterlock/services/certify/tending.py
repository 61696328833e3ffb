"""What one certificate needs now, done under its lease: a plan, a renewal, a roll-over's next step.

RFC 9773 §4.3 (asking when to renew). What was reached is kept before the next step begins, so that
whoever takes the lease after a crash goes on there.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509

from letterlock.base.clock import format_time
from letterlock.base.log import Service
from letterlock.network.acme_client import AcmeFailed
from letterlock.protocols.acme.jws import SigningKey
from letterlock.protocols.acme.renewal import (
    Failure,
    RenewalPlan,
    choose_authority,
    decide_renewal,
    is_asking_due,
    note_failure,
    plan_by_lifetime,
    plan_in_window,
    postpone_asking,
)
from letterlock.services.certify.keys import digest_key, load_key, make_key, write_key
from letterlock.services.certify.renewing import Order, Renewed, recall_facts
from letterlock.services.certify.rollover import (
    LOOK_EVERY,
    Next,
    Step,
    begin,
    find_next,
)
from letterlock.services.certify.showing import find_holdup
from letterlock.services.certify.tlsa_guard import could_match
from letterlock.services.certify.tools import Tools
from letterlock.services.publish.records import make_tlsa
from letterlock.storage.certificates import (
    CertificateId,
    CertificateLease,
    CertificateState,
    KeptPair,
    RollOver,
    RollOverStage,
)
from letterlock.storage.queue import StoreUnavailable

LEASE = timedelta(minutes=5)
"""For so long what a process was at waits for another when it was killed."""
EXTEND_SECONDS = LEASE.total_seconds() / 3
BUSY = "another process is at it; try again in a minute"
MAX_STEPS = 8
"""Of a roll-over at a time: more than there are stages, so that it never goes round in circles."""


class LeaseLost(Exception):  # noqa: N818 - not an error: somebody else goes on with the work
    """The lease ended while we worked; nothing more may be kept."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator wants beyond what is due.

    `renew`: now, whatever the plan and failures before. `roll_over`: begin with another key; with
    `key` only if the one in use has that digest. `is_forced`: whatever TLSA records say.
    """

    renew: bool = False
    roll_over: bool = False
    key: bytes | None = None
    is_forced: bool = False


NOTHING_MORE = Wish()


async def tend(
    tools: Tools, which: CertificateId, wish: Wish = NOTHING_MORE
) -> CertificateState | None:
    """Do what is due for one certificate, and what is wished; gives how it is then.

    None: another process is at it, or has taken over. Raises StoreUnavailable.
    """
    now = tools.clock.now()
    lease = await tools.store.claim(which, now, now + LEASE)
    if lease is None:
        return None
    tending = _Tending(tools, lease, wish)
    try:
        async with tending.holding():
            await tending.run()
    except LeaseLost:
        return None
    except BaseException:
        # Another may begin at once; else it would wait for the lease to end.
        await asyncio.shield(tools.store.release(lease))
        raise
    settled = await tools.store.settle(lease, tending.state)
    return tending.state if settled else None


class _Tending:
    """One certificate in hands."""

    def __init__(self, tools: Tools, lease: CertificateLease, wish: Wish) -> None:
        self.state = lease.state
        self._tools = tools
        self._lease = lease
        self._wish = wish
        self._keeping = asyncio.Lock()

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """Keep the lease from ending while there is work."""
        extending = asyncio.ensure_future(self._extend())
        try:
            yield
        finally:
            extending.cancel()
            await asyncio.wait([extending])

    async def run(self) -> None:
        await self._plan()
        if self._wish.roll_over and self.state.rollover is None and not self._is_changed():
            await self._begin_rollover(make_key(self._lease.id.key_type))
        if self.state.rollover is not None and not self._is_first_forced:
            await self._roll()
        if self.state.facts is not None or self.state.rollover is None or self._is_first_forced:
            await self._renew_if_due()
            await self._plan()

    @property
    def _is_first_forced(self) -> bool:
        """Whether a first certificate is wanted that would wait for its key's record."""
        return self.state.facts is None and self._wish.renew and self._wish.is_forced

    def _is_changed(self) -> bool:
        """Say if another process has changed the key that another is wished for."""
        facts, key = self.state.facts, self._wish.key
        return key is not None and facts is not None and facts.spki_sha256 != key

    # planning

    async def _plan(self) -> None:
        facts, before = self.state.facts, self.state.plan
        now = self._tools.clock.now()
        if facts is None or not is_asking_due(facts, before, now):
            return
        plan = before or plan_by_lifetime(facts, now, None, self._tools.chance())
        if facts.directory in self._tools.directories:
            plan = await self._ask(plan, before, now)
        else:
            plan = replace(plan, ask_again=None)
        await self._keep(replace(self.state, plan=plan))

    async def _ask(
        self, plan: RenewalPlan, before: RenewalPlan | None, now: datetime
    ) -> RenewalPlan:
        """Ask the authority that gave the certificate when to renew it."""
        facts, leaf = self.state.facts, await self._load_leaf()
        assert facts is not None
        authority = await self._tools.accounts.open(facts.directory)
        if isinstance(authority, AcmeFailed) or leaf is None:
            is_temporary = isinstance(authority, AcmeFailed) and authority.is_temporary
            return postpone_asking(plan, now, is_temporary=is_temporary)
        advice = await authority.ask_renewal(leaf)
        if isinstance(advice, AcmeFailed):
            return postpone_asking(plan, now, is_temporary=advice.is_temporary)
        chance = self._tools.chance()
        if advice is None:
            return plan_by_lifetime(facts, None, before, chance)
        return plan_in_window(advice.info, now + advice.ask_again, before, chance)

    # renewing

    async def _renew_if_due(self) -> None:
        state, tools = self.state, self._tools
        now = tools.clock.now()
        renewal = decide_renewal(state.facts, state.plan, now, revoked=state.revoked)
        if not renewal.is_due and not self._wish.renew:
            return
        choice = choose_authority(tools.directories, state.troubles, now, tools.takeover_after)
        if choice.at > now and not self._wish.renew:
            return
        if state.facts is not None:
            self._tell(f"renewing: {'as told' if self._wish.renew else renewal.why}")
        key = await self._find_key()
        if state.facts is None and not self._wish.is_forced:
            published = await tools.zone.look(self._lease.id.name)
            if not could_match(published, digest_key(key)):
                # The first key of ours for a name that senders know another key of.
                await self._begin_rollover(key)
                await self._roll()
                return
        renewed = await tools.renewer.renew(await self._make_order(key), choice.directory)
        if isinstance(renewed, Failure):
            await self._note(renewed, renewal.at)
            return
        await self._use(renewed)

    async def _use(self, renewed: Renewed) -> None:
        facts = renewed.facts
        # With a first one there is no key before it to go on from.
        rollover = self.state.rollover if self.state.facts is not None else None
        state = CertificateState(self.state.id, facts, rollover=rollover)
        await self._keep(state, pair=renewed.pair)
        self._tools.renewer.left.forget(self.state.id)
        for note in renewed.notes:
            self._tell(f"warning: {note}")
        self._tell(
            f"new certificate from {facts.issuer}, valid until {format_time(facts.not_after)}"
        )

    async def _note(self, failure: Failure, due: datetime) -> None:
        """Note a failure of what is `due` then: what was wished before is not tried earlier."""
        tools, now = self._tools, self._tools.clock.now()
        troubles = note_failure(self.state.troubles, failure, now, tools.chance())
        await self._keep(replace(self.state, troubles=troubles))
        again = choose_authority(tools.directories, troubles, now, tools.takeover_after)
        self._tell(
            f"warning: no certificate from {failure.directory}: {failure.reason}; "
            f"next try at {format_time(max(again.at, due))}"
            + (f", of {again.directory}" if again.directory != failure.directory else "")
        )

    async def _make_order(self, key: SigningKey) -> Order:
        leaf = await self._load_leaf()
        return Order(self._lease.id, key, self.state.facts, leaf, self._wish.is_forced)

    # the roll-over

    async def _begin_rollover(self, key: SigningKey) -> None:
        rollover = begin(write_key(key), digest_key(key), self._tools.clock.now())
        await self._keep(replace(self.state, rollover=rollover))
        self._tell(f"key roll-over: {rollover.note}")

    async def _roll(self) -> None:
        """Go as far as can be gone now."""
        for _ in range(MAX_STEPS):
            before = self._tools.waits.correct(self._lease.id, self.state.rollover)
            if before is None:
                return
            published = await self._tools.zone.look(self._lease.id.name)
            published = self._tools.waits.raise_ttl(self._lease.id, before, published)
            facts = self.state.facts
            step = find_next(
                before,
                published,
                facts.spki_sha256 if facts is not None else None,
                self._tools.clock.now(),
                is_ours_to_change=self._tools.zone.is_ours_to_change,
                holdup=await self._find_holdup(before),
            )
            await self._take(before, step, published.ttl)
            after = self.state.rollover
            if after is None:
                self._tell("key roll-over: done")
                return
            if (before.note, before.stage) != (after.note, after.stage):
                self._tell(f"key roll-over: {after.note}")
            if after.stage is before.stage and step.step is not Step.WITHDRAW:
                return

    async def _find_holdup(self, rollover: RollOver) -> str:
        if rollover.stage is not RollOverStage.SWITCHED:
            return ""
        watched = await self._tools.watched.list_watched_of(self._lease.id)
        return find_holdup(self.state, watched, self._tools.clock.now())

    async def _take(self, before: RollOver, step: Next, ttl: timedelta) -> None:
        name, zone = self._lease.id.name, self._tools.zone
        record = make_tlsa(before.spki_sha256)
        match step.step:
            case Step.KEEP:
                await self._enter(step.rollover)
            case Step.PUBLISH:
                await self._enter_unless(await zone.add(name, record, ttl), before, step.rollover)
            case Step.WITHDRAW:
                await self._enter_unless(await zone.remove(name, record), before, step.rollover)
            case Step.ORDER:
                await self._order_next(before, step.rollover)
            case Step.SWITCH:
                await self._switch(before, step.rollover)

    async def _enter(self, rollover: RollOver | None) -> None:
        if rollover != self.state.rollover:
            await self._keep(replace(self.state, rollover=rollover))

    async def _enter_unless(
        self, fault: str | None, before: RollOver, rollover: RollOver | None
    ) -> None:
        await self._enter(rollover if fault is None else self._postpone(before, fault))

    async def _order_next(self, before: RollOver, after: RollOver | None) -> None:
        tools, now = self._tools, self._tools.clock.now()
        choice = choose_authority(tools.directories, self.state.troubles, now, tools.takeover_after)
        if choice.at > now and not self._wish.renew:
            note = f"no authority is asked before {format_time(choice.at)}, after a failure"
            await self._enter(replace(before, ready=choice.at, note=note))
            return
        order = await self._make_order(load_key(before.key))
        renewed = await tools.renewer.renew(order, choice.directory)
        if isinstance(renewed, Failure):
            await self._note(renewed, now)
            await self._enter(self._postpone(before, renewed.reason))
            return
        state = replace(self.state, rollover=after, troubles=())
        await self._keep(state, next_pair=renewed.pair)
        tools.renewer.left.forget(self.state.id)

    async def _switch(self, before: RollOver, after: RollOver | None) -> None:
        pair = await self._tools.store.load_next_pair(self._lease.id)
        now = self._tools.clock.now()
        facts = None
        if pair is not None:
            facts = await recall_facts(
                self._tools.issued, self._lease.id, pair, self.state.facts, now
            )
        if pair is None or facts is None or decide_renewal(facts, None, now).is_due:
            # It waited for so long that it is of no use: another for the same key.
            note = "ordered once more"
            back = replace(before, stage=RollOverStage.SEEN, since=now, ready=now, note=note)
            await self._enter(back)
            return
        state = replace(self.state, facts=facts, plan=None, rollover=after, revoked=None)
        await self._keep(state, pair=pair)

    def _postpone(self, rollover: RollOver, note: str) -> RollOver:
        return replace(rollover, ready=self._tools.clock.now() + LOOK_EVERY, note=note)

    # the store

    async def _keep(
        self,
        state: CertificateState,
        *,
        pair: KeptPair | None = None,
        next_pair: KeptPair | None = None,
    ) -> None:
        store = self._tools.store
        async with self._keeping:
            if not await store.keep(self._lease, state, pair=pair, next_pair=next_pair):
                raise LeaseLost
            self.state = state

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(EXTEND_SECONDS)
            until = self._tools.clock.now() + LEASE
            # Else it could put back what is just being kept.
            try:
                async with self._keeping:
                    is_ours = await self._tools.store.keep(self._lease, self.state, until=until)
            except StoreUnavailable:
                continue  # two thirds of the lease are left to be back
            if not is_ours:
                return  # what is kept next will notice

    async def _find_key(self) -> SigningKey:
        """Give the key in use; of a first certificate the one that waits, or another one."""
        pair, rollover = await self._tools.store.load_pair(self._lease.id), self.state.rollover
        if pair is not None:
            return load_key(pair.key)
        if rollover is not None:
            return load_key(rollover.key)
        which = self._lease.id
        return self._tools.renewer.left.find_key(which) or make_key(which.key_type)

    async def _load_leaf(self) -> x509.Certificate | None:
        pair = await self._tools.store.load_pair(self._lease.id)
        return x509.load_pem_x509_certificates(pair.chain)[0] if pair is not None else None

    def _tell(self, text: str) -> None:
        self._tools.log.write(Service.CERTIFICATES, f"{self._lease.id}: {text}")
