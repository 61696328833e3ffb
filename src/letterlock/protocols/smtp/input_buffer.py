"""What a client sent and the session has not used yet: command lines, and octets of messages.

RFC 5321 §2.3.8 (only CRLF ends a line), §4.5.3.1.4 (length of command lines).
"""

from enum import StrEnum

from letterlock.protocols.smtp.message_data import BareNewline

MAX_LINE_OCTETS = 2048
"""With CRLF. RFC 5321 §4.5.3.1.4 asks for 512 and more for extensions, RFC 3461 §5.4 for 1036; an
ORCPT of 500 octets beside a path of 256 in UTF-8 fits as well."""

MAX_SKIPPED_OCTETS = 64 * 1024
"""Of a line that is no command: what goes on longer than this is no SMTP."""


class LineFault(StrEnum):
    """Why there is no command line. After BARE_LF and TOO_LONG the rest of the line is skipped."""

    BARE_LF = "bare LF"
    BARE_CR = "bare CR"
    TOO_LONG = "too long"
    ENDLESS = "endless"


class InputBuffer:
    """Octets in the order they came.

    With NORMALIZE a bare LF ends a command line. With REJECT each is reported at once (a client
    that knows LF only would else wait for ever), and what follows up to CRLF is never a command.

    `octets` are those that were not used yet.
    """

    __slots__ = ("_is_lf_enough", "_skipped", "_skipping", "octets")

    def __init__(self, mode: BareNewline) -> None:
        self.octets = bytearray()
        self._is_lf_enough = mode is BareNewline.NORMALIZE
        self._skipping: LineFault | None = None
        self._skipped = 0

    def clear(self) -> None:
        self.octets.clear()

    def take(self, count: int) -> bytes:
        """Give at most `count` octets."""
        taken = bytes(self.octets[:count])
        del self.octets[:count]
        return taken

    def take_line(self) -> bytes | LineFault | None:
        """Give the next command line without its end; None: it is not whole yet."""
        octets = self.octets
        if self._skipping is not None:
            fault = self._skip_line()
            if self._skipping is not None:
                return fault
        end = octets.find(b"\n", 0, MAX_LINE_OCTETS)
        if end < 0:
            if len(octets) < MAX_LINE_OCTETS:
                return None
            self._skipping = LineFault.TOO_LONG
            return LineFault.TOO_LONG
        if end and octets[end - 1] == 0x0D:
            line = bytes(octets[: end - 1])
        elif self._is_lf_enough:
            line = bytes(octets[:end])
        else:
            del octets[: end + 1]
            self._skipping = LineFault.BARE_LF
            return LineFault.BARE_LF
        del octets[: end + 1]
        # The number: for octets `in` would first raise, and catch, that they are none.
        return LineFault.BARE_CR if 0x0D in line else line

    def _skip_line(self) -> LineFault | None:
        """Drop the rest of a line, and end that at its end; gives what is to be told meanwhile."""
        octets = self.octets
        end = octets.find(b"\n")
        is_crlf = end > 0 and octets[end - 1] == 0x0D
        if 0 <= end <= MAX_SKIPPED_OCTETS - self._skipped + is_crlf:
            del octets[: end + 1]
            if is_crlf or self._is_lf_enough:
                self._skipping = None
                self._skipped = 0
                return None
            self._skipped += end + 1
            was, self._skipping = self._skipping, LineFault.BARE_LF
            return LineFault.BARE_LF if was is LineFault.BARE_LF else self._skip_line()
        # A CR at the end may be the first half of CRLF.
        count = len(octets) - octets.endswith(b"\r")
        self._skipped += count
        del octets[:count]
        return LineFault.ENDLESS if self._skipped > MAX_SKIPPED_OCTETS else None
