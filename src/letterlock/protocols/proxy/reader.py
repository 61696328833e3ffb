"""Read the PROXY header at the start of a connection, in whatever pieces it comes.

The PROXY protocol §2, both versions. What follows the header is the client's.
"""

from letterlock.protocols.proxy import binary_form, text_form
from letterlock.protocols.proxy.headers import HeaderError, HeaderFault, ProxyHeader


class HeaderReader:
    """Takes octets until there is a header, or it is clear that there will be none.

    `rest` is what came behind the header.
    """

    def __init__(self) -> None:
        self.rest = b""
        self._octets = b""

    @property
    def has_octets(self) -> bool:
        """Something came, and it is not a whole header yet."""
        return bool(self._octets)

    def receive(self, data: bytes) -> ProxyHeader | HeaderFault | None:
        """Give the header, or why there is none; None: more octets are needed."""
        octets = self._octets = self._octets + data
        try:
            if _begins(octets, binary_form.SIGNATURE):
                return self._read_binary(octets)
            if _begins(octets, text_form.PREFIX):
                return self._read_text(octets)
        except HeaderError as error:
            return error.fault
        return HeaderFault.NOT_A_HEADER

    def _read_binary(self, octets: bytes) -> ProxyHeader | None:
        if len(octets) < binary_form.FIXED_OCTETS:
            return None
        length = binary_form.find_length(octets)
        if len(octets) < length:
            return None
        self.rest = octets[length:]
        return binary_form.parse_binary_header(octets[:length])

    def _read_text(self, octets: bytes) -> ProxyHeader | None:
        end = octets.find(b"\r\n", 0, text_form.MAX_OCTETS)
        if end < 0:
            if len(octets) >= text_form.MAX_OCTETS:
                raise HeaderError(HeaderFault.TOO_LONG)
            return None
        self.rest = octets[end + 2 :]
        return text_form.parse_text_header(octets[:end])


def _begins(octets: bytes, start: bytes) -> bool:
    """Say whether octets begin so, as far as they go."""
    return octets.startswith(start) or start.startswith(octets)
