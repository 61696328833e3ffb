"""One side of a TLS connection over memory BIOs: octets in, octets out, no sockets.

RFC 8446 §4 (handshake), §6 (alerts); RFC 5246 §7. A handshake yields facts or the way it failed;
nothing is judged here. pyOpenSSL without its Python callbacks: under systemd's
MemoryDenyWriteExecute they can't be made. Renegotiation, early data and client certificates asked
for by us are left out.
"""

import math
from dataclasses import replace
from typing import Any

from OpenSSL import SSL, crypto

from letterlock.network.server_certificates import Choice, ServerCertificates
from letterlock.network.tls_failures import (
    SHOWN_OCTETS,
    classify,
    describe_error,
    find_received_alert,
    make_alert_failure,
)
from letterlock.protocols.sasl.channel_binding import (
    EXPORTER_LABEL,
    EXPORTER_OCTETS,
    NO_BINDINGS,
    TLS_EXPORTER,
    TLS_SERVER_END_POINT,
    ChannelBindings,
    hash_end_point,
)
from letterlock.protocols.tls.alerts import find_plain_alert
from letterlock.protocols.tls.client_hello import ClientHello, ClientHelloReader, Incomplete
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.protocols.tls.records import RecordCounter
from letterlock.protocols.tls.server_name import parse_server_name

MAX_READ_BYTES = 256 * 1024
"""What one `read` gives at most."""

_RECORD_OCTETS = 16 * 1024  # RFC 8446 §5.1
_SEND_OCTETS = 64 * 1024
_ALERT_TAIL_OCTETS = 16


