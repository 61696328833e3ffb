"""DNS messages on the wire: build a query, read a response.

RFC 1035 §4.1 (format, compression), RFC 6891 §6.1 (EDNS), RFC 8914 §2 (extended errors), RFC 2181
§8 (TTLs), RFC 6698 §2.1 (TLSA), RFC 8659 §4.1 (CAA). Of the authority section only a SOA is read,
of the additional one only OPT: the rest is stepped over. What a response means is `chains`. Zones,
updates and signatures are dnspython's work.
"""

import re
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from letterlock.base.domains import Domain
from letterlock.base.printable import make_printable
from letterlock.protocols.dns.answers import CaaRecord, TlsaRecord
from letterlock.protocols.dns.messages import (
    RDTYPES,
    ExtendedError,
    Malformed,
    MxRdata,
    Question,
    Rdata,
    ResourceRecord,
    Response,
    SoaRdata,
)

UDP_PAYLOAD_OCTETS = 1232
"""What we take by UDP: fits an IPv6 packet that no link must fragment."""

MAX_EXTENDED_ERRORS = 8
MAX_EXTRA_TEXT_OCTETS = 200

_CLASS_IN = 1
_TYPE_OPT = 41
_OPTION_EXTENDED_ERROR = 15
_MAX_NAME_OCTETS = 255  # RFC 1035 §2.3.4, with length octets and root
_POINTER = 0xC0

_QR, _TC, _RD, _AD, _CD = 0x8000, 0x0200, 0x0100, 0x0020, 0x0010
_OPCODE = 0x7800
_DNSSEC_OK = 0x8000

_HEADER = struct.Struct(">6H")
_QUESTION = struct.Struct(">HH")
_RECORD = struct.Struct(">HHIH")
_SOA_NUMBERS = struct.Struct(">5I")
_PLAIN_LABEL = re.compile(rb"[A-Za-z0-9_-]+").fullmatch


class _BrokenError(Exception):
    """A rule of the format is broken; never leaves this module."""


def build_query(
    name: Domain,
    rdtype: str,
    query_id: int,
    *,
    is_checking_disabled: bool = False,
    has_edns: bool = True,
) -> bytes:
    """Build a recursive query of class IN that asks for DNSSEC's verdict (AD, and DO with EDNS).

    Raises KeyError for a type that is not in RDTYPES.
    """
    flags = _RD | _AD | (_CD if is_checking_disabled else 0)
    header = _HEADER.pack(query_id, flags, 1, 0, 0, 1 if has_edns else 0)
    labels = b"".join(bytes((len(label),)) + label for label in name.encode("ascii").split(b"."))
    question = labels + b"\0" + _QUESTION.pack(RDTYPES[rdtype], _CLASS_IN)
    if not has_edns:
        return header + question
    return header + question + b"\0" + _RECORD.pack(_TYPE_OPT, UDP_PAYLOAD_OCTETS, _DNSSEC_OK, 0)


def parse_response(message: bytes) -> Response | Malformed:
    """Read a response. Octets after the last record are ignored, as resolvers do."""
    try:
        return _read_message(message)
    except _BrokenError as error:
        return Malformed(str(error))
    except (IndexError, struct.error):
        return Malformed("the message ends too early")


def _read_message(message: bytes) -> Response:
    query_id, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(message)
    if not flags & _QR or flags & _OPCODE:
        raise _BrokenError("the message is no response to a query")
    if questions > 1:
        raise _BrokenError("the message has more than one question")
    reader = _Reader(message)
    question = reader.read_question() if questions else None
    rcode = flags & 0x000F
    is_authentic = bool(flags & _AD)
    if flags & _TC:
        # RFC 2181 §9: what is there may not be used.
        return Response(query_id, rcode, is_authentic, question, is_truncated=True)
    records = [record for _ in range(answers) if (record := reader.read_record())]
    negative_ttl = reader.read_negative_ttl(authorities)
    upper_rcode, errors = reader.read_edns(additionals)
    return Response(
        query_id=query_id,
        rcode=upper_rcode << 4 | rcode,
        is_authentic=is_authentic,
        question=question,
        answers=tuple(records),
        negative_ttl=negative_ttl,
        extended_errors=errors,
    )


