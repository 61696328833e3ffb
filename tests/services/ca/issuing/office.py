"""An authority that issues, as far as issuing goes: a real store, and everything else held still.

What it does is written down in its order: what was committed, looked at and signed. At any of those
steps it can be made to fail, or to die.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.domains import Domain
from letterlock.protocols.acme.identifiers import ChallengeType, parse_identifier
from letterlock.protocols.acme.server.objects import Account, Authorization, Challenge, Order
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.public_keys import make_public_key
from letterlock.protocols.acme.states import (
    AccountStatus,
    AuthorizationStatus,
    ChallengeStatus,
    OrderStatus,
)
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.caa.decide import CaaDecision
from letterlock.protocols.caa.rechecks import CaaCheck, RecheckRule
from letterlock.protocols.dns.answers import Answer, CaaRecord
from letterlock.protocols.pki.der import wrap_element
from letterlock.protocols.pki.issuance.issuers import Issuer
from letterlock.protocols.pki.issuance.linting import PRIVATE, Linter
from letterlock.protocols.pki.issuance.profiles import Profile
from letterlock.protocols.pki.issuance.signing import AuthorityKey, Signer
from letterlock.services.ca.caa_rechecks import CaaRechecker
from letterlock.services.ca.issuances import Issuances
from letterlock.services.ca.issuing.drafting import Drafter
from letterlock.services.ca.issuing.judging import IssuingRules
from letterlock.services.ca.issuing.orders import Issuing
from letterlock.services.ca.issuing.tools import IssuingTools
from letterlock.services.discover.caa import CaaFinder
from letterlock.storage.ca import changes, kept
from letterlock.storage.ca.store import AuthorityStore
from tests.fakes import FakeClock, FakeLog, FixtureResolver
from tests.services.ca.hierarchy.authorities import World, make_world

PLACES = Places("https://ca.example")
IDENTITIES = ("ca.example",)
LEASE = timedelta(minutes=5)
DAY = timedelta(days=1)
ALLOWS = CaaRecord(0, b"issue", b"ca.example")
FORBIDS = CaaRecord(0, b"issue", b"other.example")
WORLD = make_world()
ACCOUNT_KEY = ec.derive_private_key(11, ec.SECP256R1())
CERTIFICATE_KEY = ec.derive_private_key(12, ec.SECP256R1())
PROFILES = {"default": Profile("default"), "plain": Profile("plain", may_have_wildcards=False)}
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


class KilledError(BaseException):
    """The process ends here."""


@dataclass
class Steps:
    """What was done, in its order; `before` is called with each step before it is done."""

    done: list[tuple[str, Any]] = field(default_factory=list)
    before: Callable[[int, str], None] = lambda _number, _what: None
    begun: int = 0

    def begin(self, what: str) -> None:
        self.begun += 1
        self.before(self.begun, what)

    def note(self, what: str, about: object) -> None:
        self.done.append((what, about))

    def all_of(self, what: str) -> list[Any]:
        return [about for each, about in self.done if each == what]


Committed = Callable[[Sequence[changes.Change], Sequence[AuditEntry]], Awaitable[None]]


async def do_nothing(_steps: Sequence[changes.Change], _entries: Sequence[AuditEntry]) -> None:
    """What happens around a commit unless a test says otherwise."""


class WatchedStore:
    """A store whose steps are counted; `before` and `after` happen around each commit."""

    def __init__(self, inner: AuthorityStore, steps: Steps) -> None:
        self._inner = inner
        self._steps = steps
        self.before: Committed = do_nothing
        self.after: Committed = do_nothing
        self.halt: kept.Halt | None = None

    async def commit(
        self, steps: Sequence[changes.Change], entries: Sequence[AuditEntry] = ()
    ) -> bool:
        self._steps.begin("commit")
        await self.before(steps, entries)
        is_done = await self._inner.commit(steps, entries)
        if is_done:
            for each in steps:
                self._steps.note(type(each).__name__, each)
        self._steps.begin("committed")
        await self.after(steps, entries)
        return is_done

    async def load_account(self, account_id: str) -> Account | None:
        self._steps.begin("load_account")
        return await self._inner.load_account(account_id)

    async def load_order(self, order_id: str) -> kept.KeptOrder | None:
        self._steps.begin("load_order")
        return await self._inner.load_order(order_id)

    async def load_halt(self) -> kept.Halt:
        self._steps.begin("load_halt")
        found = self.halt or await self._inner.load_halt()
        self._steps.note("halt", found.is_halted)
        return found

    async def find_key_use(self, spki_sha256: bytes, thumbprint: str) -> kept.KeyUse:
        self._steps.begin("find_key_use")
        return await self._inner.find_key_use(spki_sha256, thumbprint)


@dataclass(frozen=True)
class Signature:
    """A signature that was made, whether anybody got it or not."""

    moment: datetime
    certificate: x509.Certificate

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    @property
    def names(self) -> list[str]:
        extension = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return sorted(str(each.value) for each in extension.value)


class WatchedSigner:
    """A key in a token, as it seems: whose signatures are written down."""

    def __init__(self, inner: Signer, steps: Steps, clock: FakeClock) -> None:
        self._inner = inner
        self._steps = steps
        self._clock = clock
        self.spoil: Callable[[bytes], bytes] = lambda signature: signature

    @property
    def public_key(self) -> AuthorityKey:
        return self._inner.public_key

    def sign(self, octets: bytes) -> bytes:
        self._steps.begin("sign")
        signature = self._inner.sign(octets)
        bits = wrap_element(0x03, b"\0" + signature)
        whole = wrap_element(0x30, octets + _ECDSA_SHA256 + bits)
        try:
            made = Signature(self._clock.now(), x509.load_der_x509_certificate(whole))
        except ValueError:
            self._steps.note("sign-crl", x509.load_der_x509_crl(whole))
        else:
            self._steps.note("sign", made)
        self._steps.begin("signed")
        return self.spoil(signature)


class WatchedResolver(FixtureResolver):
    """Notes when it was asked what."""

    def __init__(self, clock: FakeClock, steps: Steps) -> None:
        super().__init__()
        self._clock = clock
        self._steps = steps

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        self._steps.begin("ask")
        self._steps.note("ask", (self._clock.now(), str(name), rdtype))
        return await super().ask(name, rdtype)


@dataclass(frozen=True)
class OrderedName:
    """A name of an order; `age` of its look at CAA, None: there was none."""

    text: str
    age: timedelta | None = timedelta()
    decision: CaaDecision = CaaDecision.ALLOW
    method: ChallengeType = "dns-01"


class Office:
    """Issues. Another one over the same store is another process."""

    def __init__(
        self,
        store: AuthorityStore,
        clock: FakeClock,
        world: World = WORLD,
        linter: Linter | None = None,
    ) -> None:
        self.kept = store
        self.clock = clock
        self.log = FakeLog()
        self.steps = Steps()
        self.resolver = WatchedResolver(clock, self.steps)
        self.resolver.set("example", "CAA")
        self.store = WatchedStore(store, self.steps)
        self.signer = WatchedSigner(world.signer, self.steps, clock)
        issuer = replace(world.authority.issuer, signer=self.signer)
        self.authority = replace(world.authority, issuer=issuer)
        self.linter = linter or LINTER
        self.rules = IssuingRules(PROFILES, "default", shards=4)
        self.caa_rule = RecheckRule()

    @property
    def issuer(self) -> Issuer:
        return self.authority.issuer

    def issuing(self) -> Issuing:
        finder = CaaFinder(self.resolver, self.clock)
        return Issuing(
            IssuingTools(
                store=self.store,
                authority=self.authority,
                drafter=Drafter(self.authority, self.rules, self.linter),
                rules=self.rules,
                issuances=Issuances(IDENTITIES, PLACES),
                rechecks=CaaRechecker(finder, self.clock, self.caa_rule),
                caa_rule=self.caa_rule,
                clock=self.clock,
                log=self.log,
                commit_waits=(0.0, 0.0),
            )
        )

    async def add_order(
        self, *names: str | OrderedName, csr: bytes | None = None, **order_fields: Any
    ) -> kept.Claimed:
        """Keep an order that was finalized just now; its work is leased to us."""
        ordered = [each if isinstance(each, OrderedName) else OrderedName(each) for each in names]
        number = next(_NUMBERS)
        account = await self._find_account()
        authorizations = [
            make_valid(f"authorization-{number}-{index}", account.id, each, self.clock.now())
            for index, each in enumerate(ordered)
        ]
        order = Order(
            id=f"order-{number}",
            account_id=account.id,
            identifiers=tuple(each.ordered for each in authorizations),
            authorization_ids=tuple(each.id for each in authorizations),
            status=OrderStatus.PROCESSING,
            expires=self.clock.now() + 7 * DAY,
            profile="default",
        )
        order = replace(order, **order_fields)
        work = kept.Work(
            kept.WorkKind.ISSUANCE,
            order.id,
            self.clock.now(),
            make_csr([each.text for each in ordered]) if csr is None else csr,
        )
        lease = kept.Lease(work.kind, work.subject, "us", self.clock.now() + LEASE)
        steps: list[changes.Change] = [changes.AddAuthorization(each) for each in authorizations]
        steps += [
            changes.ChangeAuthorization(each, each, self._make_check(each, name))
            for each, name in zip(authorizations, ordered, strict=True)
        ]
        assert await self.kept.commit(
            [*steps, changes.AddOrder(order), changes.AddWork(work, lease)]
        )
        return kept.Claimed(work, lease)

    async def claim_again(self) -> kept.Claimed | None:
        """Claim what another left, once its lease ran out."""
        due = await self.kept.find_next_due(kept.WorkKind.ISSUANCE)
        if due is None:
            return None
        if due > self.clock.now():
            self.clock.move(due - self.clock.now())
        now = self.clock.now()
        claimed = await self.kept.claim_work(kept.WorkKind.ISSUANCE, "us", now, now + LEASE, 1)
        return claimed[0] if claimed else None

    async def find_order(self, claimed: kept.Claimed) -> Order:
        found = await self.kept.load_order(claimed.work.subject)
        assert found is not None
        return found.order

    async def find_issued(self, claimed: kept.Claimed) -> kept.Issued | None:
        order = await self.find_order(claimed)
        if order.certificate_id is None:
            return None
        return await self.kept.load_certificate(order.certificate_id)

    @property
    def signatures(self) -> list[Signature]:
        return list(self.steps.all_of("sign"))

    async def _find_account(self) -> Account:
        key = make_public_key(ACCOUNT_KEY.public_key())
        if (found := await self.kept.find_account(key.thumbprint)) is not None:
            return found
        account = Account("account-one-abcdef", key, AccountStatus.VALID)
        assert await self.kept.commit([changes.AddAccount(account)])
        return account

    def _make_check(self, authorization: Authorization, name: OrderedName) -> CaaCheck | None:
        (challenge,) = authorization.challenges
        issuance = Issuances(IDENTITIES, PLACES).describe(authorization, challenge)
        if issuance is None or name.age is None:
            return None
        return CaaCheck(issuance, name.decision, self.clock.now() - name.age)


_NUMBERS = count(1)
LINTER = Linter(PRIVATE)


def make_valid(
    authorization_id: str, account_id: str, name: OrderedName, now: datetime
) -> Authorization:
    identifier = parse_identifier(name.text)
    challenge = Challenge(
        name.method, "t" * 43, ChallengeStatus.VALID, "t.k", validated=now - timedelta(hours=1)
    )
    return Authorization(
        id=authorization_id,
        account_id=account_id,
        identifier=replace(identifier, value=identifier.base),
        status=AuthorizationStatus.VALID,
        expires=now + 7 * DAY,
        challenges=(challenge,),
        is_wildcard=identifier.is_wildcard,
        profile="default",
    )


def make_csr(names: Sequence[str], key: ec.EllipticCurvePrivateKey = CERTIFICATE_KEY) -> bytes:
    general: list[x509.GeneralName] = []
    for each in names:
        identifier = parse_identifier(each)
        ip = identifier.address()
        general.append(x509.DNSName(each) if ip is None else x509.IPAddress(ip))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
