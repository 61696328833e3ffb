"""Whether a certificate rests on what it must: for each of its names, as the audit log has it.

Baseline Requirements 3.2.2.4, 4.2.1 (control of each name, proved not too long ago), 3.2.2.8 (CAA
for each name), 4.3.1.2 (linting before signing), 5.4.1; RFC 8659 §3. In 2020 an authority's log
said that a name was looked at, when another one was: so the names are those of the signed
certificate itself, and a look counts only where the DNS answers are about that name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import TypeGuard

from letterlock.protocols.audit.decisions import (
    CaaLogged,
    Decision,
    LintLogged,
    LoggedAnswer,
    LoggedCaaLook,
    OrderLogged,
    RequestLogged,
    SerialLogged,
    SigningLogged,
    ValidationLogged,
)
from letterlock.protocols.audit.records import AuditRecord, DocumentError, read_decision
from letterlock.protocols.caa.rechecks import MAX_AGE

ALLOW = "allow"
_GOOD = ("secure", "insecure")
_CLOCKS = timedelta(seconds=5)
"""What the clocks of two processes may differ by."""


class Ground(StrEnum):
    """What a certificate must rest on."""

    SIGNING = "signing"
    """That it was signed is in the log: else nobody knows how it came to be."""
    ORDER = "order"
    REQUEST = "request"
    SERIAL = "serial"
    LINT = "lint"
    VALIDATION = "validation"
    CAA = "caa"


@dataclass(frozen=True, slots=True)
class Lack:
    """What is missing, for which name; None: for the certificate as a whole."""

    ground: Ground
    name: str | None
    reason: str

    def __str__(self) -> str:
        about = f"{self.name}: " if self.name is not None else ""
        return f"{self.ground}: {about}{self.reason}"


@dataclass(frozen=True, slots=True)
class EvidenceRules:
    """How old things may be when a certificate is signed.

    `caa_age` is for looks at CAA, whose records' TTL counts where it is longer and `heeds_ttl`.
    """

    validation_age: timedelta
    caa_age: timedelta = MAX_AGE
    heeds_ttl: bool = False
    min_remotes: int = 0
    """How many remote perspectives must have agreed on a validation."""
    own_account: str | None = None
    """Whose certificates are for the authority's own server: the settings are their proof."""
    own_names: frozenset[str] = frozenset()
    """What those may be for."""


