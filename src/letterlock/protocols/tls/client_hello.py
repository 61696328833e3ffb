"""The ClientHello, read before OpenSSL reads it: who connects, and which certificate fits.

RFC 8446 §4.1.2 and RFC 5246 §7.4.1.2 (the message), RFC 8446 §5.1 (records), RFC 6066 §3
(server_name), RFC 7301 §3.1 (ALPN). It is read, not judged: OpenSSL gets the same octets and
decides what is acceptable. Encrypted Client Hello is left out: the outer one is what we see.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from letterlock.protocols.tls.vectors import MalformedError, Octets

MAX_CLIENT_HELLO_BYTES = 64 * 1024
"""Of records on the wire. Real ones have up to about 4 KiB (post-quantum key shares, tickets)."""

MAX_SNI_OCTETS = 255
"""What is kept of a name; OpenSSL refuses longer ones (RFC 1035 §2.3.4)."""

TLS_1_2 = 0x0303
TLS_1_3 = 0x0304

_MAX_FRAGMENT_OCTETS = 2**14  # RFC 8446 §5.1
_RECORD_HEADER_OCTETS = 5
_HANDSHAKE_HEADER_OCTETS = 4
_CONTENT_TYPE_HANDSHAKE = 22
_MESSAGE_CLIENT_HELLO = 1
_HOST_NAME = 0
_EXTENSION_HEADER = struct.Struct("!HH")  # RFC 8446 §4.2: type and length


class KeyType(StrEnum):
    """The kind of key in a certificate: a client's offer fits it or not."""

    RSA = "RSA"
    ECDSA = "ECDSA"
    ED25519 = "Ed25519"


