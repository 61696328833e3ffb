"""An order and its request judged once more, right before the certificate is made.

RFC 8555 §7.4 (the order's names and nothing else), §11.1 (no account's key); Baseline Requirements
4.2.2 (names), 6.1.1.3 (keys). It was judged when the order was finalized; between that and this
lie a database, perhaps other settings, and perhaps a key that was lost meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from letterlock.protocols.acme.fields import ObjectError
from letterlock.protocols.acme.server.finalizations import refuse_csr
from letterlock.protocols.acme.server.objects import Order
from letterlock.protocols.acme.server.public_keys import PublicKey, make_public_key
from letterlock.protocols.acme.server.refusals import (
    ErrorType,
    NameFault,
    Refusal,
    refuse,
    refuse_names,
)
from letterlock.protocols.audit.decisions import RequestLogged
from letterlock.protocols.pki.issuance.certificates import ServerSubject
from letterlock.protocols.pki.issuance.csr import (
    RequestError,
    SigningRequest,
    find_request_faults,
    parse_request,
)
from letterlock.protocols.pki.issuance.profiles import Profile, find_name_faults, is_countable
from letterlock.protocols.pki.issuance.subject_keys import (
    RefusedKeys,
    digest_spki,
    find_key_faults,
    find_key_kind,
)
from letterlock.services.ca.issuing.outcomes import Refused
from letterlock.services.ca.requests.key_uses import KeyUses, find_use_faults
from letterlock.services.ca.requests.orders import find_certificate_names


@dataclass(frozen=True, slots=True)
class IssuingRules:
    """What is issued. `shards`: over how many CRLs new certificates are spread."""

    profiles: Mapping[str, Profile]
    default_profile: str
    shards: int = 1
    refused_keys: RefusedKeys = field(default_factory=RefusedKeys)


@dataclass(frozen=True, slots=True)
class Judged:
    """What is to be certified, and as what. `key` is the subject's, as ACME has it."""

    subject: ServerSubject
    profile: Profile
    key: PublicKey


async def judge(order: Order, csr: bytes, rules: IssuingRules, store: KeyUses) -> Judged | Refused:
    """Judge an order with its request (DER). Raises StoreUnavailable."""
    profile = rules.profiles.get(order.profile or rules.default_profile)
    if profile is None:
        detail = f"there is no profile {order.profile} any more: make a new order"
        return Refused(refuse(ErrorType.INVALID_PROFILE, detail).problem)
    if order.not_before is not None or order.not_after is not None:
        detail = "certificates have the dates that the authority gives them"
        return Refused(refuse(ErrorType.MALFORMED, detail).problem)
    if (refusal := _find_names_refusal(order, profile)) is not None:
        return Refused(refusal.problem)
    return await _judge_request(order, csr, profile, rules, store)


async def _judge_request(
    order: Order, csr: bytes, profile: Profile, rules: IssuingRules, store: KeyUses
) -> Judged | Refused:
    try:
        request = parse_request(csr)
        key = make_public_key(request.key)
    except (RequestError, ObjectError) as error:
        return _refuse_request(order, csr, (str(error),))
    names = find_certificate_names(order.identifiers)
    faults = find_request_faults(request, names)
    faults += find_key_faults(request.key, profile.key_kinds, rules.refused_keys)
    faults += await find_use_faults(store, request.key, key)
    if faults:
        return _refuse_request(order, csr, faults, request)
    return Judged(ServerSubject(names, request.key), profile, key)


def _find_names_refusal(order: Order, profile: Profile) -> Refusal | None:
    names = find_certificate_names(order.identifiers)
    if not is_countable(names, profile):
        detail = f"a certificate of {profile.name} has 1 to {profile.max_names} names"
        return refuse(ErrorType.MALFORMED, detail)
    found = find_name_faults(names, profile)
    faults = [
        NameFault(each, ErrorType.REJECTED_IDENTIFIER, found[each.value])
        for each in order.identifiers
        if each.value in found
    ]
    return refuse_names(faults, "some names get no certificate") if faults else None


def _refuse_request(
    order: Order, csr: bytes, faults: tuple[str, ...], request: SigningRequest | None = None
) -> Refused:
    logged = RequestLogged(
        order.id,
        sha256(csr).hexdigest(),
        key=digest_spki(request.key).hex() if request is not None else None,
        key_kind=find_key_kind(request.key) if request is not None else None,
        faults=faults,
    )
    return Refused(refuse_csr(faults).problem, (logged,))
