"""An authority's store with certificates of two accounts, and what an incident works with."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.states import OrderStatus
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.incidents.changing import NewIncident, create, enable
from letterlock.services.ca.incidents.choosing import Chosen
from letterlock.services.ca.incidents.telling import Sender, Teller
from letterlock.services.ca.incidents.work import LEASE, IncidentRules, IncidentWork
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
from letterlock.storage.ca.incidents import Incident
from letterlock.storage.ca.kept import Claimed, Issued, WorkKind
from letterlock.storage.ca.store import AuthorityStore
from tests.fakes import FakeClock, FakeLog
from tests.storage.authorities import (
    DAY,
    KEYS,
    make_account,
    make_authorization,
    make_issued,
    make_order,
    reserve,
)

PLACES = Places("https://ca.example")
SENDER = Sender("Example CA", "ca@ca.example", "ca.example")
HOUR = timedelta(hours=1)


@dataclass
class FakeMail:
    """Keeps what was left; with a `fault` nothing can be."""

    left: list[tuple[str, tuple[str, ...], bytes]] = field(default_factory=list)
    fault: str | None = None

    async def __call__(self, sender: str, recipients: Sequence[str], octets: bytes) -> str | None:
        if self.fault is None:
            self.left.append((sender, tuple(recipients), octets))
        return self.fault


class Scene:
    """What a test of incidents works with."""

    def __init__(self, store: AuthorityStore, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.log = FakeLog()
        self.mail = FakeMail()
        self.revocations: list[tuple[str, Reason, str, bool]] = []
        self.is_refusing = False
        self.breaks_at: str | None = None
        """The id of a certificate whose revocation raises what nobody expects."""
        self.revoking_takes = timedelta()

    async def issue(self, *owners: int) -> list[Issued]:
        """Issue a certificate for each owner, account 1 or 2."""
        accounts = [make_account(f"account-{at}", KEYS[at]) for at in sorted(set(owners))]
        changes: list[Change] = [AddAccount(each) for each in accounts]
        for number, owner in enumerate(owners, 1):
            account_id = f"account-{owner}"
            name = f"n{number}.example"
            authorization = make_authorization(f"authz-{number}", name, account_id)
            order = make_order(f"order-{number}", authorization, account_id=account_id)
            issued = make_issued(number, name, order_id=order.id, account_id=account_id)
            changes += [AddAuthorization(authorization), AddOrder(order)]
            changes += [AddSerial(reserve(number, order.id)), AddCertificate(issued)]
        assert await self.store.commit(changes)
        return await self.list()

    async def list(self) -> list[Issued]:
        return [each.issued for each in await self.store.list_certificates(0, 1000)]

    async def replace(self, issued: Issued) -> None:
        """Have an order replace a certificate, and issue for it."""
        order_id = f"replaces-{issued.certificate.order_id}"
        authorization = make_authorization(f"for-{order_id}", "n.example", "account-1")
        order = make_order(order_id, authorization)
        now = (await self.store.load_certificate(issued.certificate.id)) or issued
        after = replace(now.certificate, replaced_by=order_id)
        valid = replace(order, status=OrderStatus.VALID)
        assert await self.store.commit(
            [
                AddAuthorization(authorization),
                AddOrder(order),
                ChangeOrder(order, valid),
                ChangeCertificate(now.certificate, after),
            ]
        )

    async def revoke(
        self, issued: Issued, reason: Reason, by: str, *, blocks_key: bool = False
    ) -> bool:
        """Do what `services.ca.revoking` does, as far as an incident sees it."""
        if self.is_refusing:
            return False
        if issued.certificate.id == self.breaks_at:
            raise ValueError("of no shard of ours")
        self.clock.move(self.revoking_takes)
        before = issued.certificate
        after = replace(before, revoked=self.clock.now())
        if not await self.store.commit((ChangeCertificate(before, after),)):
            return False
        self.revocations.append((before.id, reason, by, blocks_key))
        return True

    def make_work(
        self, rules: IncidentRules | None = None, *, has_mail: bool = True
    ) -> IncidentWork:
        leave = self.mail if has_mail else None
        teller = Teller(self.store, SENDER, PLACES, leave, self.clock, self.log)
        return IncidentWork(
            self.store, teller, self.revoke, rules or IncidentRules(), self.clock, self.log
        )

    def describe(self, reason: Reason = Reason.SUPERSEDED) -> NewIncident:
        return NewIncident(
            why="CAA was looked up for one name of each order",
            page="https://ca.example/incident",
            renew_by=self.clock.now() + 5 * DAY,
            reason=reason,
            chosen="missing caa",
            who="postmaster",
        )

    async def create(self, reason: Reason = Reason.SUPERSEDED, size: int = 200) -> Incident:
        """Make an incident of all certificates, in pages of a size."""
        now = self.clock.now()
        return await create(
            self.store, self.describe(reason), self.pages(size), now, lambda _: None
        )

    async def enable(self, reason: Reason = Reason.SUPERSEDED) -> Incident:
        incident = await self.create(reason)
        return await enable(self.store, incident.id, "postmaster", self.clock.now())

    async def pages(self, size: int) -> AsyncIterator[Chosen]:
        after = 0
        while page := await self.store.list_certificates(after, size):
            after = page[-1].number
            yield Chosen(len(page), page)

    async def step(self, work: IncidentWork, owner: str = "one") -> int:
        """Do all that is due; gives how many steps that were."""
        steps = 0
        while claimed := await self.claim(owner):
            for each in claimed:
                steps += 1
                await work.do(each)
        return steps

    async def claim(self, owner: str) -> Sequence[Claimed]:
        now = self.clock.now()
        return await self.store.claim_work(WorkKind.INCIDENT, owner, now, now + LEASE, 9)


def account_with(contacts: Iterable[str], number: int = 1) -> Account:
    return replace(make_account(f"account-{number}", KEYS[number]), contacts=tuple(contacts))
