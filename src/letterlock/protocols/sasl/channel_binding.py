"""Channel bindings: what ties an exchange to the TLS connection that it runs over.

RFC 5056 §2; RFC 9266 §4.1 (tls-exporter), RFC 5929 §4.1 (tls-server-end-point). tls-unique is left
out: TLS 1.3 has none, and before it somebody in the middle may make two connections share one
(RFC 9266 §1).
"""

from collections.abc import Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import load_der_x509_certificate

TLS_EXPORTER = "tls-exporter"
TLS_SERVER_END_POINT = "tls-server-end-point"

EXPORTER_LABEL = b"EXPORTER-Channel-Binding"
EXPORTER_OCTETS = 32
"""RFC 9266 §4.1; the context is empty."""

ChannelBindings = Mapping[str, bytes]
"""What a connection can be tied to, by the types' names, the best first."""

NO_BINDINGS: ChannelBindings = {}

# RFC 5929 §4.1: these are too weak, so SHA-256 stands in for them.
_WEAK = (hashes.MD5, hashes.SHA1)


def hash_end_point(certificate: bytes) -> bytes | None:
    """Give the hash of a server's certificate (DER); None where none is defined.

    Of a signature without a hash of its own, as Ed25519's, RFC 5929 says nothing.
    """
    try:
        algorithm = load_der_x509_certificate(certificate).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None
    if algorithm is None:
        return None
    digest = hashes.Hash(hashes.SHA256() if isinstance(algorithm, _WEAK) else algorithm)
    digest.update(certificate)
    return digest.finalize()
