"""Netstrings: octets with their number in front, `5:hello,` (D. J. Bernstein, 1997)."""

from collections.abc import Mapping
from functools import cache

from letterlock.protocols.maps.messages import Violation

_COMMA = ord(",")


class NetstringReader:
    """Turns received octets into the contents of netstrings. After a violation it reads no more."""

    def __init__(self, max_octets: int) -> None:
        """Take contents of at most `max_octets`."""
        self._max_octets = max_octets
        self._max_digits = len(str(max_octets))
        self._lengths = _list_lengths(max_octets)
        self._held = b""
        self._is_broken = False

    def receive(self, octets: bytes) -> list[bytes | Violation]:
        """Take octets from the peer; give the contents that they complete."""
        if self._is_broken:
            return []
        held = self._held + octets if self._held else octets
        found: list[bytes | Violation] = []
        start, size = 0, len(held)
        while start < size:
            colon = held.find(b":", start, start + self._max_digits + 1)
            length = self._lengths.get(held[start:colon]) if colon >= 0 else None
            if length is None:
                head = held[start : colon if colon >= 0 else start + self._max_digits + 1]
                if colon < 0 and self._may_begin(head):
                    break
                return self._end(found, self._explain(head))
            comma = colon + 1 + length
            if comma >= size:
                break
            if held[comma] != _COMMA:
                return self._end(found, "a netstring ends with a comma")
            found.append(held[colon + 1 : comma])
            start = comma + 1
        self._held = held[start:]
        return found

    @property
    def is_between(self) -> bool:
        """Nothing is held: what comes next begins a netstring."""
        return not self._held and not self._is_broken

    def _may_begin(self, digits: bytes) -> bool:
        """Say if a length can begin so: no sign and no leading zeros, it has one form."""
        is_one_form = digits == b"0" or not digits.startswith(b"0")
        return digits.isdigit() and is_one_form and len(digits) <= self._max_digits

    def _explain(self, digits: bytes) -> str:
        if self._may_begin(digits):
            return f"a netstring has at most {self._max_octets} octets"
        return "a netstring begins with its length"

    def _end(self, found: list[bytes | Violation], reason: str) -> list[bytes | Violation]:
        self._is_broken = True
        self._held = b""
        return [*found, Violation(reason)]


def format_netstring(content: bytes) -> bytes:
    """Put the length in front and a comma behind."""
    return b"%d:%b," % (len(content), content)


@cache
def _list_lengths(most: int) -> Mapping[bytes, int]:
    """Give every length in its one form: reading one is a look into this."""
    return {b"%d" % number: number for number in range(most + 1)}
