"""Finalizing an order: its request is judged, and issuing begins with the commit.

RFC 8555 §7.4 (a request that is refused leaves the order ready), §11.1 (no account's key); Baseline
Requirements 6.1.1.3 (keys). CAA is looked at again where the certificate is issued.
"""

from hashlib import sha256

from letterlock.protocols.acme.fields import ObjectError
from letterlock.protocols.acme.server.finalizations import (
    parse_finalization,
    refuse_csr,
)
from letterlock.protocols.acme.server.objects import Order
from letterlock.protocols.acme.server.public_keys import make_public_key
from letterlock.protocols.acme.server.refusals import Refusal
from letterlock.protocols.acme.server.transitions import begin_order
from letterlock.protocols.audit.decisions import RequestLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.pki.issuance.csr import (
    RequestError,
    SigningRequest,
    find_request_faults,
    parse_request,
)
from letterlock.protocols.pki.issuance.subject_keys import (
    digest_spki,
    find_key_faults,
    find_key_kind,
)
from letterlock.services.ca.requests.authority import Answer, Asked, Authority
from letterlock.services.ca.requests.authorizations import claim
from letterlock.services.ca.requests.key_uses import find_use_faults
from letterlock.services.ca.requests.orders import (
    find_certificate_names,
    find_halt_refusal,
    format_reply,
    load_own_order,
    wait_for_issuance,
)
from letterlock.services.ca.requests.settling import Plan, settle
from letterlock.storage.ca.changes import AddWork, ChangeOrder
from letterlock.storage.ca.kept import KeptOrder, Work, WorkKind


async def finalize(authority: Authority, asked: Asked) -> Answer:
    """Answer the request to finalize an order; the certificate may be there at once."""

    async def plan() -> Plan | Refusal:
        found = await load_own_order(authority, asked)
        if isinstance(found, Refusal):
            return found
        kept, order = found
        begun = begin_order(order)
        if isinstance(begun, Refusal):
            return begun
        if (refusal := find_halt_refusal(await authority.store.load_halt())) is not None:
            return refusal
        csr = parse_finalization(asked.request.payload)
        if isinstance(csr, Refusal):
            return csr
        entry = await _judge(authority, asked, order, csr)
        if isinstance(entry, Refusal):
            return entry
        work = Work(WorkKind.ISSUANCE, order.id, asked.now, csr)
        begins = claim(authority, work, KeptOrder(begun, kept.authorizations))
        changes = (ChangeOrder(kept.order, begun), AddWork(begins.work, begins.lease))
        return Plan(format_reply(authority, begun), changes, (entry,), begins)

    answer = await settle(authority, plan)
    if isinstance(answer, Refusal) or not await wait_for_issuance(authority, asked.ids[0]):
        return answer
    found = await load_own_order(authority, asked)
    return found if isinstance(found, Refusal) else format_reply(authority, found[1])


async def _judge(
    authority: Authority, asked: Asked, order: Order, csr: bytes
) -> AuditEntry | Refusal:
    """Give the record of a request that is good; one that is refused has its record kept here."""
    digest = sha256(csr).hexdigest()
    try:
        request = parse_request(csr)
    except RequestError as error:
        logged = RequestLogged(order.id, digest, faults=(str(error),))
    else:
        faults = await _find_faults(authority, order, request)
        spki, kind = digest_spki(request.key).hex(), find_key_kind(request.key)
        logged = RequestLogged(order.id, digest, spki, kind, faults)
    entry = AuditEntry(asked.now, logged)
    if not logged.faults:
        return entry
    await authority.store.commit((), (entry,))
    return refuse_csr(logged.faults)


async def _find_faults(
    authority: Authority, order: Order, request: SigningRequest
) -> tuple[str, ...]:
    rules = authority.rules
    profile = rules.certificates.get(order.profile or rules.default_profile)
    if profile is None:
        return (f"there is no profile {order.profile} any more: make a new order",)
    faults = find_request_faults(request, find_certificate_names(order.identifiers))
    faults += find_key_faults(request.key, profile.key_kinds, rules.refused_keys)
    try:
        public = make_public_key(request.key)
    except ObjectError:
        public = None
    return faults + await find_use_faults(authority.store, request.key, public)
