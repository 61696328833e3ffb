"""What a server answers to a ClientHello, as far as it is in clear: its choices, or an alert.

RFC 8446 §4.1.3 and §4.1.4 (ServerHello, HelloRetryRequest), RFC 5246 §7.4.1.3 and §7.4.3
(ServerKeyExchange), RFC 5746 §3.6, RFC 7627 §5.1. It is read for what it says of the server, and
believed in nothing: no certificate and no signature is looked at.
"""

from dataclasses import dataclass, replace

from letterlock.protocols.tls.alerts import name_alert
from letterlock.protocols.tls.client_hello import TLS_1_2, Incomplete, NotTls
from letterlock.protocols.tls.suites import has_finite_field, has_key_exchange
from letterlock.protocols.tls.vectors import MalformedError, Octets

MAX_FLIGHT_OCTETS = 128 * 1024
"""Of records on the wire, a chain of certificates among them."""

_MAX_RECORD_OCTETS = 2**14 + 256  # RFC 8446 §5.2
_RECORD_HEADER_OCTETS = 5
_HANDSHAKE_HEADER_OCTETS = 4
_MAJOR_VERSION = 3
_ALERT, _HANDSHAKE = 21, 22
_RECORD_TYPES = (20, _ALERT, _HANDSHAKE, 23)
_ALERT_OCTETS = 2
_FATAL = 2
_SERVER_HELLO, _SERVER_KEY_EXCHANGE, _SERVER_HELLO_DONE = 2, 12, 14
_NAMED_CURVE = 3  # RFC 8422 §5.4
_RENEGOTIATION_INFO = 0xFF01
_EXTENDED_MASTER_SECRET = 23
_SUPPORTED_VERSIONS = 43
_KEY_SHARE = 51
_RETRY = bytes.fromhex("CF21AD74E59A6111BE1D8C021E65B891C2A211167ABB8C5E079E09E2C8A8339C")
"""RFC 8446 §4.1.3: the random of a HelloRetryRequest."""


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """What a server takes of an offer. Numbers are IANA's.

    `group` is what keys would be agreed in: of TLS 1.3, or an elliptic curve before; `dh_bits` the
    size of a finite field's prime before TLS 1.3. None: there is none, or it was not seen.
    `compression` is the method's number, 0 for none.
    """

    version: int
    suite: int
    group: int | None = None
    dh_bits: int | None = None
    compression: int = 0
    is_retry: bool = False
    has_secure_renegotiation: bool = False
    has_extended_master_secret: bool = False


@dataclass(frozen=True, slots=True)
class Alerted:
    """The server ends it with a fatal alert; `name` as RFC 8446 §6 has it."""

    name: str


Answer = ServerChoice | Alerted | NotTls