class _Extension(IntEnum):
    SERVER_NAME = 0
    SUPPORTED_GROUPS = 10
    SIGNATURE_ALGORITHMS = 13
    ALPN = 16
    SESSION_TICKET = 35
    PRE_SHARED_KEY = 41
    SUPPORTED_VERSIONS = 43


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client offers. Numbers are IANA's, in the client's order, without GREASE (RFC 8701).

    `sni` is the host name as sent, made printable; None when none was sent. `alpn` holds protocol
    names as octets. `versions` comes from supported_versions, else it is the legacy version alone.
    `has_session_ticket` is true when the client asks to resume a session by ticket or PSK.
    """

    sni: str | None
    alpn: tuple[bytes, ...]
    versions: tuple[int, ...]
    cipher_suites: tuple[int, ...]
    groups: tuple[int, ...] = ()
    signature_algorithms: tuple[int, ...] = ()
    has_session_ticket: bool = False

    @property
    def has_tls_1_3(self) -> bool:
        return TLS_1_3 in self.versions

    def fits(self, key: KeyType, curve: int | None = None) -> bool:
        """Whether the client can use a certificate with a key of this type.

        `curve` is an ECDSA key's group (IANA's number); None: one that every client has. In TLS 1.3
        the signature algorithms say so alone (RFC 8446 §4.2.3), in TLS 1.2 a cipher suite and the
        groups must fit too (RFC 8422 §5.1; without that extension OpenSSL uses RSA alone). Without
        signature algorithms a TLS 1.2 client means SHA-1 with each key (RFC 5246 §7.4.1.4.1).
        """
        schemes = _TLS_1_3_SCHEMES if self.has_tls_1_3 else _TLS_1_2_SCHEMES
        usable = schemes[key]
        if self.has_tls_1_3 and curve is not None:
            usable = _CURVE_SCHEMES.get(curve, frozenset())
        if self.signature_algorithms and usable.isdisjoint(self.signature_algorithms):
            return False
        if self.has_tls_1_3:
            return True
        if curve is not None and curve not in self.groups:
            return False
        suites = _RSA_SUITES if key is KeyType.RSA else _ECDSA_SUITES
        return not suites.isdisjoint(self.cipher_suites)


@dataclass(frozen=True, slots=True)
class Incomplete:
    """More octets are needed."""


@dataclass(frozen=True, slots=True)
class NotTls:
    """What came is not a ClientHello in TLS records; `reason` is one line for people."""

    reason: str


class ClientHelloReader:
    """Turn received octets into the ClientHello. Keeps none of what follows it."""

    def __init__(self) -> None:
        self._records = bytearray()
        self._message = bytearray()
        self._received = 0
        self._result: ClientHello | NotTls | None = None

    def receive(self, data: bytes) -> ClientHello | Incomplete | NotTls:
        """Take octets from the peer. Once there is a result, it is given again each time."""
        if self._result is None:
            self._records += data
            self._received += len(data)
            self._result = self._take_records()
        return Incomplete() if self._result is None else self._result

    def _take_records(self) -> ClientHello | NotTls | None:
        while True:
            fault = _check_record_header(self._records)
            if fault is not None:
                return NotTls(fault)
            end = _find_record_end(self._records)
            if end is None:
                return self._check_size()
            self._message += self._records[_RECORD_HEADER_OCTETS:end]
            del self._records[:end]
            result = self._take_message()
            if result is not None:
                return result

    def _take_message(self) -> ClientHello | NotTls | None:
        message = self._message
        if message[0] != _MESSAGE_CLIENT_HELLO:
            return NotTls(f"a handshake message of type {message[0]} instead of a ClientHello")
        if len(message) < _HANDSHAKE_HEADER_OCTETS:
            return None
        length = int.from_bytes(message[1:_HANDSHAKE_HEADER_OCTETS], "big")
        if length > MAX_CLIENT_HELLO_BYTES:
            return NotTls(f"a ClientHello of {length} octets")
        end = _HANDSHAKE_HEADER_OCTETS + length
        if len(message) < end:
            return None
        return _parse_message(bytes(message[_HANDSHAKE_HEADER_OCTETS:end]))

    def _check_size(self) -> NotTls | None:
        if self._received > MAX_CLIENT_HELLO_BYTES:
            return NotTls(f"no end of the ClientHello in {MAX_CLIENT_HELLO_BYTES} octets")
        return None


def parse_client_hello(data: bytes) -> ClientHello | Incomplete | NotTls:
    """Parse TLS records that begin a connection; what follows the ClientHello is not looked at."""
    return ClientHelloReader().receive(data)


def _check_record_header(records: bytearray) -> str | None:
    # RFC 8446 §5.1: the record's minor version means nothing, {03,XX} is accepted (RFC 8996 §5).
    if records and records[0] != _CONTENT_TYPE_HANDSHAKE:
        return f"the first octet is {records[0]:#04x}, not that of a TLS handshake record"
    if len(records) > 1 and records[1] != 3:
        return f"a record of version {records[1]}, not of TLS"
    if len(records) < _RECORD_HEADER_OCTETS:
        return None
    length = int.from_bytes(records[3:_RECORD_HEADER_OCTETS], "big")
    if not 0 < length <= _MAX_FRAGMENT_OCTETS:
        return f"a record of {length} octets"
    return None


def _find_record_end(records: bytearray) -> int | None:
    if len(records) < _RECORD_HEADER_OCTETS:
        return None
    end = _RECORD_HEADER_OCTETS + int.from_bytes(records[3:_RECORD_HEADER_OCTETS], "big")
    return end if len(records) >= end else None


def _parse_message(body: bytes) -> ClientHello | NotTls:
    try:
        return _read_message(Octets(body))
    except MalformedError:
        return NotTls("a ClientHello whose lengths do not fit together")


def _read_message(octets: Octets) -> ClientHello:
    legacy_version = octets.take_number(2)
    octets.take(32)  # random
    octets.take_vector(1)  # session id
    cipher_suites = octets.take_vector(2)
    octets.take_vector(1)  # compression methods
    # RFC 5246 §7.4.1.2: a ClientHello may end here, without extensions.
    extensions = _read_extensions(octets.take_vector(2)) if octets.has_more else {}
    return ClientHello(
        sni=_read_sni(extensions.get(_Extension.SERVER_NAME)),
        alpn=_read_alpn(extensions.get(_Extension.ALPN)),
        versions=_read_versions(extensions.get(_Extension.SUPPORTED_VERSIONS), legacy_version),
        cipher_suites=_read_numbers(cipher_suites),
        groups=_read_list(extensions.get(_Extension.SUPPORTED_GROUPS)),
        signature_algorithms=_read_list(extensions.get(_Extension.SIGNATURE_ALGORITHMS)),
        # RFC 5077 §3.2: an empty extension asks for a ticket and offers none.
        has_session_ticket=bool(extensions.get(_Extension.SESSION_TICKET))
        or _Extension.PRE_SHARED_KEY in extensions,
    )


def _read_extensions(octets: bytes) -> dict[int, bytes]:
    # Without a cursor: a ClientHello has a dozen of them, and each handshake waits for this.
    found = {}
    position, end, header = 0, len(octets), _EXTENSION_HEADER
    try:
        while position < end:
            kind, length = header.unpack_from(octets, position)
            start = position + header.size
            position = start + length
            found[kind] = octets[start:position]
    except struct.error as error:
        raise MalformedError from error
    if position > end:
        raise MalformedError
    return found


def _read_sni(body: bytes | None) -> str | None:
    # RFC 6066 §3: an empty body is the server's form; no host name in the list counts as none.
    if not body:
        return None
    names = Octets(Octets(body).take_vector(2))
    while names.has_more:
        name_type, name = names.take_number(1), names.take_vector(2)
        if name_type == _HOST_NAME:
            return _make_text(name[:MAX_SNI_OCTETS])
    return None


def _make_text(octets: bytes) -> str:
    text = octets.decode("latin-1")
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return "".join(chr(octet) if 0x20 < octet < 0x7F else "?" for octet in octets)


def _read_alpn(body: bytes | None) -> tuple[bytes, ...]:
    if body is None:
        return ()
    names = Octets(Octets(body).take_vector(2))
    found = []
    while names.has_more:
        found.append(names.take_vector(1))
    return tuple(found)


def _read_versions(body: bytes | None, legacy_version: int) -> tuple[int, ...]:
    if body is None:
        return (legacy_version,)
    return _read_numbers(Octets(body).take_vector(1))


def _read_list(body: bytes | None) -> tuple[int, ...]:
    return () if body is None else _read_numbers(Octets(body).take_vector(2))


def _read_numbers(octets: bytes) -> tuple[int, ...]:
    if len(octets) % 2:
        raise MalformedError
    numbers = struct.unpack(f"!{len(octets) // 2}H", octets)
    if _GREASE.isdisjoint(numbers):
        return numbers
    return tuple(number for number in numbers if number not in _GREASE)


# RFC 8701 §2: 0x0A0A, 0x1A1A ... 0xFAFA.
_GREASE = frozenset(range(0x0A0A, 0x10000, 0x1010))

# RFC 8446 §4.2.3: RSA signs with PSS in TLS 1.3; each key signs with SHA-2 only (RFC 9325 §4.5).
_TLS_1_3_SCHEMES = {
    KeyType.RSA: frozenset({0x0804, 0x0805, 0x0806}),
    KeyType.ECDSA: frozenset({0x0403, 0x0503, 0x0603}),
    KeyType.ED25519: frozenset({0x0807}),
}
# RFC 8446 §4.2.3: there a scheme names the curve: secp256r1, secp384r1, secp521r1.
_CURVE_SCHEMES = {23: frozenset({0x0403}), 24: frozenset({0x0503}), 25: frozenset({0x0603})}
# The same numbers are pairs of hash and signature in TLS 1.2 (RFC 5246 §7.4.1.4.1).
_TLS_1_2_SCHEMES = {
    KeyType.RSA: _TLS_1_3_SCHEMES[KeyType.RSA] | {0x0301, 0x0401, 0x0501, 0x0601},
    KeyType.ECDSA: _TLS_1_3_SCHEMES[KeyType.ECDSA] | {0x0303},
    KeyType.ED25519: _TLS_1_3_SCHEMES[KeyType.ED25519],
}

# IANA's cipher suites of TLS 1.2 that sign with (or encrypt to) such a key and that OpenSSL has.
_ECDSA_SUITES = frozenset(
    {0xC02B, 0xC02C, 0xC023, 0xC024, 0xC009, 0xC00A, 0xC0AC, 0xC0AD, 0xC0AE, 0xC0AF}
    | {0xC05C, 0xC05D, 0xC072, 0xC073, 0xCCA9},
)
_RSA_SUITES = frozenset(
    {0xC02F, 0xC030, 0xC027, 0xC028, 0xC013, 0xC014, 0xC060, 0xC061, 0xC076, 0xC077, 0xCCA8}
    | {0x009E, 0x009F, 0x0067, 0x006B, 0x0033, 0x0039, 0xCCAA, 0xC09E, 0xC09F, 0xC0A2, 0xC0A3}
    | {0x009C, 0x009D, 0x003C, 0x003D, 0x002F, 0x0035, 0xC09C, 0xC09D, 0xC0A0, 0xC0A1},
)
