"""One certificate anew: whom to ask, whether the names allow it, the order, and a last look.

RFC 9773 §5 (`replaces`), RFC 8659 (CAA before the order, not after its refusal). What is kept of
it, and when it is tried again, is `keeping`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.clock import Clock, format_time
from letterlock.network.acme_client import AcmeFailed
from letterlock.protocols.acme.fields import Url
from letterlock.protocols.acme.identifiers import IP, ChallengeType, parse_identifier
from letterlock.protocols.acme.jws import SigningKey
from letterlock.protocols.acme.renewal import Failure, Lifetime, count_hurried
from letterlock.protocols.acme.renewal_info import find_certificate_id
from letterlock.protocols.acme.requests import OrderRequest
from letterlock.protocols.pki.certificate import Unreadable, read_certificate
from letterlock.services.certify.accounts import Accounts
from letterlock.services.certify.authority import Authority
from letterlock.services.certify.caa import CaaExamination, Orderer, examine_caa
from letterlock.services.certify.issuing import Issued, Issuer, NotIssued
from letterlock.services.certify.keys import digest_key, write_key
from letterlock.services.certify.left import Left, LeftOrders
from letterlock.services.certify.rollover import PublishedTlsa
from letterlock.services.certify.tlsa_guard import TlsaZone, could_match, find_mismatch
from letterlock.services.discover.caa import CaaFinder
from letterlock.storage.certificates import CertificateId, KeptFacts, KeptPair
from letterlock.storage.issued import IssuedCertificate, IssuedStore

EARLIEST = timedelta(minutes=5)
"""So much later than now a certificate may begin to be valid: no two clocks are the same."""
_ACCOUNT_PROBLEMS = ("accountDoesNotExist", "unauthorized")


@dataclass(frozen=True, slots=True)
class Source:
    """An authority as the settings have it; see `Authority` there."""

    directory: str
    profile: str | None = None
    top_issuer: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted: a certificate for a key of ours.

    `before` is what it takes the place of. `is_forced`: come what may of TLSA records.
    """

    id: CertificateId
    key: SigningKey
    before: KeptFacts | None = None
    before_leaf: x509.Certificate | None = None
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Renewed:
    """A certificate that may come into use."""

    facts: KeptFacts
    pair: KeptPair
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Allowed:
    """What CAA leaves us: ways to prove the name, and what may be in the way."""

    methods: tuple[ChallengeType, ...]
    warnings: tuple[str, ...] = ()


MakeIssuer = Callable[[Authority, Sequence[ChallengeType]], Issuer]
"""Makes what orders with an account, and proves names by these methods."""


