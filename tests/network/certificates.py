"""Certificates on disk, server choosers and two ends of a TLS connection, for the tests here."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from OpenSSL import SSL

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.key_pairs import find_server_names
from letterlock.network.server_certificates import (
    ManagedPairs,
    ServerCertificates,
    ServerSettings,
)
from letterlock.network.tls import TlsDriver
from letterlock.protocols.pki.throwaway_ca import Issued, KeyKind, ThrowawayCa, self_signed
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed
from letterlock.storage.certificate_files import CertificateFiles, PairListing
from letterlock.storage.certificates import CertificateId, KeptPair

NOW: datetime = SystemClock().now().astimezone(UTC)
"""OpenSSL reads the machine's clock: what it is to accept must be valid by that."""


@cache
def authority() -> ThrowawayCa:
    return ThrowawayCa("Test CA", NOW)


@cache
def issue(names: tuple[str, ...], key: KeyKind = "ec") -> Issued:
    """Issue a certificate; the same one for the same arguments (RSA keys take long to make)."""
    return authority().issue(names, now=NOW, key=key)


def write_pair(folder: Path, issued: Issued, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(issued.chain_pem)
    key.write_bytes(issued.key_pem)
    key.chmod(0o600)
    return certificate, key


def make_chooser(
    folder: Path, *issued: Issued, settings: ServerSettings | None = None
) -> ServerCertificates:
    files = [write_pair(folder, each, f"pair{number}") for number, each in enumerate(issued)]
    return ServerCertificates(files, settings)


def identify(issued: Issued) -> CertificateId:
    key_type = KeyType.RSA if isinstance(issued.key, RSAPrivateKey) else KeyType.ECDSA
    return CertificateId(find_server_names(issued.certificate)[0], key_type)


def write_managed(files: CertificateFiles, *issued: Issued) -> None:
    for each in issued:
        files.write(identify(each), KeptPair(each.chain_pem, each.key_pem))


def make_managed(
    folder: Path, hostname: str, *issued: Issued, configured: Sequence[tuple[Path, Path]] = ()
) -> ServerCertificates:
    """Make what a node has that gets its own certificates: one stands in until there is another."""
    files = CertificateFiles(folder)
    stand_in = self_signed([hostname], now=NOW)
    files.write_self_signed(KeptPair(stand_in.chain_pem, stand_in.key_pem))
    write_managed(files, *issued)
    managed = ManagedPairs(PairListing(folder), Domain(hostname), files.self_signed)
    return ServerCertificates(configured, managed=managed)


def client_context(
    *,
    max_version: int | None = None,
    min_version: int | None = None,
    ciphers: bytes | None = None,
    signatures: bytes | None = None,
) -> SSL.Context:
    """Make a plain pyOpenSSL client context: not ours, so that ours is tested against it."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if max_version is not None:
        context.set_max_proto_version(max_version)
    if min_version is not None:
        context.set_min_proto_version(min_version)
    if ciphers is not None:
        context.set_cipher_list(ciphers)
    if signatures is not None:
        # The binding has it, pyOpenSSL does not hand it on.
        assert SSL._lib.SSL_CTX_set1_sigalgs_list(context._context, signatures) == 1  # type: ignore[attr-defined] # not exported
    return context


Result = Handshake | HandshakeFailed | None


def shake(client: TlsDriver, server: TlsDriver) -> tuple[Result, Result]:
    """Carry octets between two ends until both are done or neither has more to say."""
    results: tuple[Result, Result] = (None, None)
    for _ in range(10):
        results = (client.do_handshake(), server.do_handshake())
        to_server, to_client = client.bytes_to_send(), server.bytes_to_send()
        if not to_server and not to_client:
            return results
        server.receive(to_server)
        client.receive(to_client)
    return results