class TlsDriver:
    """One side of one TLS connection; bytes in, bytes out; no sockets.

    After each call, send what `bytes_to_send` gives, also when the call failed: it may be the alert
    that tells the peer why. No method raises for what the peer sends.
    """

    def __init__(self, *, sni: str | None = None) -> None:
        self.client_hello: ClientHello | None = None
        """Server: what the client offered; None before it came, or when it could not be read."""
        self.choice: Choice | None = None
        """Server: the certificate chosen, and why; None before the ClientHello came."""
        self.is_closed = False
        """Nothing more can be read: close_notify, a fatal error or the end of the connection."""
        self.failure: HandshakeFailed | None = None
        """Why the handshake, or the connection after it, failed. In TLS 1.3 a client learns only
        after its handshake that the server refused it."""
        self._sni = sni
        self._connection: SSL.Connection | None = None
        self._chooser: ServerCertificates | None = None
        self._reader = ClientHelloReader()
        self._handshake: Handshake | None = None
        self._outgoing = bytearray()
        self._start = b""
        self._received_tail = b""
        self._unread = bytearray()
        # To ask OpenSSL for what is not there costs as much as all of a short answer.
        self._records = RecordCounter()
        self._whole_records: float = math.inf
        """That may have plaintext; inf: it is not known how many."""
        self._may_have_output = True
        self._are_tickets_held = False
        self._end: FailureCause | None = None
        self._is_close_sent = False

    @classmethod
    def client(cls, context: SSL.Context, sni: str | None) -> "TlsDriver":
        """Make the client's side. `sni` is None only when the host is an address (RFC 6066 §3).

        Raises DomainError for an `sni` that is no host name.
        """
        driver = cls(sni=None if sni is None else parse_server_name(sni))
        connection = SSL.Connection(context, None)
        connection.set_connect_state()
        if driver._sni is not None:
            connection.set_tlsext_host_name(driver._sni.encode("ascii"))
        driver._connection = connection
        return driver

    @classmethod
    def server(cls, chooser: ServerCertificates) -> "TlsDriver":
        """Make the server's side; the ClientHello decides the certificate."""
        driver = cls()
        driver._chooser = chooser
        return driver

    @property
    def error(self) -> str | None:
        """The failure in words; None when there is none."""
        return None if self.failure is None else self.failure.detail

    @property
    def has_news(self) -> bool:
        """False: until more is received, `read` gives nothing, and nothing is wrong."""
        return self._whole_records > 0 or self.is_closed

    def find_channel_bindings(self) -> ChannelBindings:
        """Give what SASL can tie a login to; nothing before the handshake is complete.

        tls-exporter with TLS 1.3 only: before it, RFC 9266 §4 wants an extended master secret, and
        pyOpenSSL does not tell whether there is one.
        """
        if self._connection is None or self._handshake is None or self.failure is not None:
            return NO_BINDINGS
        found = {}
        if self._handshake.version == "TLSv1.3":
            found[TLS_EXPORTER] = self._connection.export_keying_material(
                EXPORTER_LABEL, EXPORTER_OCTETS
            )
        server = self._find_server_certificate(self._connection)
        if server is not None and (digest := hash_end_point(server)) is not None:
            found[TLS_SERVER_END_POINT] = digest
        return found

    def _find_server_certificate(self, connection: SSL.Connection) -> bytes | None:
        if self._chooser is None:
            chain = self._find_chain()
            return chain[0] if chain else None
        own = connection.get_certificate()
        return None if own is None else crypto.dump_certificate(crypto.FILETYPE_ASN1, own)

    def receive(self, data: bytes) -> None:
        """Take ciphertext from the peer."""
        if not data or self.failure is not None:
            return
        if len(self._start) < SHOWN_OCTETS:
            self._start += data[: SHOWN_OCTETS - len(self._start)]
        if self._handshake is None:
            tail = self._received_tail + data[-_ALERT_TAIL_OCTETS:]
            self._received_tail = tail[-_ALERT_TAIL_OCTETS:]
        self._count_records(data)
        if self._connection is None:
            self._unread += data
            self._read_client_hello(data)
        else:
            self._connection.bio_write(data)

    def _count_records(self, data: bytes) -> None:
        self._whole_records += self._records.receive(data)
        if self._records.is_strange:
            # OpenSSL may refuse what we wait for.
            self._whole_records = math.inf

    def receive_eof(self, *, is_reset: bool = False) -> None:
        """Take the end of the connection: what came before it is still read."""
        self._end = FailureCause.RESET if is_reset else FailureCause.CLOSED
        self._whole_records = math.inf

    def do_handshake(self) -> Handshake | HandshakeFailed | None:
        """Go as far as the octets received allow; None: more are needed from the peer."""
        if self._handshake is not None:
            return self._handshake
        if self.failure is not None:
            return self.failure
        if self._connection is None:
            return self._end_handshake()
        return self._continue_handshake(self._connection)

    def time_out(self) -> HandshakeFailed:
        """End a handshake that took too long, by the caller's clock."""
        detail = f"the TLS handshake timed out {self._describe_progress()}"
        return self._fail(HandshakeFailed(FailureCause.TIMED_OUT, detail))

    def read(self) -> bytes:
        """Give plaintext, at most MAX_READ_BYTES; call again until it gives b"".

        b"" before the handshake is complete. Look at `is_closed` after it.
        """
        # The one that says no after each record, first.
        if self._whole_records <= 0 or self.is_closed:
            return b""
        if self._connection is None or self._handshake is None or self.failure is not None:
            return b""
        first = piece = self._read_record(self._connection)
        if self._whole_records <= 0:
            return first
        pieces, size = [first], len(first)
        while piece and size < MAX_READ_BYTES and self._whole_records > 0 and not self.is_closed:
            piece = self._read_record(self._connection)
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)

    def write(self, data: bytes) -> None:
        """Encrypt plaintext; ciphertext is held in memory until `bytes_to_send` takes it.

        Give large data in pieces. Dropped without a word when the connection failed before.
        Raises ValueError before the handshake is complete, and after `close`.
        """
        if not data or self.failure is not None:
            return
        if self._is_close_sent:
            raise ValueError("plaintext can't be sent after close_notify")
        if self._connection is None or self._handshake is None:
            raise ValueError("plaintext can't be sent before the TLS handshake is complete")
        self._may_have_output = True
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._connection.send(rest[:_RECORD_OCTETS]) :]
        except SSL.Error as error:
            self._fail_after_handshake(error)

    def bytes_to_send(self) -> bytes:
        """Give the ciphertext to put on the socket; b"" when there is none."""
        if self._may_have_output:
            self._drain()
        if not self._outgoing:
            return b""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def close(self) -> None:
        """Queue close_notify, once (RFC 8446 §6.1); not when the handshake did not complete.

        What the peer sends until its own close_notify can still be read.
        """
        if self._connection is None or self._handshake is None or self.failure is not None:
            return
        if self._is_close_sent:
            return
        self._is_close_sent = self._may_have_output = True
        try:
            self._connection.shutdown()
        except SSL.Error as error:
            self._fail_after_handshake(error)

    def _read_client_hello(self, data: bytes) -> None:
        result = self._reader.receive(data)
        if isinstance(result, Incomplete) or self._chooser is None:
            return
        # What is no ClientHello to us goes to OpenSSL all the same: it has the last word, and it
        # sends the alert.
        self.client_hello = result if isinstance(result, ClientHello) else None
        self._sni = self.client_hello.sni if self.client_hello else None
        self.choice = self._chooser.choose(self.client_hello)
        connection = self.choice.connect()
        connection.set_accept_state()
        if self.client_hello is None or not self.client_hello.has_tls_1_3:
            # RFC 6066 §3: TLS 1.2 must not resume under another name, and OpenSSL would.
            connection.set_options(SSL.OP_NO_TICKET)
        connection.bio_write(bytes(self._unread))
        self._unread.clear()
        self._connection = connection

    def _continue_handshake(self, connection: SSL.Connection) -> Handshake | HandshakeFailed | None:
        self._may_have_output = True
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            return self._end_handshake()
        except SSL.ZeroReturnError:
            detail = "the peer sent close_notify inside the TLS handshake"
            return self._fail(
                HandshakeFailed(
                    FailureCause.CLOSED, detail, alert="close_notify", is_alert_received=True
                )
            )
        except SSL.Error as error:
            return self._fail(self._classify(error))
        self._handshake = self._gather_facts(connection)
        if self._chooser is not None and self._handshake.version == "TLSv1.3":
            # Only tickets are there to send (RFC 8446 §4.6.1): they go with our next octets, not in
            # a packet of their own.
            self._are_tickets_held, self._may_have_output = True, False
        return self._handshake

    def _end_handshake(self) -> HandshakeFailed | None:
        if self._end is None:
            return None
        how = "reset" if self._end is FailureCause.RESET else "closed"
        detail = f"the peer {how} the connection {self._describe_progress()}"
        return self._fail(HandshakeFailed(self._end, detail))

    def _describe_progress(self) -> str:
        if self._start:
            return "inside the TLS handshake"
        return "before its first octet of TLS"

    def _classify(self, error: SSL.Error) -> HandshakeFailed:
        self._drain()
        reason = describe_error(error)
        unknown_alert = None if reason else find_plain_alert(self._received_tail)
        if unknown_alert is not None:
            return make_alert_failure(unknown_alert)
        sent = find_plain_alert(bytes(self._outgoing[-_ALERT_TAIL_OCTETS:]))
        return classify(reason, plain_alert_sent=sent, received=self._start)

    def _fail(self, failure: HandshakeFailed) -> HandshakeFailed:
        chain = self._find_chain()
        self.failure = replace(failure, chain=chain, sni=self._sni)
        self.is_closed = True
        return self.failure

    def _fail_after_handshake(self, error: SSL.Error) -> None:
        reason = describe_error(error)
        alert = find_received_alert(reason)
        if alert is not None:
            self._fail(make_alert_failure(alert))
        else:
            detail = f"TLS error: {reason or 'no reason given'}"
            self._fail(HandshakeFailed(FailureCause.PROTOCOL, detail))

    def _read_record(self, connection: SSL.Connection) -> bytes:
        """Give what is in the next record that has plaintext; those before it are dealt with."""
        self._may_have_output = True
        self._whole_records -= 1
        try:
            return connection.recv(_RECORD_OCTETS)
        except SSL.WantReadError:
            self._whole_records = 0
            self.is_closed = self._end is not None
            if self._are_tickets_held:
                # Nothing came behind the handshake.
                self._are_tickets_held = self._may_have_output = False
        except SSL.ZeroReturnError:
            self.is_closed = True
        except SSL.Error as error:
            self._fail_after_handshake(error)
        return b""

    def _drain(self) -> None:
        self._may_have_output = False
        while self._connection is not None:
            try:
                piece = self._connection.bio_read(_SEND_OCTETS)
            except SSL.WantReadError:
                return
            self._outgoing += piece
            if len(piece) < _SEND_OCTETS:
                return

    def _gather_facts(self, connection: SSL.Connection) -> Handshake:
        return Handshake(
            version=connection.get_protocol_version_name(),
            cipher=connection.get_cipher_name() or "",
            cipher_bits=connection.get_cipher_bits() or 0,
            group=connection.get_group_name(),
            sni=self._sni,
            chain=self._find_chain(),
            alpn=connection.get_alpn_proto_negotiated().decode("ascii", "replace") or None,
            resumed=_is_resumed(connection),
        )

    def _find_chain(self) -> tuple[bytes, ...]:
        """Give what the peer sent, also when it was refused."""
        if self._connection is None:
            return ()
        # As DER by OpenSSL: cryptography refuses to parse some certificates that peers do send.
        chain = self._connection.get_peer_cert_chain() or []
        return tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in chain)


def _is_resumed(connection: SSL.Connection) -> bool:
    # pyOpenSSL has no public way to ask. Should its inside change, sessions count as new.
    try:
        lib: Any = getattr(SSL, "_lib")  # noqa: B009 - mypy: not exported
        return bool(lib.SSL_session_reused(connection._ssl))  # noqa: SLF001 - see above
    except AttributeError:
        return False
