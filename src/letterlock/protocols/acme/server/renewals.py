"""When certificates should be renewed, and which order replaces which certificate.

RFC 9773 §4.1 (who asks, without a signature), §4.2 (the window), §4.3.2 (when to ask again), §5
(`replaces`). An incident or a revocation puts the window into the past: renew now, and see why.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from letterlock.protocols.acme.fields import ObjectError
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.renewal_info import (
    CertificateId,
    RenewalInfo,
    parse_certificate_id,
)
from letterlock.protocols.acme.server.objects import Certificate, Order
from letterlock.protocols.acme.server.refusals import (
    ErrorType,
    Refusal,
    refuse,
    refuse_foreign,
    refuse_unknown,
)
from letterlock.protocols.acme.states import OrderStatus

LOOK_AGAIN = timedelta(hours=6)
SHORT_LIFE = timedelta(days=10)
"""Certificates of less are renewed at half of their life, others at two thirds."""

# In the past since it was decided, so the window of a certificate stays one and the same.
_URGENT_FROM = timedelta(hours=1)
_URGENT_TO = timedelta(minutes=30)
_WIDTH = 0.02


@dataclass(frozen=True, slots=True)
class Urgency:
    """Why a certificate is to be renewed at once, and since when: an incident, with its page."""

    since: datetime
    page: str | None = None


@dataclass(frozen=True, slots=True)
class RenewalAnswer:
    """A window, and when to ask again: absent, clients take it as an error (RFC 9773 §4.3.3)."""

    window: RenewalInfo
    retry_after: timedelta


def parse_asked(text: str) -> CertificateId | Refusal:
    """Parse the last part of the URL asked (RFC 9773 §4.1)."""
    try:
        return parse_certificate_id(text)
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, str(error))


def suggest_window(certificate: Certificate, urgency: Urgency | None) -> RenewalInfo:
    """Suggest when to renew.

    Urgent ones, and those that are revoked, at once; others two hundredths of their life around
    two thirds of it (half of it, where it is short).
    """
    if urgency is None and certificate.revoked is not None:
        urgency = Urgency(certificate.revoked)
    if urgency is not None:
        end = urgency.since - _URGENT_TO
        return RenewalInfo(urgency.since - _URGENT_FROM, end, urgency.page)
    life = certificate.not_after - certificate.not_before
    middle = certificate.not_before + (life / 2 if life < SHORT_LIFE else life * 2 / 3)
    start = (middle - life * _WIDTH / 2).replace(microsecond=0)
    # RFC 9773 §4.2: it ends after it begins, in the seconds that are told, too.
    return RenewalInfo(start, max(middle + life * _WIDTH / 2, start + timedelta(seconds=1)))


def answer_renewal(
    certificate: Certificate | None, urgency: Urgency | None, chance: float
) -> RenewalAnswer | Refusal:
    """Answer who asks; `chance` (0 <= chance < 1) spreads when they ask again, by a fifth."""
    if certificate is None:
        return refuse_unknown("certificate")
    wait = LOOK_AGAIN * (0.8 + 0.4 * chance)
    return RenewalAnswer(suggest_window(certificate, urgency), wait)


def find_replacement_refusal(
    predecessor: Certificate | None,
    replacing: Order | None,
    account_id: str,
    identifiers: tuple[Identifier, ...],
) -> Refusal | None:
    """Refuse an order that cannot replace what it says (RFC 9773 §5); None: it can.

    `replacing` is the order of `predecessor.replaced_by`; one that is invalid does not count.
    """
    if predecessor is None:
        return refuse_unknown("certificate as `replaces` names")
    if predecessor.account_id != account_id:
        return refuse_foreign("certificate that `replaces` names")
    if not set(predecessor.identifiers) & set(identifiers):
        return refuse(ErrorType.MALFORMED, "the certificate that `replaces` names has no such name")
    if predecessor.replaced_by is None:
        return None
    if replacing is None or replacing.id != predecessor.replaced_by:
        raise LookupError(f"order {predecessor.replaced_by} is what replaces the certificate")
    if replacing.status is OrderStatus.INVALID:
        return None
    return refuse(ErrorType.ALREADY_REPLACED, "another order replaces that certificate")


def is_in_window(certificate: Certificate, urgency: Urgency | None, now: datetime) -> bool:
    """Tell whether an order that replaces it comes when it was asked for: limits may spare it."""
    return suggest_window(certificate, urgency).start <= now


def mark_replaced(certificate: Certificate, order: Order) -> Certificate:
    """Note which order replaces it."""
    return replace(certificate, replaced_by=order.id)
