"""Where TLS records end, in octets as they come: nobody need ask OpenSSL for what is not whole yet.

RFC 8446 §5.1, §5.2; RFC 5246 §6.2. Left out: what is in them.
"""

_HEADER_OCTETS = 5
_KINDS = range(20, 25)  # change_cipher_spec to heartbeat
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
            length = octets[end + 3] << 8 | octets[end + 4]
            if octets[end] not in _KINDS or length > _MAX_OCTETS:
                self.is_strange = True
                return whole
            end += _HEADER_OCTETS + length
            whole += end <= size
        if end < size:
            self._head = octets[end:]
        self._left = max(0, end - size)
        return whole
