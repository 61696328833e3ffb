"""Vectors as TLS writes them: lists of octets with their length before them.

RFC 8446 §3.4.
"""


class MalformedError(Exception):
    """A length points past its end. Stays inside this package."""


class Octets:
    """A cursor over octets."""

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._end = len(data)

    @property
    def has_more(self) -> bool:
        return self._position < self._end

    def take(self, count: int) -> bytes:
        start = self._position
        self._position = start + count
        if self._position > self._end:
            raise MalformedError
        return self._data[start : self._position]

    def take_number(self, octets: int) -> int:
        return int.from_bytes(self.take(octets), "big")

    def take_vector(self, length_octets: int) -> bytes:
        # Not by the two above: each handshake waits for nine of these. A length that is cut off
        # ends behind the end by itself.
        start = self._position + length_octets
        length = int.from_bytes(self._data[self._position : start], "big")
        end = self._position = start + length
        if end > self._end:
            raise MalformedError
        return self._data[start:end]


def make_vector(data: bytes, length_octets: int) -> bytes:
    """Put the length before octets."""
    return len(data).to_bytes(length_octets, "big") + data


def make_numbers(numbers: tuple[int, ...]) -> bytes:
    """Give numbers of two octets each."""
    return b"".join(number.to_bytes(2, "big") for number in numbers)