@dataclass(frozen=True, slots=True)
class Renewer:
    """Gets certificates from the authorities of the settings: `sources`, by directory.

    `methods` are the ways to prove names, the preferred first; `caa` None: nothing is looked up.
    """

    sources: Mapping[str, Source]
    accounts: Accounts
    make_issuer: MakeIssuer
    methods: tuple[ChallengeType, ...]
    issued: IssuedStore
    zone: TlsaZone
    caa: CaaFinder | None
    clock: Clock
    left: LeftOrders

    async def renew(self, order: Order, directory: str) -> Renewed | Failure:
        """Get a certificate from one authority. Raises StoreUnavailable."""
        published = await self.zone.look(order.id.name)
        if not order.is_forced and (fault := _find_tlsa_fault(published, order.key)):
            return Failure(directory, f"not ordered: {fault}")
        left = self.left.find(order.id, directory, order.key)
        if left is not None and left.issued is not None and _is_newer(left.issued, order.before):
            return await self._accept(order, directory, left.issued, published, ())
        authority = await self.accounts.open(directory)
        if isinstance(authority, AcmeFailed):
            return _explain(directory, (authority,))
        allowed = await self._find_allowed(order, directory)
        if isinstance(allowed, Failure):
            return allowed
        before = left.order if left is not None else None
        issued = await self._issue(order, directory, authority, allowed.methods, before)
        self._note_left(order, directory, issued)
        if isinstance(issued, NotIssued):
            # An account that was closed is `unauthorized` (RFC 8555 §7.3.6), as a name can be.
            if any(each.is_about(kind) for each in issued.failures for kind in _ACCOUNT_PROBLEMS):
                self.accounts.forget(directory)
            return _explain(directory, issued.failures)
        return await self._accept(order, directory, issued, published, allowed.warnings)

    async def _accept(
        self,
        order: Order,
        directory: str,
        issued: Issued,
        published: PublishedTlsa,
        warnings: Sequence[str],
    ) -> Renewed | Failure:
        """Remember a certificate that has come, and look whether it may come into use."""
        now = self.clock.now()
        try:
            facts = make_facts(issued.chain.leaf, directory, order.before, now)
        except ValueError as error:
            self.left.forget(order.id, directory)
            return Failure(directory, f"issued, and not used: {error}")
        leaf = issued.chain.leaf.public_bytes(Encoding.DER)
        await self.issued.add_issued(
            IssuedCertificate(facts.serial, order.id, directory, now, facts.not_after, leaf)
        )
        chain = [each.public_bytes(Encoding.DER) for each in issued.chain.certificates]
        mismatch = find_mismatch(published, order.id.name, chain, now)
        is_allowed = order.is_forced or _is_no_worse(order, published, chain, now)
        if mismatch is not None and not is_allowed:
            return Failure(directory, f"issued, and not used: {mismatch}")
        if _is_too_early(facts, order, now):
            moment = format_time(facts.not_before)
            reason = f"issued, and not used yet: it is not valid before {moment}; is a clock wrong?"
            return Failure(directory, reason)
        forced = (f"used although {mismatch}",) if mismatch is not None else ()
        pair = KeptPair(issued.chain.pem, write_key(order.key))
        return Renewed(facts, pair, (*warnings, *forced))

    async def examine_caa(
        self, which: CertificateId, directory: str
    ) -> CaaExamination | AcmeFailed | None:
        """Ask CAA whether an authority may issue; None: there is no CAA for it.

        Raises StoreUnavailable.
        """
        identifier = parse_identifier(which.name)
        if self.caa is None or identifier.type == IP:
            return None
        authority = await self.accounts.open(directory)
        if isinstance(authority, AcmeFailed):
            return authority
        seen = await self.accounts.client(directory).fetch_directory()
        if isinstance(seen, AcmeFailed):
            return seen
        orderer = Orderer(seen.caa_identities, authority.account.url.text, self.methods)
        return await examine_caa(self.caa, [identifier], orderer)

    async def _find_allowed(self, order: Order, directory: str) -> _Allowed | Failure:
        """Ask CAA before the authority does: its refusal would count against our limits."""
        match await self.examine_caa(order.id, directory):
            case None:
                return _Allowed(self.methods)
            case AcmeFailed() as failed:
                return _explain(directory, (failed,))
            case examined if examined.refusals:
                reason = "; ".join(map(str, examined.refusals))
                return Failure(directory, f"not ordered: {reason}")
            case examined:
                methods = examined.methods.get(parse_identifier(order.id.name)) or self.methods
                return _Allowed(methods, tuple(map(str, examined.warnings)))

    async def _issue(
        self,
        order: Order,
        directory: str,
        authority: Authority,
        methods: Sequence[ChallengeType],
        unfinished: Url | None,
    ) -> Issued | NotIssued:
        source = self.sources[directory]
        replaces = None
        leaf, before = order.before_leaf, order.before
        # RFC 9773 §5: only of the same authority.
        if leaf is not None and before is not None and before.directory == directory:
            replaces = find_certificate_id(leaf)
        identifiers = frozenset((parse_identifier(order.id.name),))
        request = OrderRequest(identifiers, source.profile, replaces)
        issuer = self.make_issuer(authority, methods)
        return await issuer.issue(request, order.key, source.top_issuer, unfinished)

    def _note_left(self, order: Order, directory: str, outcome: Issued | NotIssued) -> None:
        """Remember what is gone on with the next time: who keeps the pair forgets it again."""
        if outcome.order is None:
            self.left.forget(order.id, directory)
            return
        issued = outcome if isinstance(outcome, Issued) else None
        self.left.note(order.id, Left(directory, order.key, outcome.order, issued))


