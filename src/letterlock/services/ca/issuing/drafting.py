"""The draft of an order's certificate, linted; and what was signed held beside it.

Baseline Requirements 4.3.1.2 (linting before signing, 4.3.1.3 after). The draft has the serial
number that is to be taken, so that what is kept of it says when it ends.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.objects import Order
from letterlock.protocols.audit.decisions import LintLogged, SerialLogged
from letterlock.protocols.incidents.serials import format_serial
from letterlock.protocols.pki.issuance.certificates import draft_server_certificate
from letterlock.protocols.pki.issuance.issuers import (
    SERIAL_RANDOM_OCTETS,
    Issuer,
    make_serial,
)
from letterlock.protocols.pki.issuance.lint_records import LintRecord
from letterlock.protocols.pki.issuance.linting import CertificateKind, Linter
from letterlock.protocols.pki.issuance.signing import Draft
from letterlock.services.ca.hierarchy.chains import IssuingAuthority
from letterlock.services.ca.issuing.judging import IssuingRules, Judged
from letterlock.storage.ca.kept import ReservedSerial

Randomness = Callable[[int], bytes]


class DraftError(Exception):
    """A certificate cannot be as the settings want it, or is not as it was drafted: our fault."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft, linted. With a fault in `lint` it is not signed."""

    draft: Draft
    lint: LintRecord
    serial: ReservedSerial
    judged: Judged
    not_before: datetime

    @property
    def digest(self) -> str:
        """What the audit log calls the draft: SHA-256 of what is to be signed."""
        return sha256(self.draft.tbs).hexdigest()

    def log_lint(self) -> LintLogged:
        """Write down what linting said."""
        return LintLogged(
            order=self.serial.order_id,
            draft=self.digest,
            linter=self.lint.linter,
            faults=self.lint.faults,
            excused=self.lint.excused,
            shape=self.lint.shape,
            is_remembered=self.lint.is_remembered,
        )

    def log_serial(self) -> SerialLogged:
        """Write down that its serial number is taken."""
        name = self.serial.name
        return SerialLogged(
            order=self.serial.order_id,
            serial=format_serial(name.serial),
            issuer=name.key_identifier.hex(),
            profile=self.serial.profile,
        )


class Drafter:
    """Makes drafts for one authority. `random` gives so many random octets."""

    def __init__(
        self,
        authority: IssuingAuthority,
        rules: IssuingRules,
        linter: Linter,
        random: Randomness = secrets.token_bytes,
    ) -> None:
        self._authority = authority
        self._rules = rules
        self._linter = linter
        self._random = random

    def draft(self, order: Order, judged: Judged, now: datetime) -> Drafted:
        """Make a draft and lint it. Raises DraftError."""
        serial = make_serial(self._random(SERIAL_RANDOM_OCTETS), self._rules.shards)
        issuer = self._authority.issuer
        try:
            draft = draft_server_certificate(issuer, judged.profile, judged.subject, serial, now)
        except ValueError as error:
            raise DraftError(str(error)) from error
        made = x509.load_der_x509_certificate(draft.der)
        name = CertificateId(self._authority.key_identifier, serial)
        ends = made.not_valid_after_utc
        reserved = ReservedSerial(name, order.id, judged.profile.name, now, ends)
        record = self._linter.lint(draft.der, CertificateKind.SERVER)
        return Drafted(draft, record, reserved, judged, made.not_valid_before_utc)


def check_signed(der: bytes, drafted: Drafted, issuer: Issuer, now: datetime) -> None:
    """Read what was signed as others will, and compare. Raises DraftError.

    The issuer's certificate verifies it, not the key that signed: what hangs on that certificate
    is what the world believes.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.verify_directly_issued_by(issuer.certificate)
        facts = (
            certificate.tbs_certificate_bytes == drafted.draft.tbs,
            certificate.serial_number == drafted.serial.name.serial,
            certificate.public_key() == drafted.judged.subject.key,
            _read_names(certificate) == sorted(drafted.judged.subject.names.texts),
            certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc,
        )
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise DraftError(f"what was signed is no good: {type(error).__name__}") from error
    except x509.ExtensionNotFound as error:
        raise DraftError("what was signed has no names") from error
    if not all(facts):
        raise DraftError("what was signed is not what was drafted")


def _read_names(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(str(each.value) for each in names)
