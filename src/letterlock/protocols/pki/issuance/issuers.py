"""An issuer: an authority's certificate with its key, and where what it publishes is found.

RFC 5280 §4.2.1.13 (CRL distribution points), §4.2.2.1 (where the issuer's certificate is). CRLs are
in shards, and a certificate's serial number says which one it is in, for ever.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography import x509

from letterlock.protocols.pki.issuance.signing import (
    AuthorityKey,
    AuthorityPrivateKey,
    Signer,
    make_stand_in,
)

SERIAL_RANDOM_OCTETS = 17
MAX_SHARDS = 127
"""A serial number's first octet is its shard: RFC 5280 §4.1.2.2 wants it positive."""
_RANDOM_BITS = 128

# As `protocols.pki.crl` reads it, ending in a slash.
_FOLDER_URL = re.compile(
    r"http://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?/(?:[\w.~-]+/)*", re.ASCII
)
_MAX_URL_CHARACTERS = 200


class IssuerError(ValueError):
    """An issuer whose parts don't belong together; the message is one line."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where relying parties find what an issuer publishes, by http. Raises ValueError.

    `crls` is a folder's URL: shard 3 is `3.crl` in it. It must stay as it is while certificates
    live that name it. `issuer` is the URL of the issuer's certificate (DER), None for none.
    """

    crls: str
    issuer: str | None = None

    def __post_init__(self) -> None:
        if len(self.crls) > _MAX_URL_CHARACTERS or not _FOLDER_URL.fullmatch(self.crls):
            raise ValueError(f"the CRLs' folder is an http URL that ends in a slash: {self.crls}")
        if self.issuer is not None and not _FOLDER_URL.match(self.issuer):
            raise ValueError(f"the issuer's certificate is at an http URL: {self.issuer}")

    def crl_url(self, shard: int) -> str:
        """Give the distribution point of a shard, as certificates and the CRL itself have it."""
        return f"{self.crls}{shard}.crl"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who issues. `stand_in` is a throw-away key that drafts are signed with."""

    certificate: x509.Certificate
    signer: Signer
    places: Places
    stand_in: AuthorityPrivateKey = field(repr=False)

    @property
    def key(self) -> AuthorityKey:
        return self.signer.public_key

    @property
    def key_identifier(self) -> x509.AuthorityKeyIdentifier:
        """RFC 5280 §4.2.1.1: the very identifier that the issuer's own certificate has."""
        return _find_key_identifier(self.certificate)


@lru_cache(maxsize=16)  # Each certificate has it.
def _find_key_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    subject = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject.value)


def make_issuer(certificate: x509.Certificate, signer: Signer, places: Places) -> Issuer:
    """Join a certificate and a key. Raises IssuerError when they are not an issuer's."""
    if certificate.public_key() != signer.public_key:
        raise IssuerError("the certificate is not that of the key")
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound as error:
        raise IssuerError(f"the certificate is not that of an authority: {error}") from error
    if not (constraints.ca and usage.key_cert_sign and usage.crl_sign):
        raise IssuerError("the certificate does not let its key sign certificates and CRLs")
    return Issuer(certificate, signer, places, make_stand_in(signer.public_key))


def make_serial(random: bytes, shards: int) -> int:
    """Make a serial number from SERIAL_RANDOM_OCTETS random octets; it has 128 random bits.

    RFC 5280 §4.1.2.2: positive, at most 20 octets. Its first octet is the number of its shard, of
    1 to `shards`; so it is also where it was when there are more shards later.
    """
    if len(random) != SERIAL_RANDOM_OCTETS:
        raise ValueError(f"a serial number is made from {SERIAL_RANDOM_OCTETS} octets")
    if not 1 <= shards <= MAX_SHARDS:
        raise ValueError(f"there are 1 to {MAX_SHARDS} shards")
    shard = 1 + random[0] % shards
    return shard << _RANDOM_BITS | int.from_bytes(random[1:])


def find_shard(serial: int) -> int | None:
    """Give the shard whose CRL a serial number would be in; None: it is none of ours."""
    shard = serial >> _RANDOM_BITS
    return shard if 1 <= shard <= MAX_SHARDS else None
