"""Orders: made, and shown.

RFC 8555 §7.4 (newOrder), §7.1.3, §7.1.4 (authorizations that stand are used again), §6.6 (limits);
RFC 9773 §5 (`replaces`, which limits may spare); profiles as draft-ietf-acme-profiles has them.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_address

from letterlock.protocols.acme.identifiers import DNS, Identifier
from letterlock.protocols.acme.server import new_orders as rules
from letterlock.protocols.acme.server import rate_limits, renewals
from letterlock.protocols.acme.server.documents import format_order
from letterlock.protocols.acme.server.finalizations import RETRY_AFTER
from letterlock.protocols.acme.server.objects import Account, Authorization, Certificate, Order
from letterlock.protocols.acme.server.payloads import refuse_payload
from letterlock.protocols.acme.server.refusals import (
    ErrorType,
    NameFault,
    Refusal,
    refuse_foreign,
    refuse_names,
    refuse_unknown,
)
from letterlock.protocols.acme.server.replies import Reply, find_order_wait, reply_document
from letterlock.protocols.acme.states import OrderStatus
from letterlock.protocols.audit.decisions import OrderLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.pki.issuance.profiles import find_name_faults
from letterlock.protocols.pki.names import CertificateNames
from letterlock.services.ca.requests.authority import (
    Answer,
    Asked,
    Authority,
    make_id,
    make_token,
)
from letterlock.services.ca.requests.ended_orders import judge, load_judged
from letterlock.services.ca.requests.limits import count_failure, count_order
from letterlock.services.ca.requests.settling import Plan, refuse_unavailable, settle
from letterlock.storage.ca.changes import (
    AddAuthorization,
    AddOrder,
    Change,
    ChangeCertificate,
    UseCounter,
)
from letterlock.storage.ca.kept import Halt, KeptOrder, WorkKind

HALT_WAIT = timedelta(hours=1)
"""When clients may ask again while issuance is halted: how long that takes, nobody knows."""


@dataclass(frozen=True, slots=True)
class _Basis:
    """What an order rests on besides its request."""

    planned: tuple[rules.Planned, ...]
    counters: tuple[rate_limits.Counter, ...]
    predecessor: Certificate | None


async def order(authority: Authority, asked: Asked) -> Answer:
    """Answer newOrder."""
    account = asked.account
    assert account is not None
    request = rules.parse_order_request(
        asked.request.payload, authority.rules.orders, authority.rules.default_profile, asked.now
    )
    if isinstance(request, Refusal):
        return request
    if (refusal := _find_names_refusal(authority, request)) is not None:
        return refusal

    async def plan() -> Plan | Refusal:
        if (refusal := find_halt_refusal(await authority.store.load_halt())) is not None:
            return refusal
        basis = await _find_basis(authority, asked, account, request)
        return basis if isinstance(basis, Refusal) else _plan(authority, asked, request, basis)

    return await settle(authority, plan)


async def show_order(authority: Authority, asked: Asked) -> Answer:
    """Show an order to its account. One that is processed may be waited for a short time."""
    found = await load_own_order(authority, asked)
    if isinstance(found, Refusal):
        return found
    if (refusal := refuse_payload(asked.request)) is not None:
        return refusal
    _, order = found
    if order.status is OrderStatus.PROCESSING and await wait_for_issuance(authority, order.id):
        again = await load_own_order(authority, asked)
        return again if isinstance(again, Refusal) else format_reply(authority, again[1])
    return format_reply(authority, order)


async def load_own_order(authority: Authority, asked: Asked) -> tuple[KeptOrder, Order] | Refusal:
    """Load the order that is asked for, as it is kept and as it is now."""
    found = await load_judged(authority, asked.ids[0], asked.now)
    if found is None:
        return refuse_unknown("order")
    assert asked.account is not None
    return found if found[1].account_id == asked.account.id else refuse_foreign("order")


async def wait_for_issuance(authority: Authority, order_id: str) -> bool:
    """Wait a little for a certificate that is issued here. False: none is."""
    patience = authority.rules.patience.issuance
    return await authority.works.wait(WorkKind.ISSUANCE, order_id, patience)


def format_reply(authority: Authority, order: Order, *, is_new: bool = False) -> Reply:
    """Make the reply that shows an order."""
    return reply_document(
        format_order(order, authority.places),
        location=authority.places.order(order.id),
        is_new=is_new,
        retry_after=find_order_wait(order, RETRY_AFTER),
    )


def find_halt_refusal(halt: Halt) -> Refusal | None:
    """Refuse while issuance is halted, and say why."""
    if not halt.is_halted:
        return None
    return refuse_unavailable(f"issuance is halted: {halt.why}", HALT_WAIT)


def find_certificate_names(identifiers: tuple[Identifier, ...]) -> CertificateNames:
    """Give an order's names as a certificate has them."""
    domains = tuple(each.value for each in identifiers if each.type == DNS)
    ips = tuple(ip_address(each.value) for each in identifiers if each.type != DNS)
    return CertificateNames(domains, ips)


def _find_names_refusal(authority: Authority, request: rules.OrderRequest) -> Refusal | None:
    """Refuse names that no certificate of the profile can have."""
    profile = authority.rules.certificates[request.profile.name]
    faults = find_name_faults(find_certificate_names(request.identifiers), profile)
    found = [
        NameFault(each, ErrorType.REJECTED_IDENTIFIER, faults[each.value])
        for each in request.identifiers
        if each.value in faults
    ]
    return refuse_names(found, "some names get no certificate") if found else None


