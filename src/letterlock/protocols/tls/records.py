"""Where TLS records end, in octets as they come: nobody need ask OpenSSL for what is not whole yet.

RFC 8446 §5.1, §5.2; RFC 5246 §6.2. Left out: what is in them.
"""

from struct import Struct

_HEADER = Struct("!BxxH")
_HEADER_OCTETS = _HEADER.size
_FIRST_KIND, _LAST_KIND = 20, 24  # change_cipher_spec, heartbeat
_MAX_OCTETS = (1 << 14) + 2048  # RFC 5246 §6.2.3, the longest of any version


class RecordCounter:
    """Counts the records that are whole."""

    def __init__(self) -> None:
        self._left = 0
        self._head = b""
        self.is_strange = False
        """Something came that begins no record: nothing is known of it, nor of what follows."""

    def receive(self, octets: bytes) -> int:
        """Take what came; gives how many records are whole now that were not before."""
        if self.is_strange:
            return 0
        size, end, whole = len(octets), self._left, 0
        if self._head:
            octets, size, self._head = self._head + octets, size + len(self._head), b""
        elif 0 < end <= size:
            whole = 1
        while end + _HEADER_OCTETS <= size:
            kind, length = _HEADER.unpack_from(octets, end)
            if not _FIRST_KIND <= kind <= _LAST_KIND or length > _MAX_OCTETS:
                self.is_strange = True
                return whole
            end += _HEADER_OCTETS + length
            whole += end <= size
        if end < size:
            self._head = octets[end:]
            end = size
        self._left = end - size
        return whole
