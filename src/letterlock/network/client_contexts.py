"""TLS contexts for connections we make, by what the hop requires.

RFC 9325 §3.1 (versions), §3.9 (SNI is the driver's), §4.2 (ciphers); RFC 8996 §4; RFC 7435 §3.
Handshakes run without verification: they give facts, and `protocols.policy` judges them before
anything is sent. Where a hop is strict on the chain, `is_verifying` has OpenSSL refuse it inside
the handshake, so that the peer sees the alert `unknown_ca`; names are judged after it all the same.
Sessions are not kept, so none is ever resumed under another name or requirement (RFC 8446 §4.6.1):
mail to one host goes over one connection, which is reused.
"""

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from OpenSSL import SSL, crypto

from letterlock.base.errors import LocalError
from letterlock.network.key_pairs import FileStamp, find_stamp, load_key_pair, use_key_pair
from letterlock.network.tls_settings import (
    OPPORTUNISTIC_CIPHERS,
    RECOMMENDED_CIPHERS,
    make_context,
)

MAX_CONTEXTS = 64
"""A node has a handful of different requirements; a table with a file for each domain has more."""

SYSTEM_TRUST_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine, FreeBSD, macOS
)

_OLD_VERSIONS = ("TLSv1", "TLSv1.1")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a hop requires of the connection itself.

    `ciphers` is an OpenSSL list for TLS 1.2 and below; None: ours. `is_opportunistic`: the
    alternative is clear text, so old ciphers and short keys are better than nothing.
    `trust_files` are PEM files that replace the usual trust anchors; they count only when
    `is_verifying`.
    """

    min_version: str = "TLSv1.2"
    max_version: str | None = None
    ciphers: str | None = None
    is_opportunistic: bool = False
    is_verifying: bool = False
    trust_files: tuple[str, ...] = ()


class ClientContexts:
    """Makes contexts and keeps the last used ones."""

    def __init__(
        self,
        certificate_files: tuple[Path, Path] | None = None,
        trust_files: Sequence[Path] = (),
    ) -> None:
        """Take our own (certificate, key), shown to servers that ask; None: we show none.

        `trust_files` hold the trust anchors where the settings name none; none here either means
        the system's. Raises LocalError when our own can't be used. A new object sees it changed.
        """
        self._trust_files = tuple(trust_files)
        self._pair = load_key_pair(*certificate_files) if certificate_files else None
        self._contexts: OrderedDict[object, SSL.Context] = OrderedDict()

    def find(self, settings: ClientSettings) -> SSL.Context:
        """Give a context for these settings; trust anchors are as their files are now.

        Raises LocalError when no context can be made of them: mail for that hop must wait.
        """
        trust_files = self._find_trust_files(settings)
        key = (settings, tuple(_find_stamp(path) for path in trust_files))
        context = self._contexts.get(key)
        if context is None:
            context = self._make(settings, trust_files)
            self._contexts[key] = context
            if len(self._contexts) > MAX_CONTEXTS:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(key)
        return context

    def _make(self, settings: ClientSettings, trust_files: tuple[Path, ...]) -> SSL.Context:
        context = make_context(
            SSL.TLS_CLIENT_METHOD,
            settings.min_version,
            settings.max_version,
            _find_ciphers(settings),
        )
        if self._pair is not None:
            use_key_pair(context, self._pair)
        if settings.is_verifying:
            _trust(context, trust_files)
            store = context.get_cert_store()
            # An operator's trust anchor may be an intermediate, as in Postfix's tafile.
            if settings.trust_files and store is not None:
                store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
            context.set_verify(SSL.VERIFY_PEER)
        return context

    def _find_trust_files(self, settings: ClientSettings) -> tuple[Path, ...]:
        if not settings.is_verifying:
            return ()
        if settings.trust_files:
            return tuple(Path(each) for each in settings.trust_files)
        if self._trust_files:
            return self._trust_files
        system = system_trust_file()
        if system is None:
            raise LocalError(
                "no trust anchors: the system has no CA bundle (install ca-certificates)"
            )
        return (system,)


def system_trust_file() -> Path | None:
    """Find the system's trust anchors: SSL_CERT_FILE, else where distributions keep them.

    OpenSSL can't be asked: ours comes with a wheel, whose paths are those of the build machine.
    """
    named = os.environ.get("SSL_CERT_FILE")
    candidates = (named,) if named else SYSTEM_TRUST_FILES
    return next((Path(each) for each in candidates if Path(each).is_file()), None)


def _find_stamp(path: Path) -> FileStamp:
    stamp = find_stamp(path)
    if stamp is None:
        raise LocalError(f"{path}: the file with trust anchors can't be read")
    return stamp


def _trust(context: SSL.Context, trust_files: tuple[Path, ...]) -> None:
    for path in trust_files:
        try:
            context.load_verify_locations(str(path))
        except SSL.Error as error:
            raise LocalError(
                f"{path}: no trust anchor in PEM form could be read from it"
            ) from error


def _find_ciphers(settings: ClientSettings) -> str:
    """Give the cipher list with OpenSSL's security level, SSL_CTX_set_security_level(3).

    Level 0 where TLS is opportunistic, for servers with short keys or SHA-1; else level 1, which
    has no SHA-1 and leaves the length of keys to the judge, who can say what is wrong.
    """
    is_old = settings.min_version in _OLD_VERSIONS
    if is_old and not settings.is_opportunistic:
        raise LocalError("TLS before 1.2 can be allowed only where TLS is opportunistic (RFC 8996)")
    default = OPPORTUNISTIC_CIPHERS if settings.is_opportunistic else RECOMMENDED_CIPHERS
    ciphers = settings.ciphers or default
    if "@SECLEVEL" in ciphers:
        return ciphers
    return f"{ciphers}:@SECLEVEL={0 if settings.is_opportunistic else 1}"
