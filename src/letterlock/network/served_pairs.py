"""Certificates that we serve: little memory while nobody asks for one, no delay once one was asked.

RFC 9325 §3.4 (tickets), §4.2.1 (order of ciphers). One context for each chain above the leaves,
and authorities have few: a connection is given its leaf and key, which costs 10 us, where a context
for each certificate would cost 0.7 ms and 26 KiB. So tickets are shared by all names below one
authority, which TLS 1.3 allows (RFC 8446 §4.6.1).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from letterlock.network.key_pairs import KeyPair, PrivateKey, load_untried_pair, use_key_pair
from letterlock.network.tls_settings import SERVER_CIPHERS, make_context
from letterlock.protocols.tls.client_hello import ClientHello

TICKET_LIFETIME = timedelta(days=1)
"""RFC 8446 §4.6.1: at most 7 days; RFC 9325 §3.4: less than the week that a ticket key lives."""

_GROUPS = {"secp256r1": 23, "secp384r1": 24, "secp521r1": 25}  # RFC 8446 §4.2.7


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How we serve TLS, whichever the certificate. `ciphers` are TLS 1.2's; None: ours."""

    min_version: str = "TLSv1.2"
    ciphers: str | None = None
    has_session_tickets: bool = True


@dataclass(slots=True, eq=False)
class _Above:
    """What is sent after a leaf, and the context that sends it."""

    certificates: tuple[x509.Certificate, ...]
    context: SSL.Context


class ServedPair:
    """A leaf and its key below what is above it. `names` are those that a client may ask for."""

    __slots__ = (
        "_above",
        "_openssl",
        "_pair",
        "curve",
        "key_type",
        "names",
        "not_after",
        "not_before",
        "warnings",
    )

    def __init__(self, pair: KeyPair, above: _Above) -> None:
        leaf = pair.chain[0]
        self.names = pair.names
        self.warnings = pair.warnings
        self.key_type = pair.key_type
        self.not_after: datetime = leaf.not_valid_after_utc
        self.not_before: datetime = leaf.not_valid_before_utc
        self.curve = _find_curve(pair.key)
        self._above = above
        # As octets: cryptography's object holds its extensions, 8 KiB of them, once asked for one.
        self._pair: tuple[bytes, PrivateKey] | None = (leaf.public_bytes(Encoding.DER), pair.key)
        self._openssl: tuple[crypto.X509, crypto.PKey] | None = None

    @property
    def context(self) -> SSL.Context:
        return self._above.context

    def fits(self, hello: ClientHello) -> bool:
        return hello.fits(self.key_type, self.curve)

    def make_ready(self) -> bool:
        """Make what connections are given, at the first call; False: OpenSSL refuses the pair."""
        if self._openssl is None and self._pair is not None:
            leaf, key = self._pair
            # One form is enough: what is not asked for stays in the smaller one.
            self._pair = None
            try:
                certificate = crypto.load_certificate(crypto.FILETYPE_ASN1, leaf)
                made = certificate, crypto.PKey.from_cryptography_key(key)
                _use(SSL.Connection(self.context, None), *made)
            except (SSL.Error, crypto.Error):
                return False
            self._openssl = made
        return self._openssl is not None

    def use_on(self, connection: SSL.Connection) -> None:
        """Give it to a connection that has its context; `make_ready` gave True before."""
        assert self._openssl is not None
        _use(connection, *self._openssl)


class PairLoader:
    """Loads pairs, and makes the contexts that they share."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._aboves: dict[tuple[x509.Certificate, ...], _Above] = {}

    def load(self, certificate_path: Path, key_path: Path, *, is_tried: bool) -> ServedPair:
        """Load a pair; raises LocalError, which names the file.

        `is_tried`: OpenSSL sees it now, not only when a client wants it, which takes a millisecond.
        The first with a certain chain is always tried.
        """
        pair = load_untried_pair(certificate_path, key_path)
        certificates = pair.chain[1:]
        above = self._aboves.get(certificates)
        if is_tried or above is None:
            use_key_pair(SSL.Context(SSL.TLS_METHOD), pair)
        if above is None:
            above = _Above(certificates, self._make_context(certificates))
            self._aboves[certificates] = above
        return ServedPair(pair, above)

    def renew_contexts(self, used: set[SSL.Context]) -> None:
        """Make new contexts in place of those used: each has ticket keys of its own."""
        self._aboves = {
            certificates: above
            for certificates, above in self._aboves.items()
            if above.context in used
        }
        for certificates, above in self._aboves.items():
            above.context = self._make_context(certificates)

    def _make_context(self, above: tuple[x509.Certificate, ...]) -> SSL.Context:
        settings = self._settings
        ciphers = settings.ciphers or SERVER_CIPHERS
        context = make_context(SSL.TLS_SERVER_METHOD, settings.min_version, None, ciphers)
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
        context.set_timeout(int(TICKET_LIFETIME.total_seconds()))
        if not settings.has_session_tickets:
            context.set_options(SSL.OP_NO_TICKET)
        for certificate in above:
            context.add_extra_chain_cert(certificate)
        return context


def _find_curve(key: PrivateKey) -> int | None:
    return _GROUPS.get(key.curve.name, 0) if isinstance(key, EllipticCurvePrivateKey) else None


def _use(connection: SSL.Connection, leaf: crypto.X509, key: crypto.PKey) -> None:
    # pyOpenSSL's own methods take cryptography's objects only, and make OpenSSL's of them at each
    # call: 0.3 ms. Should its inside change, that is what happens.
    try:
        lib: Any = getattr(SSL, "_lib")  # noqa: B009 - mypy: not exported
        fail: Any = getattr(SSL, "_raise_current_error")  # noqa: B009 - as above
        if not lib.SSL_use_certificate(connection._ssl, leaf._x509):  # noqa: SLF001 - see above
            fail()
        if not lib.SSL_use_PrivateKey(connection._ssl, key._pkey):  # noqa: SLF001 - see above
            fail()
    except AttributeError:
        private = cast(PrivateKey, key.to_cryptography_key())
        connection.use_certificate(leaf.to_cryptography())
        connection.use_privatekey(private)
