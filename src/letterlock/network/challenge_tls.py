"""The server's side of one TLS handshake of acme-tls/1: octets in, octets out, no sockets.

RFC 8737 §3, §4; RFC 7301 §3.2. With the standard library's `ssl`, and here alone: to select a
protocol pyOpenSSL calls back into Python, which takes memory that is writable and executable
(`docs/decisions/0001-sans-io-tls-driver-on-pyopenssl.md`). What `ssl` can't tell, nobody asks of a
handshake after which the connection ends.
"""

import os
import ssl
from contextlib import suppress

from letterlock.protocols.acme.challenges import ALPN, ChallengeCertificate


class ChallengeTls:
    """One handshake, then the end; after each call send what it gave."""

    def __init__(self, certificate: ChallengeCertificate) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        context = _make_context(certificate)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.is_over = False
        """The handshake is complete or has failed; nothing more is to be read."""

    def receive(self, octets: bytes) -> bytes:
        """Take octets from the peer; give those to send. Raises nothing for what a peer sends."""
        self._incoming.write(octets)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read()
        except ssl.SSLError:  # its alert is among the octets to send
            self.is_over = True
            return self._outgoing.read()
        self.is_over = True
        with suppress(ssl.SSLError):  # our close_notify is out; that of the peer is not awaited
            self._tls.unwrap()
        return self._outgoing.read()


def _make_context(certificate: ChallengeCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([ALPN.decode("ascii")])
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    descriptor = os.memfd_create("challenge")
    try:
        os.write(descriptor, certificate.key_pem + certificate.certificate_pem)
        # `ssl` reads files alone.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
