"""An authority that issues, as it is used: its key, and the chains that its certificates have.

RFC 8555 §7.4.2 (alternate chains), §9.1 (each certifies the one before; the root may be left out).
The same key certified by several roots gives several chains; the one in use comes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.errors import LocalError
from letterlock.protocols.pki.bundles import read_bundle
from letterlock.protocols.pki.certificate import Unreadable
from letterlock.protocols.pki.issuance.issuers import Issuer, IssuerError, make_issuer
from letterlock.protocols.pki.issuance.signing import AuthorityKey, Signer, digest_of
from letterlock.services.ca.publications import find_places

MAX_BUNDLE_OCTETS = 256 * 1024
MAX_CHAIN = 8

_UNREADABLE = (
    *(ValueError, TypeError, UnsupportedAlgorithm),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)


@dataclass(frozen=True, slots=True)
class IssuingAuthority:
    """Who issues, and signs CRLs.

    `chains` has for each chain what follows a certificate in it, in PEM; never empty.
    """

    issuer: Issuer
    chains: tuple[bytes, ...]

    @property
    def key_identifier(self) -> bytes:
        """By it the store knows whose certificates and CRLs are whose."""
        found = self.issuer.key_identifier.key_identifier
        assert found is not None
        return found


def load_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Load a file's certificates, PEM or DER, one at least. Raises LocalError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BUNDLE_OCTETS + 1)
    except OSError as error:
        raise LocalError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_BUNDLE_OCTETS:
        raise LocalError(f"{path}: larger than {MAX_BUNDLE_OCTETS} octets, not a chain")
    found: list[x509.Certificate] = []
    for each in read_bundle(content):
        if isinstance(each, Unreadable):
            raise LocalError(f"{path}: {each.reason}")
        try:
            found.append(x509.load_der_x509_certificate(each))
        except _UNREADABLE as error:
            raise LocalError(f"{path}: a certificate in it cannot be read") from error
    if len(found) > MAX_CHAIN:
        raise LocalError(f"{path}: a chain has at most {MAX_CHAIN} certificates")
    return tuple(found)


def find_authority_key(certificate: x509.Certificate) -> AuthorityKey:
    """Give the key of an authority's certificate. Raises IssuerError for one that none has."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IssuerError("the authority's key cannot be read") from error
    if not isinstance(key, AuthorityKey):
        raise IssuerError("an authority's key is ECDSA or RSA")
    try:
        digest_of(key)
    except ValueError as error:
        raise IssuerError(str(error)) from error
    return key


def join_authority(
    signer: Signer,
    folder_url: str,
    chains: Sequence[Sequence[x509.Certificate]],
    root: x509.Certificate,
) -> IssuingAuthority:
    """Join a key and its chains; each begins with a certificate of the key.

    The first leads to `root`. `folder_url` is where everything is published. Raises IssuerError,
    ValueError for a folder's URL that is none.
    """
    own = [chain[0] for chain in chains]
    issuer = make_issuer(own[0], signer, find_places(own[0], folder_url))
    for other in own[1:]:
        alternate = make_issuer(other, signer, issuer.places)
        is_same = other.subject == own[0].subject
        if not is_same or alternate.key_identifier != issuer.key_identifier:
            raise IssuerError("the alternate chains are not of the same authority")
    sent = [_leave_out_root(chain) for chain in chains]
    for each in sent:
        _check_links(each)
    _check_root(sent[0], own[0], root)
    return IssuingAuthority(issuer, tuple(_format(each) for each in sent))


def _leave_out_root(chain: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """RFC 8446 §4.4.2: who verifies has it."""
    return tuple(each for each in chain if each.subject != each.issuer)


def _check_links(chain: Sequence[x509.Certificate]) -> None:
    for below, above in pairwise(chain):
        if not is_issued_by(below, above):
            name = below.subject.rfc4514_string()
            raise IssuerError(f"{name} is not certified by what follows it in its chain")


def _check_root(
    sent: Sequence[x509.Certificate], own: x509.Certificate, root: x509.Certificate
) -> None:
    top = sent[-1] if sent else own
    if not is_issued_by(root, root):
        raise IssuerError("the root does not certify itself: it is none")
    if top != root and not is_issued_by(top, root):
        raise IssuerError(f"the root does not certify {top.subject.rfc4514_string()}")


def is_issued_by(below: x509.Certificate, above: x509.Certificate) -> bool:
    """Tell whether a certificate is signed by the key of another, and has its name as issuer."""
    try:
        below.verify_directly_issued_by(above)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True


def _format(chain: Sequence[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in chain)
