"""Which certificates an incident affects: by what they lack in the audit log, and by what they are.

What is revoked or has ended is not affected any more. All of them are read, by pages, so that a
choice holds for each, whatever an index might have missed.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Protocol

from letterlock.base.domains import Domain
from letterlock.protocols.acme.identifiers import DNS, Identifier
from letterlock.protocols.audit.decisions import ValidationLogged
from letterlock.protocols.audit.evidence import (
    EvidenceRules,
    Ground,
    Logged,
    find_authorizations,
    find_decisions,
)
from letterlock.services.ca.auditing.grounds import MAX_RECORDS, LogReads, look_at_grounds
from letterlock.services.ca.own_certificates import OWN_ACCOUNT
from letterlock.storage.ca.kept import Issued, ListedCertificate

PAGE = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen: certificates for which all of this holds; None and () choose all.

    `lacks`: at least one of these is missing in the audit log. `issued_from` is the first moment,
    `issued_until` the first that is not meant any more. `under` is a domain, with all below it.
    `method` and `perspective` are those of a validation that one of its names rests on. What the
    authority issued to its own server is chosen by its account alone: it renews that itself.
    """

    lacks: tuple[Ground, ...] = ()
    issued_from: datetime | None = None
    issued_until: datetime | None = None
    account_id: str | None = None
    profile: str | None = None
    under: Domain | None = None
    method: str | None = None
    perspective: str | None = None

    def __str__(self) -> str:
        parts = (
            *(f"missing {each}" for each in self.lacks),
            *([f"issued from {self.issued_from:%Y-%m-%dT%H:%M:%SZ}"] if self.issued_from else ()),
            *(
                [f"issued before {self.issued_until:%Y-%m-%dT%H:%M:%SZ}"]
                if self.issued_until
                else ()
            ),
            *([f"account {self.account_id}"] if self.account_id else ()),
            *([f"profile {self.profile}"] if self.profile else ()),
            *([f"under {self.under}"] if self.under else ()),
            *([f"validated by {self.method}"] if self.method else ()),
            *([f"validated from {self.perspective}"] if self.perspective else ()),
        )
        return ", ".join(parts) or "all"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A page that was looked at: how many there were, and which of them are meant."""

    looked_at: int
    certificates: tuple[ListedCertificate, ...]


class ChoosingStore(LogReads, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def list_certificates(self, after: int, limit: int) -> tuple[ListedCertificate, ...]: ...

    async def list_of_serials(self, serials: Sequence[int]) -> tuple[ListedCertificate, ...]: ...


async def choose(
    store: ChoosingStore, choice: Choice, rules: EvidenceRules, now: datetime
) -> AsyncIterator[Chosen]:
    """Look at all certificates, page by page. Raises StoreUnavailable."""
    after = 0
    while page := await store.list_certificates(after, PAGE):
        after = page[-1].number
        meant = [
            each
            for each in page
            if is_open(each.issued, now)
            and _is_meant(each.issued, choice)
            and await _is_meant_by_log(store, each.issued, choice, rules)
        ]
        yield Chosen(len(page), tuple(meant))


async def choose_serials(
    store: ChoosingStore, serials: Iterable[int], now: datetime
) -> AsyncIterator[Chosen]:
    """Look for serial numbers, page by page; those that are not ours are passed over."""
    numbers = iter(serials)
    while page := list(islice(numbers, PAGE)):
        found = await store.list_of_serials(page)
        meant = tuple(each for each in found if is_open(each.issued, now))
        yield Chosen(len(page), meant)


def is_open(issued: Issued, now: datetime) -> bool:
    """Tell whether a certificate can still do harm."""
    return issued.certificate.revoked is None and issued.certificate.not_after > now


def _is_meant(issued: Issued, choice: Choice) -> bool:
    certificate = issued.certificate
    return (
        (choice.issued_from is None or issued.issued >= choice.issued_from)
        and (choice.issued_until is None or issued.issued < choice.issued_until)
        and certificate.account_id == (choice.account_id or _not_own(certificate.account_id))
        and choice.profile in (None, issued.profile)
        and (
            choice.under is None or any(_is_under(n, choice.under) for n in certificate.identifiers)
        )
    )


def _not_own(account_id: str) -> str | None:
    return None if account_id == OWN_ACCOUNT else account_id


def _is_under(identifier: Identifier, domain: Domain) -> bool:
    base = identifier.base
    return identifier.type == DNS and (base == domain or base.endswith(f".{domain}"))


async def _is_meant_by_log(
    store: ChoosingStore, issued: Issued, choice: Choice, rules: EvidenceRules
) -> bool:
    if choice.lacks:
        grounds = await look_at_grounds(store, issued, rules)
        if not any(lack.ground in choice.lacks for lack in grounds.lacks):
            return False
    if choice.method is None and choice.perspective is None:
        return True
    validations = await _find_validations(store, issued.certificate.order_id)
    return any(_is_of(each, choice) for each in validations)


async def _find_validations(store: LogReads, order_id: str) -> list[ValidationLogged]:
    order_log = await _read(store, order_id)
    logs = [await _read(store, each) for each in find_authorizations(order_log)]
    decisions = [each.decision for log in logs for each in log]
    return [
        each for each in decisions if isinstance(each, ValidationLogged) and each.problem is None
    ]


async def _read(store: LogReads, subject: str) -> tuple[Logged, ...]:
    return find_decisions(await store.list_records_about(subject, 0, MAX_RECORDS))


def _is_of(validation: ValidationLogged, choice: Choice) -> bool:
    places = [look.perspective for look in validation.looks]
    return choice.method in (None, validation.method) and (
        choice.perspective is None or choice.perspective in places
    )
