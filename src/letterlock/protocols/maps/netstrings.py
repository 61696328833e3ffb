"""Netstrings: octets with their number in front, `5:hello,` (D. J. Bernstein, 1997)."""

from letterlock.protocols.maps.messages import Violation


class NetstringReader:
    """Turns received octets into the contents of netstrings. After a violation it reads no more."""

    def __init__(self, max_octets: int) -> None:
        """Take contents of at most `max_octets`."""
        self._max_octets = max_octets
        self._max_digits = len(str(max_octets))
        self._held = b""
        self._is_broken = False

    def receive(self, octets: bytes) -> list[bytes | Violation]:
        """Take octets from the peer; give the contents that they complete."""
        if self._is_broken:
            return []
        held = self._held + octets if self._held else octets
        found: list[bytes | Violation] = []
        start = 0
        while start < len(held):
            end = self._find_end(held, start)
            if isinstance(end, Violation):
                self._is_broken = True
                self._held = b""
                return [*found, end]
            colon, comma = end
            if not comma or comma >= len(held):
                break
            found.append(held[colon + 1 : comma])
            start = comma + 1
        self._held = held[start:]
        return found

    def _find_end(self, held: bytes, start: int) -> tuple[int, int] | Violation:
        """Find colon and comma of the netstring that begins there; 0: not here yet."""
        colon = held.find(b":", start, start + self._max_digits + 1)
        digits = held[start:colon] if colon >= 0 else held[start : start + self._max_digits + 1]
        # No leading zeros, no sign: the number has one form.
        if (
            not digits.isdigit()
            or (len(digits) > 1 and digits[:1] == b"0")
            or len(digits) > self._max_digits
        ):
            return Violation("a netstring begins with its length")
        if colon < 0:
            return 0, 0
        length = int(digits)
        if length > self._max_octets:
            return Violation(f"a netstring has at most {self._max_octets} octets")
        comma = colon + 1 + length
        if comma < len(held) and held[comma] != ord(","):
            return Violation("a netstring ends with a comma")
        return colon, comma


def format_netstring(content: bytes) -> bytes:
    """Put the length in front and a comma behind."""
    return b"%d:%b," % (len(content), content)