class ServerFlightReader:
    """Turn received octets into a server's answer. Keeps none of what follows it."""

    def __init__(self) -> None:
        self._records = bytearray()
        self._messages = bytearray()
        self._received = 0
        self._choice: ServerChoice | None = None
        self._result: Answer | None = None

    def receive(self, data: bytes) -> Answer | Incomplete:
        """Take octets from the peer. Once there is a result, it is given again each time."""
        if self._result is None:
            self._records += data
            self._received += len(data)
            self._result = self._take_records()
            if self._result is None and self._received > MAX_FLIGHT_OCTETS:
                self._result = NotTls(f"no end of its answer in {MAX_FLIGHT_OCTETS} octets")
        return Incomplete() if self._result is None else self._result

    def finish(self) -> Answer | None:
        """Give what is known where nothing more comes; None: nothing."""
        return self._result or self._choice

    def _take_records(self) -> Answer | None:
        records = self._records
        while True:
            fault = _check_record_header(records)
            if fault is not None:
                return NotTls(fault)
            end = _RECORD_HEADER_OCTETS + int.from_bytes(records[3:_RECORD_HEADER_OCTETS], "big")
            if len(records) < max(end, _RECORD_HEADER_OCTETS):
                return None
            kind, fragment = records[0], bytes(records[_RECORD_HEADER_OCTETS:end])
            del records[:end]
            result = self._take_fragment(kind, fragment)
            if result is not None:
                return result

    def _take_fragment(self, kind: int, fragment: bytes) -> Answer | None:
        if kind == _ALERT:
            if len(fragment) != _ALERT_OCTETS:
                return NotTls(f"an alert of {len(fragment)} octets")
            # RFC 6066 §3: a server may warn that it does not know the name, and go on.
            return Alerted(name_alert(fragment[1])) if fragment[0] == _FATAL else None
        if kind != _HANDSHAKE:
            return None
        self._messages += fragment
        try:
            return self._take_messages()
        except MalformedError:
            return NotTls("an answer whose lengths do not fit together")

    def _take_messages(self) -> Answer | None:
        while len(self._messages) >= _HANDSHAKE_HEADER_OCTETS:
            kind, end = self._messages[0], int.from_bytes(self._messages[1:4], "big") + 4
            if len(self._messages) < end:
                return None
            body = bytes(self._messages[_HANDSHAKE_HEADER_OCTETS:end])
            del self._messages[:end]
            result = self._take_message(kind, body)
            if result is not None:
                return result
        return None

    def _take_message(self, kind: int, body: bytes) -> Answer | None:
        if self._choice is None:
            if kind != _SERVER_HELLO:
                return NotTls(f"a handshake message of type {kind} instead of a ServerHello")
            self._choice = _read_hello(Octets(body))
            goes_on = self._choice.version <= TLS_1_2 and has_key_exchange(self._choice.suite)
            return None if goes_on else self._choice
        if kind == _SERVER_KEY_EXCHANGE:
            return _add_key_exchange(self._choice, Octets(body))
        return self._choice if kind == _SERVER_HELLO_DONE else None


def parse_server_flight(data: bytes) -> Answer | Incomplete:
    """Parse TLS records that a server begins with."""
    return ServerFlightReader().receive(data)


def _check_record_header(records: bytearray) -> str | None:
    if records and records[0] not in _RECORD_TYPES:
        return f"the first octet of its answer is {records[0]:#04x}, not that of a TLS record"
    if len(records) > 1 and records[1] != _MAJOR_VERSION:
        return f"a record of version {records[1]}, not of TLS"
    length = int.from_bytes(records[3:_RECORD_HEADER_OCTETS], "big")
    if len(records) >= _RECORD_HEADER_OCTETS and length > _MAX_RECORD_OCTETS:
        return f"a record of {length} octets"
    return None


def _read_hello(octets: Octets) -> ServerChoice:
    version = octets.take_number(2)
    is_retry = octets.take(32) == _RETRY
    octets.take_vector(1)  # session id
    suite, compression = octets.take_number(2), octets.take_number(1)
    extensions = _read_extensions(Octets(octets.take_vector(2) if octets.has_more else b""))
    if (chosen := extensions.get(_SUPPORTED_VERSIONS)) is not None:
        version = Octets(chosen).take_number(2)
    share = extensions.get(_KEY_SHARE)
    return ServerChoice(
        version,
        suite,
        None if share is None else Octets(share).take_number(2),
        compression=compression,
        is_retry=is_retry,
        has_secure_renegotiation=_RENEGOTIATION_INFO in extensions,
        has_extended_master_secret=_EXTENDED_MASTER_SECRET in extensions,
    )


def _read_extensions(octets: Octets) -> dict[int, bytes]:
    found = {}
    while octets.has_more:
        kind = octets.take_number(2)
        found[kind] = octets.take_vector(2)
    return found


def _add_key_exchange(choice: ServerChoice, octets: Octets) -> ServerChoice:
    if has_finite_field(choice.suite):
        prime = int.from_bytes(octets.take_vector(2), "big")
        return replace(choice, dh_bits=prime.bit_length())
    if octets.take_number(1) == _NAMED_CURVE:
        return replace(choice, group=octets.take_number(2))
    return choice
