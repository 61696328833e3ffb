"""The certificate that a server issued, with what is above it, and whether it was asked for.

RFC 8555 §7.4.2, §9.1 (strict PEM, leaf first, each certifying the one before), §11.4 (nothing else
in the file). Trust anchors are not looked at: who relies on the chain has those.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.protocols.acme.fields import ObjectError
from letterlock.protocols.acme.identifiers import DNS, IP, Identifier

MEDIA_TYPE = "application/pem-certificate-chain"
MAX_CERTIFICATES = 10
MAX_CHAIN_OCTETS = 128 * 1024

# RFC 7468 §2, strict: what lies between the blocks is no text.
_CHAIN = re.compile(
    rb"(?:-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----\s*)+\Z"
)

# What cryptography raises for a certificate that it cannot read, some of it only when asked.
_UNREADABLE = (
    *(ValueError, TypeError, UnsupportedAlgorithm),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class IssuedChain:
    """A certificate and those above it, as they are sent in handshakes."""

    certificates: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        return self.certificates[0]

    @property
    def top_issuer(self) -> str:
        """The issuer of the last one, as RFC 4514 writes it: by it operators choose a chain."""
        return self.certificates[-1].issuer.rfc4514_string()

    @property
    def pem(self) -> bytes:
        """The content of a fullchain.pem."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in self.certificates)


def parse_chain(pem: bytes) -> IssuedChain:
    """Parse a downloaded chain. Raises ObjectError."""
    if len(pem) > MAX_CHAIN_OCTETS or not _CHAIN.match(pem.lstrip()):
        raise ObjectError("certificate chain: something else than certificates is in it")
    if pem.count(b"-----BEGIN ") > MAX_CERTIFICATES:
        raise ObjectError(f"certificate chain: it has more than {MAX_CERTIFICATES} certificates")
    try:
        chain = IssuedChain(tuple(x509.load_pem_x509_certificates(pem)))
        # Names are parsed when they are asked for.
        _ = chain.top_issuer
    except _UNREADABLE as error:
        raise ObjectError("certificate chain: a certificate in it can't be read") from error
    return chain


def find_chain_fault(
    chain: IssuedChain, key: PublicKey, identifiers: frozenset[Identifier]
) -> str | None:
    """Say why a chain is not what was asked for; None: it is."""
    try:
        if _encode_key(chain.leaf) != key.public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        ):
            return "the certificate is for another key"
        if _find_names(chain.leaf) != identifiers:
            return "the certificate is for other names"
        for issued, issuer in zip(chain.certificates, chain.certificates[1:], strict=False):
            issued.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return "the certificates of the chain do not follow from each other"
    except _UNREADABLE:
        return "the certificates of the chain do not follow from each other, or can't be read"
    return None


def choose_chain(chains: Sequence[IssuedChain], top_issuer: str | None) -> IssuedChain:
    """Choose the first chain whose top issuer has this in its name; else the server's own choice.

    The first is the one that the server gave unasked (RFC 8555 §7.4.2).
    """
    if top_issuer is not None:
        for chain in chains:
            if top_issuer.lower() in chain.top_issuer.lower():
                return chain
    return chains[0]


def _encode_key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _find_names(certificate: x509.Certificate) -> frozenset[Identifier]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(
        Identifier(IP, str(each.value))
        if isinstance(each, x509.IPAddress)
        else Identifier(DNS if isinstance(each, x509.DNSName) else "other", str(each.value).lower())
        for each in names
    )
