"""Whether IMAP and POP3 servers do under TLS what came in clear behind STARTTLS.

RFC 9051 §6.2.1, RFC 2595 §4: what a client said before TLS is forgotten. What comes before TLS is
in `openings`; SMTP's replies are counted in `network.deep_probes`. Fed with octets, split anywhere.
"""

from collections.abc import Iterator

from letterlock.protocols.check.deep import Injection
from letterlock.protocols.check.openings import MAX_OCTETS, Speech

INJECTED = {Speech.IMAP: b"a2 NOOP\r\n", Speech.POP3: b"NOOP\r\n"}
"""Said in one piece with the command for TLS. Neither does anything, nor needs a login."""
FAREWELLS = {Speech.IMAP: b"a3 LOGOUT\r\n", Speech.POP3: b"QUIT\r\n"}
"""Said under TLS: whatever was done before has been answered when this is."""
_SHOWN = 200


class FarewellReader:
    """What a server says under TLS, where it was told nothing but good-bye."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._octets = b""
        self._lines: list[bytes] = []
        self._heard = 0

    def receive(self, octets: bytes) -> bool:
        """Take octets; says if no more is needed."""
        self._heard += len(octets)
        *lines, self._octets = (self._octets + octets).split(b"\n")
        self._lines += (line.rstrip(b"\r") for line in lines)
        if self._speech is Speech.POP3:
            return len(self._lines) > 1 or self._heard > MAX_OCTETS
        return self._find(b"A3 ") is not None or self._heard > MAX_OCTETS

    def conclude(self) -> tuple[Injection, str]:
        """Give what became of the command, and the line that tells it."""
        lines = list(self._list_answers())
        if not lines:
            return Injection.REFUSED, "it said nothing under TLS"
        is_executed = lines[0].upper().startswith(b"A2 ") or len(lines) > 1
        shown = lines[0][:_SHOWN].decode("ascii", "replace")
        return (Injection.EXECUTED if is_executed else Injection.DISCARDED), shown

    def _list_answers(self) -> Iterator[bytes]:
        """Give the lines that answer a command: to good-bye there is one."""
        if self._speech is Speech.POP3:
            yield from self._lines[:2]
        else:
            yield from filter(None, (self._find(b"A2 "), self._find(b"A3 ")))

    def _find(self, tag: bytes) -> bytes | None:
        return next((line for line in self._lines if line.upper().startswith(tag)), None)
