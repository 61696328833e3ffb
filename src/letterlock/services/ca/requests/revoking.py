"""revokeCert: by the account that has it, by one that holds all of its names, by its key.

RFC 8555 §7.6. What is sent must be the very certificate that was issued.
"""

import warnings

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning

from letterlock.protocols.acme.renewal_info import MAX_KEY_IDENTIFIER_OCTETS, CertificateId
from letterlock.protocols.acme.server import revocations as rules
from letterlock.protocols.acme.server.refusals import ErrorType, Refusal, refuse, refuse_unknown
from letterlock.protocols.acme.server.replies import OK, Reply
from letterlock.services.ca.requests.authority import Answer, Asked, Authority
from letterlock.services.ca.requests.settling import MAX_TRIES, refuse_busy
from letterlock.storage.ca.kept import Issued

MAX_SERIAL = 1 << 160
"""RFC 5280 §4.1.2.2: at most 20 octets; ours are less."""

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


async def revoke(authority: Authority, asked: Asked) -> Answer:
    """Answer revokeCert: 200 without a body when its serial number is on the list."""
    request = rules.parse_revocation(asked.request.payload)
    if isinstance(request, Refusal):
        return request
    name = read_name(request.certificate)
    if name is None:
        return refuse(ErrorType.MALFORMED, "what is to be revoked is no certificate")
    for _ in range(MAX_TRIES):
        issued = await authority.store.find_certificate(name)
        if issued is None or issued.der != request.certificate:
            return refuse_unknown("certificate")
        decided = await _decide(authority, asked, issued, request)
        if isinstance(decided, Refusal):
            return decided
        by = "key" if asked.account is None else f"account {asked.account.id}"
        if await authority.revoke(issued, decided, by):
            return Reply(OK)
    return refuse_busy()


def read_name(der: bytes) -> CertificateId | None:
    """Read which certificate this is: its authority's key, and its serial. None: it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            certificate = x509.load_der_x509_certificate(der)
            serial = certificate.serial_number
            found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except _UNREADABLE:
        return None
    key = found.value.key_identifier or b""
    is_one = 0 < len(key) <= MAX_KEY_IDENTIFIER_OCTETS and 0 < serial < MAX_SERIAL
    return CertificateId(key, serial) if is_one else None


async def _decide(
    authority: Authority, asked: Asked, issued: Issued, request: rules.RevocationRequest
) -> rules.Revocation | Refusal:
    certificate = issued.certificate
    if asked.account is None:
        use = await authority.store.find_key_use(issued.spki_sha256, "")
        return rules.decide_by_key(
            certificate, asked.request.key, asked.now, is_blocked=use.is_blocked
        )
    held = await authority.store.find_valid_authorizations(
        asked.account.id, certificate.identifiers, asked.now
    )
    return rules.decide_by_account(
        certificate,
        asked.account,
        [each.authorization for each in held],
        request.reason,
        asked.now,
    )