class _Reader:
    """Reads a message from front to back.

    IndexError and struct.error mean that the message ends too early. Work is linear in the size
    of the message: each target of a pointer is expanded once.
    """

    __slots__ = ("_message", "_names", "_position")

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._position = _HEADER.size
        self._names: dict[int, tuple[bytes, int]] = {}
        """Offset of a name -> its text and its octets on the wire, uncompressed."""

    def read_question(self) -> Question:
        name = self._read_name()
        rdtype, rdclass = _QUESTION.unpack_from(self._message, self._position)
        self._position += _QUESTION.size
        if rdclass != _CLASS_IN:
            raise _BrokenError("the question is not of class IN")
        return Question(name, rdtype)

    def read_record(self) -> ResourceRecord | None:
        """Read one record; None when it is not of class IN."""
        owner = self._read_name()
        rdtype, rdclass, ttl, size = _RECORD.unpack_from(self._message, self._position)
        self._position += _RECORD.size
        end = self._find_end(size)
        if rdclass != _CLASS_IN:
            self._position = end
            return None
        rdata = self._read_rdata(rdtype, end)
        if self._position != end:
            raise _BrokenError("a record's data is not as long as its length says")
        return ResourceRecord(owner, rdtype, _clamp_ttl(ttl), rdata)

    def read_negative_ttl(self, count: int) -> int | None:
        """Step over the authority section; give the lesser of its SOA's TTL and minimum."""
        negative_ttl = None
        for _ in range(count):
            start = self._position
            rdtype, rdclass, _, size = self._skip_to_rdata()
            if rdtype == RDTYPES["SOA"] and rdclass == _CLASS_IN:
                self._position = start
                record = self.read_record()
                assert record is not None
                assert isinstance(record.rdata, SoaRdata)
                negative_ttl = min(record.ttl, record.rdata.minimum)
            else:
                self._position = self._find_end(size)
        return negative_ttl

    def read_edns(self, count: int) -> tuple[int, tuple[ExtendedError, ...]]:
        """Step over the additional section; give the upper bits of the rcode and the errors."""
        upper_rcode = 0
        errors: tuple[ExtendedError, ...] = ()
        has_edns = False
        for _ in range(count):
            rdtype, _, ttl, size = self._skip_to_rdata()
            end = self._find_end(size)
            if rdtype == _TYPE_OPT:
                if has_edns:
                    raise _BrokenError("the message has more than one OPT record")
                has_edns = True
                upper_rcode = ttl >> 24
                errors = self._read_options(end)
            self._position = end
        return upper_rcode, errors

    def _read_rdata(self, rdtype: int, end: int) -> Rdata:
        start = self._position
        match rdtype:
            case 1 | 28 | 52 | 257:
                self._position = end
                return _NAMELESS[rdtype](self._message[start:end])
            case 2 | 5 | 12:
                return self._read_name()
            case 15:
                (preference,) = struct.unpack_from(">H", self._message, start)
                self._position += 2
                return MxRdata(preference, self._read_name())
            case 6:
                return self._read_soa()
            case 16:
                return self._read_strings(end)
            case _:
                self._position = end
                return self._message[start:end]

    def _read_soa(self) -> SoaRdata:
        mname = self._read_name()
        self._read_name()
        serial, *_, minimum = _SOA_NUMBERS.unpack_from(self._message, self._position)
        self._position += _SOA_NUMBERS.size
        return SoaRdata(mname, serial, _clamp_ttl(minimum))

    def _read_strings(self, end: int) -> bytes:
        strings = []
        position = self._position
        while position < end:
            following = position + 1 + self._message[position]
            strings.append(self._message[position + 1 : following])
            position = following
        if not strings:
            raise _BrokenError("a TXT record has no string")
        self._position = position
        return b"".join(strings)

    def _read_options(self, end: int) -> tuple[ExtendedError, ...]:
        errors: list[ExtendedError] = []
        position = self._position
        while position < end:
            code, size = struct.unpack_from(">HH", self._message, position)
            start, position = position + 4, position + 4 + size
            if position > end:
                raise _BrokenError("an EDNS option is longer than its record")
            if code == _OPTION_EXTENDED_ERROR and len(errors) < MAX_EXTENDED_ERRORS:
                errors.append(_read_extended_error(self._message[start:position]))
        return tuple(errors)

    def _read_name(self) -> str:
        """Read a name at the position (RFC 1035 §4.1.4). Pointers only point back: no loops."""
        message = self._message
        start = position = lowest = self._position
        after = 0
        labels: list[bytes] = []
        pointers: list[tuple[int, int, int]] = []
        octets = 1
        while length := message[position]:
            if length < 0x40:
                label = message[position + 1 : position + 1 + length]
                labels.append(label if _PLAIN_LABEL(label) else _escape(label))
                position += 1 + length
                octets += 1 + length
            elif length >= _POINTER:
                after = after or position + 2
                position = (length - _POINTER) << 8 | message[position + 1]
                if position >= lowest:
                    raise _BrokenError("a compression pointer does not point back")
                lowest = position
                if known := self._names.get(position):
                    labels += filter(None, known[:1])  # the root has no text
                    octets += known[1] - 1
                    break
                pointers.append((position, len(labels), octets))
            else:
                raise _BrokenError("a label is of an unknown type")
            if octets > _MAX_NAME_OCTETS:
                break
        if octets > _MAX_NAME_OCTETS:
            raise _BrokenError(f"a name has more than {_MAX_NAME_OCTETS} octets")
        self._position = after or position + 1
        for target, count, before in pointers:
            self._names[target] = (b".".join(labels[count:]).lower(), octets - before + 1)
        text = b".".join(labels).lower()
        self._names[start] = (text, octets)
        return text.decode("ascii")

    def _skip_to_rdata(self) -> tuple[int, int, int, int]:
        """Step over a record's head; give type, class, TTL and size of the data."""
        position = self._position
        while length := self._message[position]:
            if length >= _POINTER:
                position += 1
                break
            if length >= 0x40:
                raise _BrokenError("a label is of an unknown type")
            position += 1 + length
        head: tuple[int, int, int, int] = _RECORD.unpack_from(self._message, position + 1)
        self._position = position + 1 + _RECORD.size
        return head

    def _find_end(self, size: int) -> int:
        end = self._position + size
        if end > len(self._message):
            raise _BrokenError("the message ends too early")
        return end