def _is_newer(issued: Issued, before: KeptFacts | None) -> bool:
    """Say if a certificate came after the one in use: another process may have been faster."""
    return before is None or issued.chain.leaf.not_valid_before_utc > before.not_before


def _is_no_worse(
    order: Order, published: PublishedTlsa, chain: Sequence[bytes], now: datetime
) -> bool:
    """Say if what senders find leaves the one in use no better off: it has the same key.

    A server of the zone that lags behind for months would let the certificate end.
    """
    before, leaf = order.before, order.before_leaf
    if before is None or leaf is None or before.spki_sha256 != digest_key(order.key):
        return False
    at_best = replace(published, everywhere=published.anywhere)
    if find_mismatch(at_best, order.id.name, chain, now) is not None:
        return False
    in_use = [leaf.public_bytes(Encoding.DER)]
    return find_mismatch(published, order.id.name, in_use, now) is not None


def _is_too_early(facts: KeptFacts, order: Order, now: datetime) -> bool:
    """Say if the one in use is shown on: whoever verifies would refuse the new one for a while.

    Either clock may be wrong, ours or the authority's; the one before is good by both.
    """
    before = order.before
    if before is None or order.is_forced:
        return False
    return now + EARLIEST < facts.not_before < before.not_after


def _find_tlsa_fault(published: PublishedTlsa, key: SigningKey) -> str | None:
    """Say why no certificate for a key may be used: none is asked for then, which would count."""
    if published.fault:
        return f"not known whether TLSA records match: {published.fault}"
    if not could_match(published, digest_key(key)):
        return f"no TLSA record at {published.base} matches its key"
    return None


def make_facts(
    leaf: x509.Certificate, directory: str, before: Lifetime | None, now: datetime
) -> KeptFacts:
    """Read what is kept of a certificate that has just come. Raises ValueError."""
    read = read_certificate(leaf.public_bytes(Encoding.DER))
    if isinstance(read, Unreadable):
        raise ValueError(read.reason)  # noqa: TRY004 - it is about what came, not about its type
    return KeptFacts(
        serial=read.serial,
        names=read.names.texts,
        not_before=read.not_before,
        not_after=read.not_after,
        spki_sha256=bytes.fromhex(read.spki_sha256),
        issuer=read.issuer,
        directory=directory,
        issued=now,
        hurried=count_hurried(before, now),
    )


async def recall_facts(
    issued: IssuedStore,
    which: CertificateId,
    pair: KeptPair,
    before: Lifetime | None,
    now: datetime,
) -> KeptFacts | None:
    """Find what is kept of a certificate that came some time ago; None: it is not remembered."""
    facts = make_facts(x509.load_pem_x509_certificates(pair.chain)[0], "", before, now)
    for each in await issued.find_issued(facts.serial):
        if each.id == which:
            return replace(facts, directory=each.directory, issued=each.issued)
    return None


def _explain(directory: str, failures: Sequence[AcmeFailed]) -> Failure:
    reason = "; ".join(line for each in failures for line in each.lines)
    if any(each.is_about("badPublicKey") for each in failures):
        # RFC 8555 §6.7: one that is weak, or known to others, is refused for ever.
        reason = f"{reason}; another key is needed: letterlock cert rollover"
    retry_after = max((each.retry_after for each in failures if each.retry_after), default=None)
    return Failure(directory, reason, retry_after)
