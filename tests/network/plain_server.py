"""A TLS server that is not ours: the standard library's, over its own OpenSSL."""

import ssl
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from letterlock.network.tls import TlsDriver
from letterlock.protocols.pki.throwaway_ca import Issued
from tests.network.certificates import Result, authority, write_pair


@dataclass(frozen=True, slots=True)
class PlainSettings:
    """What is unlike the standard library's defaults."""

    ciphers: str | None = None
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None
    curve: str | None = None
    requires_client_certificate: bool = False
    refuses_sni: bool = False


class PlainServer:
    """A server side over memory BIOs; its alerts are always handed out."""

    def __init__(self, issued: Issued, settings: PlainSettings | None = None) -> None:
        settings = settings if settings is not None else PlainSettings()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if settings.ciphers is not None:
            context.set_ciphers(settings.ciphers)
        with tempfile.TemporaryDirectory() as folder:
            context.load_cert_chain(*write_pair(Path(folder), issued, "server"))
        if settings.versions is not None:
            with warnings.catch_warnings():
                # Versions before 1.2 are deprecated; that is what they are here for.
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version, context.maximum_version = settings.versions
        if settings.curve is not None:
            context.set_ecdh_curve(settings.curve)
        if settings.requires_client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=authority().pem.decode("ascii"))
        if settings.refuses_sni:
            context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.is_done = False
        self.error: ssl.SSLError | None = None

    @property
    def client_certificate(self) -> bytes | None:
        return self.tls.getpeercert(binary_form=True)

    def exchange(self, data: bytes) -> bytes:
        """Take octets and give what the server answers to them."""
        self._incoming.write(data)
        if not self.is_done and self.error is None:
            try:
                self.tls.do_handshake()
                self.is_done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self.error = error
        return self._outgoing.read()


def meet(client: TlsDriver, server: PlainServer) -> Result:
    """Shake hands with a server that is not ours, and read what comes after it."""
    result: Result = None
    for _ in range(8):
        result = client.do_handshake()
        client.read()
        client.receive(server.exchange(client.bytes_to_send()))
    return result
