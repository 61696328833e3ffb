"""What a certificate rests on, as the audit log has it, and what it lacks.

The names are read from the certificate itself: what the database says of it may be wrong, too.
"""

from hashlib import sha256
from typing import Protocol

from cryptography import x509

from letterlock.protocols.audit.evidence import (
    EvidenceRules,
    Ground,
    Lack,
    Logged,
    SignedCertificate,
    find_authorizations,
    find_decisions,
    find_lacks,
)
from letterlock.protocols.audit.records import AuditRecord
from letterlock.protocols.incidents.serials import format_serial
from letterlock.storage.ca.kept import Issued

MAX_RECORDS = 2000
"""About one order or authorization; what is behind is not looked at, and so proves nothing."""


class LogReads(Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def list_records_about(
        self, subject: str, after: int, limit: int
    ) -> tuple[AuditRecord, ...]: ...


async def find_certificate_lacks(
    store: LogReads, issued: Issued, rules: EvidenceRules
) -> tuple[Lack, ...]:
    """Give what a certificate lacks of what it must rest on. Raises StoreUnavailable."""
    return (await look_at_grounds(store, issued, rules)).lacks


class Grounds:
    """A certificate with its log. `lacks` is what is missing."""

    def __init__(self, order_log: tuple[Logged, ...], lacks: tuple[Lack, ...]) -> None:
        self.order_log = order_log
        self.lacks = lacks


async def look_at_grounds(store: LogReads, issued: Issued, rules: EvidenceRules) -> Grounds:
    """Read a certificate's log, and judge it. Raises StoreUnavailable."""
    order_log = await _read_log(store, issued.certificate.order_id)
    certificate = describe(issued)
    if certificate is None:
        lack = Lack(Ground.SIGNING, None, "what is kept as this certificate cannot be read")
        return Grounds(order_log, (lack,))
    logs = {each: await _read_log(store, each) for each in find_authorizations(order_log)}
    return Grounds(order_log, find_lacks(certificate, order_log, logs, rules))


def describe(issued: Issued) -> SignedCertificate | None:
    """Read what the certificate itself says; None: it cannot be read."""
    try:
        found = x509.load_der_x509_certificate(issued.der)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        draft = sha256(found.tbs_certificate_bytes).hexdigest()
        serial = format_serial(found.serial_number)
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return None
    return SignedCertificate(
        order_id=issued.certificate.order_id,
        account_id=issued.certificate.account_id,
        serial=serial,
        names=tuple(str(each.value).lower() for each in names),
        digest=sha256(issued.der).hexdigest(),
        draft=draft,
    )


async def _read_log(store: LogReads, subject: str) -> tuple[Logged, ...]:
    return find_decisions(await store.list_records_about(subject, 0, MAX_RECORDS))
