"""What a client asks for: the payloads of ACME's requests, and certificate signing requests.

RFC 8555 §7.3 (accounts), §7.4 (orders, CSR), §7.6 (revocation); RFC 9773 §5 (`replaces`); RFC 5280
§5.3.1 (reasons). They are signed in `jws`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.acme.base64url import encode_base64url
from letterlock.protocols.acme.contacts import find_contact_fault
from letterlock.protocols.acme.identifiers import IP, Identifier, format_identifier
from letterlock.protocols.acme.jws import SigningKey


class RevocationReason(IntEnum):
    """Those that a subscriber can give (Baseline Requirements 7.2.2)."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What an order is for. `replaces` names the certificate that it is to follow."""

    identifiers: frozenset[Identifier]
    profile: str | None = None
    replaces: str | None = None


def format_account(
    contacts: Sequence[str],
    *,
    is_agreed: bool,
    binding: Mapping[str, object] | None = None,
    only_existing: bool = False,
) -> dict[str, object]:
    """Make the payload for a new account; `is_agreed` is what the user said of the terms.

    Raises ValueError for a contact that is not `mailto:` and one address.
    """
    for contact in contacts:
        if find_contact_fault(contact) is not None:
            raise ValueError(f"{contact[:80]!r} is not mailto: and one address")
    payload: dict[str, object] = {}
    if only_existing:
        payload["onlyReturnExisting"] = True
    if contacts:
        payload["contact"] = list(contacts)
    if is_agreed:
        payload["termsOfServiceAgreed"] = True
    if binding is not None:
        payload["externalAccountBinding"] = binding
    return payload


def format_order(request: OrderRequest) -> dict[str, object]:
    """Make the payload for a new order."""
    names = [format_identifier(each) for each in sorted(request.identifiers)]
    payload: dict[str, object] = {"identifiers": names}
    if request.profile is not None:
        payload["profile"] = request.profile
    if request.replaces is not None:
        payload["replaces"] = request.replaces
    return payload


def format_finalization(request: x509.CertificateSigningRequest) -> dict[str, object]:
    """Make the payload that finalizes an order."""
    return {"csr": encode_base64url(request.public_bytes(Encoding.DER))}


def format_revocation(
    certificate: x509.Certificate, reason: RevocationReason | None
) -> dict[str, object]:
    """Make the payload that revokes; None: no reason is given."""
    payload: dict[str, object] = {
        "certificate": encode_base64url(certificate.public_bytes(Encoding.DER))
    }
    if reason is not None:
        payload["reason"] = int(reason)
    return payload


def make_signing_request(
    key: SigningKey, identifiers: Iterable[Identifier]
) -> x509.CertificateSigningRequest:
    """Make a CSR that has the names in subjectAltName and nothing else (RFC 8555 §7.4)."""
    names: list[x509.GeneralName] = [
        x509.IPAddress(ip_address(each.value)) if each.type == IP else x509.DNSName(each.value)
        for each in sorted(identifiers)
    ]
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(key, hashes.SHA256())
    )