def _clamp_ttl(ttl: int) -> int:
    """RFC 2181 §8: with the highest bit set it counts as 0."""
    return ttl if ttl < 1 << 31 else 0


def _read_ipv4(octets: bytes) -> IPv4Address:
    if len(octets) != 4:
        raise _BrokenError("an address record has a wrong length")
    return IPv4Address(octets)


def _read_ipv6(octets: bytes) -> IPv6Address:
    if len(octets) != 16:
        raise _BrokenError("an address record has a wrong length")
    return IPv6Address(octets)


def _read_tlsa(octets: bytes) -> TlsaRecord:
    if len(octets) < 3:
        raise _BrokenError("a TLSA record is too short")
    usage, selector, matching_type = octets[:3]
    return TlsaRecord(usage, selector, matching_type, octets[3:])


def _read_caa(octets: bytes) -> CaaRecord:
    """Any octets are taken for a tag, and none too: who judges must see what stands there."""
    if len(octets) < 2 or len(octets) < 2 + octets[1]:
        raise _BrokenError("a CAA record is shorter than its tag")
    end = 2 + octets[1]
    return CaaRecord(octets[0], octets[2:end], octets[end:])


_NAMELESS: dict[int, Callable[[bytes], Rdata]] = {
    1: _read_ipv4,
    28: _read_ipv6,
    52: _read_tlsa,
    257: _read_caa,
}
"""Readers of the types whose data has no names in it, and so needs nothing else of the message."""


def _read_extended_error(option: bytes) -> ExtendedError:
    if len(option) < 2:
        raise _BrokenError("an extended error has no code")
    text = option[2 : 2 + MAX_EXTRA_TEXT_OCTETS].decode(errors="replace")
    return ExtendedError(int.from_bytes(option[:2]), make_printable(text))


def _escape(label: bytes) -> bytes:
    return b"".join(
        b"\\%c" % octet
        if octet in b'"().;\\@$'
        else b"%c" % octet
        if 0x20 < octet < 0x7F
        else b"\\%03d" % octet
        for octet in label
    )