async def _find_basis(
    authority: Authority, asked: Asked, account: Account, request: rules.OrderRequest
) -> _Basis | Refusal:
    store, limits = authority.store, authority.rules.limits
    names = request.identifiers
    held = await store.find_valid_authorizations(account.id, names, asked.now)
    planned = rules.plan_authorizations(
        request, account.id, [each.authorization for each in held], asked.now
    )
    new = tuple(each.identifier for each in planned if each.reused is None)
    if (refusal := await _find_failure_refusal(authority, asked, new)) is not None:
        return refusal
    predecessor, is_replacement = None, False
    if request.replaces is not None:
        found = await _find_predecessor(authority, asked, request)
        if isinstance(found, Refusal):
            return found
        predecessor, is_replacement = found
    counters = rate_limits.choose_counters(
        count_order(limits, account.id, names), is_replacement=is_replacement
    )
    used = rate_limits.use_all(await store.load_counters(counters), asked.now) if counters else ()
    return used if isinstance(used, Refusal) else _Basis(planned, counters, predecessor)


async def _find_failure_refusal(
    authority: Authority, asked: Asked, names: tuple[Identifier, ...]
) -> Refusal | None:
    """Refuse names that need to be proved, and failed too often."""
    assert asked.account is not None
    account_id, limits = asked.account.id, authority.rules.limits
    bases = tuple(Identifier(each.type, each.base) for each in names)
    if not bases:
        return None
    if limits.page is not None:
        paused = await authority.store.find_paused(account_id, bases)
        if paused:
            return rate_limits.refuse_paused([each.identifier for each in paused], limits.page)
    counters = tuple(
        counter for each in bases if (counter := count_failure(limits, account_id, each))
    )
    if not counters:
        return None
    used = [
        rate_limits.use(each, asked.now) for each in await authority.store.load_counters(counters)
    ]
    return _refuse_failing(names, used, asked)


def _refuse_failing(
    names: tuple[Identifier, ...],
    used: list[rate_limits.Counter | rate_limits.Exceeded],
    asked: Asked,
) -> Refusal | None:
    exceeded = [
        (name, each)
        for name, each in zip(names, used, strict=True)
        if isinstance(each, rate_limits.Exceeded)
    ]
    if not exceeded:
        return None
    faults = [
        NameFault(name, ErrorType.RATE_LIMITED, f"too many: {each.limit.name}")
        for name, each in exceeded
    ]
    wait = max(each.allowed_at for _, each in exceeded) - asked.now
    refusal = refuse_names(faults, "the validation of some names failed too often")
    return replace(refusal, retry_after=wait)


async def _find_predecessor(
    authority: Authority, asked: Asked, request: rules.OrderRequest
) -> tuple[Certificate, bool] | Refusal:
    """Find the certificate to be replaced, and whether it is time for that (RFC 9773 §5)."""
    assert asked.account is not None
    assert request.replaces is not None
    issued = await authority.store.find_certificate(request.replaces)
    certificate = issued.certificate if issued is not None else None
    replacing = None
    if certificate is not None and certificate.replaced_by is not None:
        kept = await authority.store.load_order(certificate.replaced_by)
        replacing = judge(kept, asked.now) if kept is not None else None
    refusal = renewals.find_replacement_refusal(
        certificate, replacing, asked.account.id, request.identifiers
    )
    if refusal is not None:
        return refusal
    assert certificate is not None
    find = authority.find_urgency
    urgency = await find(certificate) if find is not None else None
    return certificate, renewals.is_in_window(certificate, urgency, asked.now)


def _plan(
    authority: Authority, asked: Asked, request: rules.OrderRequest, basis: _Basis
) -> Plan | Refusal:
    assert asked.account is not None
    account_id = asked.account.id
    made = [
        each.reused
        or rules.make_authorization(each, request, (make_id(), account_id), make_token(), asked.now)
        for each in basis.planned
    ]
    if faults := [each for each in made if isinstance(each, NameFault)]:
        return refuse_names(faults, "some names get no certificate")
    chosen = [each for each in made if isinstance(each, Authorization)]
    order = rules.make_order(request, (make_id(), account_id), chosen, asked.now)
    reused = {each.reused.id for each in basis.planned if each.reused is not None}
    changes: list[Change] = [AddAuthorization(each) for each in chosen if each.id not in reused]
    changes.append(AddOrder(order))
    if basis.predecessor is not None:
        after = renewals.mark_replaced(basis.predecessor, order)
        changes.append(ChangeCertificate(basis.predecessor, after))
    changes += [UseCounter(each, asked.now) for each in basis.counters]
    return Plan(format_reply(authority, order, is_new=True), changes, (_log(asked, order, reused),))


def _log(asked: Asked, order: Order, reused: set[str]) -> AuditEntry:
    decision = OrderLogged(
        order=order.id,
        account=order.account_id,
        names=tuple(each.value for each in order.identifiers),
        authorizations=order.authorization_ids,
        reused=tuple(each for each in order.authorization_ids if each in reused),
        profile=order.profile,
        replaces=str(order.replaces) if order.replaces is not None else None,
    )
    return AuditEntry(asked.now, decision)
