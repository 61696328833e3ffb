"""What an authority publishes for all: its CRLs, and the certificates of its issuers.

RFC 5280 §4.2.1.13 and §4.2.2.1 (both are found by HTTP, in DER), RFC 2585 §4 (media types). Each
issuer has a folder of its own, named by its key, below one URL that must stay. How long caches may
keep them is said here, as a CRL's own dates do not say it: the next one may come at any moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.pki.issuance.issuers import MAX_SHARDS, Places
from letterlock.storage.ca.kept import KeptCrl

CRL_TYPE = "application/pkix-crl"
CERTIFICATE_TYPE = "application/pkix-cert"
ISSUER_FILE = "issuer.der"
CRL_CACHED = timedelta(hours=1)
"""A revocation must be seen soon: within a day of it (Baseline Requirements 4.9.7), and here in an
hour, whatever stands between a client and us."""
CERTIFICATE_CACHED = timedelta(days=1)

_CRL_SUFFIX = ".crl"
_FOLDER_OCTETS = 8


class CrlReads(Protocol):
    """Of `storage.ca.store.RevocationReads` what is needed."""

    async def load_crl(self, issuer: bytes, shard: int) -> KeptCrl | None: ...


@dataclass(frozen=True, slots=True)
class Publication:
    """A body to serve. `made` is when it was signed; `fresh_until` when another must be there.

    `cached` is how long a copy may be shown instead, if another need not be there before.
    """

    octets: bytes
    media_type: str
    made: datetime
    fresh_until: datetime
    cached: timedelta

    def find_cached(self, now: datetime) -> timedelta:
        """Say how long a copy that is made now may be shown; zero: ask each time."""
        return max(min(self.cached, self.fresh_until - now), timedelta())


def make_places(folder_url: str, key_identifier: bytes) -> Places:
    """Say where an issuer's publications are below a URL. Raises ValueError for one that is none.

    Certificates have these places in them: while they live, nothing of this may change.
    """
    folder = f"{folder_url}{name_folder(key_identifier)}/"
    return Places(folder, f"{folder}{ISSUER_FILE}")


def find_places(certificate: x509.Certificate, folder_url: str) -> Places:
    """Say where an issuer's publications are, by its certificate. Raises ValueError."""
    identifier = find_key_identifier(certificate)
    if identifier is None:
        raise ValueError("the certificate has no key identifier: it is not an authority's")
    return make_places(folder_url, identifier)


def name_folder(key_identifier: bytes) -> str:
    """Give the name of an issuer's folder."""
    return key_identifier[:_FOLDER_OCTETS].hex()


def find_key_identifier(certificate: x509.Certificate) -> bytes | None:
    """Give by what an issuer is known, here and in what it issues (RFC 5280 §4.2.1.2)."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return found.value.digest


class Publications:
    """Finds what is served. `certificates` are those of all issuers, the roots' too."""

    def __init__(self, store: CrlReads, certificates: Iterable[x509.Certificate]) -> None:
        self._store = store
        self._certificates = {
            name_folder(identifier): (identifier, each)
            for each in certificates
            if (identifier := find_key_identifier(each)) is not None
        }

    async def find(self, folder: str, name: str) -> Publication | None:
        """Find what is at `FOLDER/NAME` below the folder's URL; None: nothing is.

        Both are as a client sent them. Raises StoreUnavailable.
        """
        found = self._certificates.get(folder)
        if found is None:
            return None
        identifier, certificate = found
        if name == ISSUER_FILE:
            return Publication(
                certificate.public_bytes(Encoding.DER),
                CERTIFICATE_TYPE,
                certificate.not_valid_before_utc,
                certificate.not_valid_after_utc,
                CERTIFICATE_CACHED,
            )
        shard = _find_shard(name)
        crl = await self._store.load_crl(identifier, shard) if shard is not None else None
        if crl is None:
            return None
        period = crl.period
        return Publication(crl.der, CRL_TYPE, period.this_update, period.next_update, CRL_CACHED)


def _find_shard(name: str) -> int | None:
    """Give the shard whose CRL has this name, which is its only one: `3.crl`."""
    number = name.removesuffix(_CRL_SUFFIX)
    if number == name or not number.isascii() or not number.isdigit() or len(number) > 3:
        return None
    shard = int(number)
    return shard if 1 <= shard <= MAX_SHARDS and str(shard) == number else None
