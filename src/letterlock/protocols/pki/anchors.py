"""Trust anchors: the certificates that chains must lead to, read once and used for every hop.

RFC 5280 §6.1.1 (d), RFC 7468 §5 (the files). Which files are read is the caller's business.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Self

from OpenSSL import crypto

PARTIAL_CHAIN = crypto.X509StoreFlags.PARTIAL_CHAIN

_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*?)-----END \1-----")
_CERTIFICATE_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE")


class AnchorsError(ValueError):
    """A file of trust anchors cannot be used; the message says why."""


class TrustAnchors:
    """Certificates that chains must lead to, parsed once.

    A tafile is Postfix's: any certificate in it is an anchor, a leaf too, and an anchor's own dates
    don't count. `is_partial`: an anchor need not be self-signed, and its dates count.
    """

    def __init__(
        self,
        certificates: Sequence[crypto.X509],
        *,
        is_tafile: bool = False,
        is_partial: bool = False,
    ) -> None:
        self.certificates = tuple(certificates)
        self.is_tafile = is_tafile
        self.flags = PARTIAL_CHAIN if is_tafile or is_partial else 0
        """OpenSSL's X509_V_FLAG_ bits that a store of these needs."""
        self._latest: tuple[datetime, crypto.X509Store] | None = None

    @classmethod
    def from_pem(cls, pem: bytes, *, is_tafile: bool = False) -> Self:
        """Read PEM certificates, as in a CA bundle; text between them is skipped.

        Raises AnchorsError when there are none, or something else is among them.
        """
        found = [
            _load_anchor(number, label, body)
            for number, (label, body) in enumerate(_PEM_BLOCK.findall(pem), start=1)
        ]
        if len(found) != pem.count(b"-----BEGIN "):
            raise AnchorsError("a PEM block is broken or not closed")
        if not found:
            raise AnchorsError("there is no PEM certificate in it")
        return cls(found, is_tafile=is_tafile)

    @classmethod
    def from_der(cls, der: bytes) -> Self:
        """Take one certificate as the only anchor, self-signed or not. Raises AnchorsError."""
        try:
            return cls([crypto.load_certificate(crypto.FILETYPE_ASN1, der)], is_partial=True)
        except crypto.Error as error:
            raise AnchorsError("it is not a certificate that OpenSSL can read") from error

    def store_at(self, moment: datetime) -> crypto.X509Store:
        """Give a store whose time is `moment`, to the second: OpenSSL counts no less."""
        second = moment.replace(microsecond=0)
        if self._latest is None or self._latest[0] != second:
            self._latest = (second, make_store(self.certificates, self.flags, second))
        return self._latest[1]


def make_store(
    certificates: Iterable[crypto.X509], flags: int, moment: datetime
) -> crypto.X509Store:
    """Make a store of OpenSSL's. `flags` are its X509_V_FLAG_ bits, `moment` is in UTC.

    OpenSSL lets the time of a store be set once, and ignores it after that.
    """
    store = crypto.X509Store()
    for certificate in certificates:
        store.add_cert(certificate)
    if flags:
        store.set_flags(flags)
    store.set_time(moment)
    return store


def _load_anchor(number: int, label: bytes, body: bytes) -> crypto.X509:
    if label not in _CERTIFICATE_LABELS:
        raise AnchorsError(
            f"PEM block {number} is a {label.decode('ascii')}; only certificates can be anchors"
        )
    try:
        return crypto.load_certificate(crypto.FILETYPE_ASN1, a2b_base64(body))
    except (crypto.Error, Base64Error) as error:
        raise AnchorsError(f"PEM block {number} is not a certificate") from error
