"""The shape of a server's certificate: all of it but what every certificate has of its own.

Two certificates of one shape differ in their serial number, the time of day, the key's number and
ordinary names, or wildcards, under the same top-level domains: in nothing that a rule of RFC 5280
§4 or of the Baseline Requirements tells apart, for each of these was judged by itself (`issuers`,
`profiles`, `subject_keys`). So a linter's word on one is its word on all of the same day.
"""

import re
from datetime import UTC, datetime
from hashlib import sha256

from letterlock.protocols.pki.der import split_elements, wrap_element

_TAG_OCTET_STRING = 0x04
_TAG_UTF8 = 0x0C
_TAG_UTC_TIME = 0x17
_TAG_VERSION = 0xA0
_TAG_EXTENSIONS = 0xA3
_TAG_DNS_NAME = 0x82
_SAN_OID = bytes.fromhex("0603551d11")
_COMMON_NAME_OID = bytes.fromhex("0603550403")
_RSA = bytes.fromhex("300d06092a864886f70d0101010500")
_MIN_RANDOM_BITS = 64
_MAX_SERIAL_BITS = 159
_MAX_COMMON_NAME = 64
_MAX_NAME = 253
_MAX_NAMES = 1024
_MAX_EXTENSIONS = 64
_MAX_ATTRIBUTES = 64

_UTC_TIME = re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z")
# Below these it matters what stands further left: for `za` the Public Suffix List has no rule of
# its own, so that `co.za` is public and `mail.za` an internal name.
SPECIAL_TOPS = frozenset({b"arpa", b"onion", b"za"})

# A host's name in which no rule can find anything, or a wildcard for such: no A-labels, and at
# least two labels behind an asterisk.
_ORDINARY = re.compile(
    rb"(?P<wildcard>\*\.)?(?:(?!..--|-)[a-z0-9-]{1,63}(?<!-)\.)+(?P<top>[a-z]{2,63})"
)

_Part = bytes | int | bool | str | tuple["_Part", ...]


def find_shape(der: bytes) -> bytes | None:
    """Give the digest of a certificate's shape; None: it is built as no certificate of ours is.

    What is not ordinary (an address, an A-label) stands in the shape as it is, so that
    only a certificate with the very same has that shape. The day of notBefore does too: rules have
    dates.
    """
    try:
        return sha256(repr(_describe(der)).encode()).digest()
    except (ValueError, IndexError):
        return None


def _describe(der: bytes) -> _Part:
    ((_, content),) = _split(der, 1)
    tbs, algorithm, _ = _split(content, 3)
    parts = _split(tbs[1], 8)
    if len(parts) != 8 or parts[0][0][0] != _TAG_VERSION or parts[7][0][0] != _TAG_EXTENSIONS:
        raise ValueError("not the parts of a version 3 certificate")
    ((_, extensions),) = _split(parts[7][1], 1)
    names: list[bytes] = []
    described: list[_Part] = []
    for whole, extension in _split(extensions, _MAX_EXTENSIONS):
        if extension.startswith(_SAN_OID):
            described.append(_describe_names(_split(extension, 3), names))
        else:
            # As it is, so that what is in it need not be looked at.
            described.append(whole)
    return (
        *(algorithm[0], parts[0][0], _describe_number(parts[1]), parts[2][0], parts[3][0]),
        *(_describe_validity(parts[4][1]), _describe_subject(parts[5], names)),
        *(_describe_key(parts[6]), tuple(described)),
    )


def _split(octets: bytes, most: int) -> list[tuple[bytes, bytes]]:
    """Split DER into all of its elements, no more than `most`. Raises ValueError."""
    found = split_elements(octets, most + 1)
    if len(found) > most:
        raise ValueError("more elements than there should be")
    for whole, content in found:
        if not _is_short(whole, content):
            raise ValueError("a length that is not in DER")
    return found


def _is_short(whole: bytes, content: bytes) -> bool:
    """Tell whether an element's length is written as DER has it (X.690 §10.1)."""
    if len(content) < 0x80:
        return len(whole) == len(content) + 2
    return whole == wrap_element(whole[0], content)


def _describe_number(element: tuple[bytes, bytes]) -> _Part:
    """Say of a serial number what rules ask: its form, and how long it is, within bounds."""
    whole, content = element
    number = int.from_bytes(content, signed=True)
    bits = number.bit_length()
    is_shortest = content == number.to_bytes(bits // 8 + 1, signed=True)
    return whole[0], is_shortest, number > 0, _MIN_RANDOM_BITS < bits <= _MAX_SERIAL_BITS


def _describe_validity(content: bytes) -> _Part:
    first, last = _split(content, 2)
    if first[0][0] != _TAG_UTC_TIME or last[0][0] != _TAG_UTC_TIME:
        return content
    lasts = _read_time(last[1]) - _read_time(first[1])
    return first[1][:6], int(lasts.total_seconds())


def _read_time(text: bytes) -> datetime:
    found = _UTC_TIME.fullmatch(text)
    if found is None:
        raise ValueError("not a time as RFC 5280 §4.1.2.5.1 has it")
    year, month, day, hour, minute, second = (int(digits) for digits in found.groups())
    return datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC)


def _describe_subject(element: tuple[bytes, bytes], names: list[bytes]) -> _Part:
    """Give a subject as it is, unless it is one ordinary common name that the names have too."""
    whole, content = element
    if not content:
        return whole
    sets = _split(content, _MAX_ATTRIBUTES)
    attributes = _split(sets[0][1], _MAX_ATTRIBUTES)
    kind, value = _split(attributes[0][1], 2)
    is_one = len(sets) == len(attributes) == 1 and kind[0] == _COMMON_NAME_OID
    if is_one and value[0][0] == _TAG_UTF8 and value[1] in names and _ORDINARY.fullmatch(value[1]):
        return "common name", len(value[1]) <= _MAX_COMMON_NAME
    return whole


def _describe_key(element: tuple[bytes, bytes]) -> _Part:
    algorithm, bits = _split(element[1], 2)
    if algorithm[0] != _RSA:
        # A point's form, and how long it is: its curve is in the algorithm.
        return algorithm[0], bits[0][0], bits[1][:2], len(bits[1])
    ((_, numbers),) = _split(bits[1][1:], 1)
    modulus, exponent = _split(numbers, 2)
    number = int.from_bytes(modulus[1], signed=True)
    return (
        *(algorithm[0], bits[0][0], bits[1][0], _describe_number(modulus)),
        *(number.bit_length(), number & 1, exponent[0]),
    )


def _describe_names(fields: list[tuple[bytes, bytes]], names: list[bytes]) -> _Part:
    """Give what kinds of names there are, whether one is there twice; collects domain names."""
    if fields[-1][0][0] != _TAG_OCTET_STRING:
        raise ValueError("an extension without a value")
    ((_, content),) = _split(fields[-1][1], 1)
    general_names = _split(content, _MAX_NAMES)
    kinds: set[bytes] = set()
    for whole, name in general_names:
        ordinary = _ORDINARY.fullmatch(name) if whole[0] == _TAG_DNS_NAME else None
        is_short = len(name) <= _MAX_NAME
        if ordinary is not None and is_short and ordinary["top"] not in SPECIAL_TOPS:
            kinds.add((ordinary["wildcard"] or b"") + ordinary["top"])
        else:
            kinds.add(whole)
        names.append(name)
    has_doubles = len({whole for whole, _ in general_names}) < len(general_names)
    between = b"".join(whole for whole, _ in fields[1:-1])
    return "names", between, has_doubles, tuple(sorted(kinds))
