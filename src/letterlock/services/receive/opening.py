"""The beginning of a message: held back until its header section is whole, then let in.

What is forged in our name (Authentication-Results, RFC 8601 §5) is taken out before anybody sees
it: before filters, before we sign, and before it is stored. A header section that is longer than
can be held is refused: what was not looked at does not come in.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from letterlock.protocols.smtp.first_line import FirstLine
from letterlock.protocols.smtp.header_section import MAX_HEADER_OCTETS
from letterlock.protocols.smtp.own_results import OwnNames, drop_own_results, may_have_results
from letterlock.protocols.smtp.replies import reply
from letterlock.services.receive.recipients import RelayClients

TOO_LONG = reply(
    552, "5.3.4", f"Message refused: its header is longer than {MAX_HEADER_OCTETS // 1024} KiB"
)
"""Sendmail refuses at 32 KiB (MaxHeadersLength), Exim at 1 MiB (header_maxsize)."""


@dataclass(frozen=True, slots=True)
class ResultsGuard:
    """Whose Authentication-Results fields in our name may come in."""

    own: OwnNames
    trusted: RelayClients = field(default_factory=lambda: RelayClients(()))
    """Our other mail servers. Clients of ours (who logged in, or may relay) are not among them."""

    def clean(self, header: bytes, ip: str) -> tuple[bytes, int]:
        """Give the header section that comes in from a client, and how many fields went."""
        if self.trusted.may_relay(ip):
            return header, 0
        return drop_own_results(header, self.own)


class Opening:
    """One message. Give it each piece until `is_whole`, and call `finish` if it ends before.

    `guard` None: nothing is taken out. `find_missing` gives the fields that a header section should
    have and has not, which are put above it; None: nothing is.
    """

    __slots__ = (
        *("_find_missing", "_first_line", "_guard", "_held", "_ip"),
        *("dropped", "header", "is_too_long"),
    )

    def __init__(
        self,
        guard: ResultsGuard | None,
        ip: str,
        find_missing: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.header: bytes | None = None
        """The header section without the empty line; None: it is not whole yet."""
        self.is_too_long = False
        """It is longer than MAX_HEADER_OCTETS: nothing more is given out."""
        self.dropped = 0
        """How many fields were taken out."""
        self._find_missing = find_missing
        self._guard = guard
        self._ip = ip
        self._first_line = FirstLine()
        self._held = bytearray()

    def receive(self, piece: bytes) -> bytes:
        """Take the next octets; give those that go on: none, or all that were held, cleaned."""
        if self.is_too_long:
            return b""
        if not self._first_line.is_decided:
            piece = self._first_line.receive(piece)
        held = self._held
        start = max(0, len(held) - 3)
        held += piece
        # The empty line, with the line end before it; there is none before the first line.
        end = -2 if held.startswith(b"\r\n") else held.find(b"\r\n\r\n", start)
        if end > MAX_HEADER_OCTETS or (end == -1 and len(held) > MAX_HEADER_OCTETS):
            self.is_too_long = True
            held.clear()
        elif end != -1:
            return self._let_in(end + 2)
        return b""

    def finish(self) -> bytes:
        """End a message that has no empty line; gives what was held."""
        if self.header is not None or self.is_too_long:
            return b""
        if not self._first_line.is_decided:
            self._held += self._first_line.finish()
        return self._let_in(0 if self._held.startswith(b"\r\n") else len(self._held))

    def _let_in(self, end: int) -> bytes:
        content = bytes(self._held)
        self._held.clear()
        header = content[:end]
        if self._guard is not None and may_have_results(header):
            header, self.dropped = self._guard.clean(header, self._ip)
            content = header + content[end:]
        if self._find_missing is not None and (missing := self._find_missing(header)):
            header, content = missing + header, missing + content
        self.header = header
        return content