@dataclass(frozen=True, slots=True)
class SignedCertificate:
    """A certificate as it is, whatever the log says. Digests are SHA-256; all in hexadecimal."""

    order_id: str
    account_id: str
    serial: str
    names: tuple[str, ...]
    digest: str
    draft: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A decision with its place in the log."""

    number: int
    moment: datetime
    decision: Decision


def find_decisions(records: Iterable[AuditRecord]) -> tuple[Logged, ...]:
    """Give the decisions of records. One that cannot be read proves nothing, and is left out."""
    found: list[Logged] = []
    for record in records:
        try:
            found.append(Logged(record.number, record.moment, read_decision(record.document)))
        except DocumentError:
            continue
    return tuple(found)


def find_authorizations(order_log: Sequence[Logged]) -> tuple[str, ...]:
    """Give the ids of the authorizations on which an order rests."""
    orders = [each.decision for each in order_log if isinstance(each.decision, OrderLogged)]
    return tuple(dict.fromkeys(one for order in orders for one in order.authorizations))


def find_lacks(
    certificate: SignedCertificate,
    order_log: Sequence[Logged],
    authorization_logs: Mapping[str, Sequence[Logged]],
    rules: EvidenceRules,
) -> tuple[Lack, ...]:
    """Give all that a certificate lacks, in the order of its names; nothing: it rests on all.

    `order_log` is about its order, `authorization_logs` about those of `find_authorizations`.
    """
    signing = _find_signing(certificate, order_log)
    if signing is None:
        reason = "nothing says that this certificate was signed"
        return (Lack(Ground.SIGNING, None, reason),)
    before = [each for each in order_log if each.number < signing.number]
    lacks = _find_formal_lacks(certificate, before)
    if certificate.account_id == rules.own_account:
        return (*lacks, *_find_foreign(certificate, rules.own_names))
    lacks += _find_request_lack(before)
    order = _find_order(certificate, before)
    if order is None:
        reason = "there is no order of this account for just these names"
        return (*lacks, Lack(Ground.ORDER, None, reason))
    proofs: dict[str, list[_Proof]] = {}
    for one in order.authorizations:
        for each in authorization_logs.get(one, ()):
            found = each.decision
            if each.number < signing.number and _is_proof(found, certificate.account_id):
                proofs.setdefault(found.name, []).append((each.moment, found))
    looks: dict[str, list[LoggedCaaLook]] = {}
    for recheck in (each.decision for each in before if isinstance(each.decision, CaaLogged)):
        for look in recheck.looks:
            if look.perspective is None:  # the authority's own: others only agree with it
                looks.setdefault(look.name, []).append(look)
    basis = _Basis(signing.moment, proofs, looks, rules)
    return (*lacks, *(lack for name in certificate.names for lack in basis.find_lacks(name)))


_Proof = tuple[datetime, ValidationLogged]


def _is_proof(decision: Decision, account_id: str) -> TypeGuard[ValidationLogged]:
    return (
        isinstance(decision, ValidationLogged)
        and decision.account == account_id
        and decision.problem is None
    )


@dataclass(frozen=True, slots=True)
class _Basis:
    """What the names of a certificate rest on, when it was signed; by name."""

    signed: datetime
    proofs: Mapping[str, Sequence[_Proof]]
    rechecks: Mapping[str, Sequence[LoggedCaaLook]]
    rules: EvidenceRules

    def find_lacks(self, name: str) -> list[Lack]:
        proofs = self.proofs.get(name, ())
        lacks: list[Lack] = []
        if reason := self._find_proof_lack(proofs):
            lacks.append(Lack(Ground.VALIDATION, name, reason))
        if not _is_address(name) and (reason := self._find_caa_lack(name, proofs)):
            lacks.append(Lack(Ground.CAA, name, reason))
        return lacks

    def _find_proof_lack(self, proofs: Sequence[_Proof]) -> str | None:
        if not proofs:
            return "nothing says that it was proved"
        oldest = self.signed - self.rules.validation_age
        young = [each for moment, each in proofs if moment >= oldest]
        if not young:
            return f"it was proved {_age(self.signed, max(moment for moment, _ in proofs))} before"
        agreed = max(_count_agreed(each) for each in young)
        if agreed < self.rules.min_remotes:
            return f"{agreed} remote perspectives agreed, not {self.rules.min_remotes}"
        return None

    def _find_caa_lack(self, name: str, proofs: Sequence[_Proof]) -> str | None:
        methods = {each.method for _, each in proofs}
        # Of those with a validation the first is from the authority's own place.
        first = [each.caa_looks[0] for _, each in proofs if each.caa_looks]
        looks = [
            look
            for look in (*self.rechecks.get(name, ()), *first)
            if look.name == name and look.decision == ALLOW and look.method in methods
        ]
        if not looks:
            return "nothing says that it was looked up and allowed"
        about = [look for look in looks if _is_about(look, name)]
        if not about:
            asked = looks[-1].lookups[0].name if looks[-1].lookups else "nothing"
            return f"the look that counts for it rests on answers about {asked}"
        if any(self._is_young(look) for look in about):
            return None
        return f"it was looked up {_age(self.signed, max(look.began for look in about))} before"

    def _is_young(self, look: LoggedCaaLook) -> bool:
        limit = self.rules.caa_age
        if self.rules.heeds_ttl and look.ttl is not None:
            limit = max(limit, timedelta(seconds=look.ttl))
        return look.began - _CLOCKS <= self.signed <= look.began + limit


def _find_signing(certificate: SignedCertificate, log: Sequence[Logged]) -> Logged | None:
    for each in log:
        found = each.decision
        if isinstance(found, SigningLogged) and (found.serial, found.certificate) == (
            certificate.serial,
            certificate.digest,
        ):
            return each
    return None


def _find_formal_lacks(certificate: SignedCertificate, before: Sequence[Logged]) -> list[Lack]:
    decisions = [each.decision for each in before]
    lacks: list[Lack] = []
    if not any(
        isinstance(each, SerialLogged) and each.serial == certificate.serial for each in decisions
    ):
        reason = "nothing says that its serial number was taken before it was signed"
        lacks.append(Lack(Ground.SERIAL, None, reason))
    lints = [each for each in decisions if isinstance(each, LintLogged)]
    if not any(each.draft == certificate.draft and not each.faults for each in lints):
        reason = "nothing says that what was signed was linted before and found good"
        lacks.append(Lack(Ground.LINT, None, reason))
    return lacks


def _find_foreign(certificate: SignedCertificate, own: frozenset[str]) -> list[Lack]:
    reason = "it was issued to the authority itself, and is no name of its own"
    return [Lack(Ground.VALIDATION, name, reason) for name in certificate.names if name not in own]


def _find_request_lack(before: Sequence[Logged]) -> list[Lack]:
    for each in before:
        if isinstance(each.decision, RequestLogged) and not each.decision.faults:
            return []
    reason = "nothing says that the request and its key were found good"
    return [Lack(Ground.REQUEST, None, reason)]


def _find_order(certificate: SignedCertificate, before: Sequence[Logged]) -> OrderLogged | None:
    for each in before:
        found = each.decision
        if isinstance(found, OrderLogged) and (found.account, set(found.names)) == (
            certificate.account_id,
            set(certificate.names),
        ):
            return found
    return None


def _is_about(look: LoggedCaaLook, name: str) -> bool:
    """Tell whether answers are those of a climb from a name, each of them good (RFC 8659 §3)."""
    labels = name.removeprefix("*.").split(".")
    climb = [".".join(labels[start:]) for start in range(len(labels))]
    asked = [each.name for each in look.lookups]
    if not asked or asked != climb[: len(asked)]:
        return False
    is_ended = len(asked) == len(climb) or look.lookups[-1].existence == "records"
    return is_ended and all(_is_good(each) for each in look.lookups)


def _is_good(answer: LoggedAnswer) -> bool:
    return answer.type == "CAA" and answer.security in _GOOD


def _count_agreed(validation: ValidationLogged) -> int:
    return sum(1 for look in validation.looks[1:] if look.problem is None)


def _age(now: datetime, moment: datetime) -> timedelta:
    return timedelta(seconds=round((now - moment).total_seconds()))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
