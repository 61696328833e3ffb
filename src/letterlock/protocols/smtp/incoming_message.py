"""A message while it comes in, by DATA or in chunks: what is wrong with it, and how much it is.

RFC 5321 §4.1.1.4 and §4.5.3.1.7 (552), RFC 1870 §6.3, RFC 3030 §2. Line ends and dots are
`message_data`'s.
"""

from letterlock.protocols.smtp.message_data import (
    BareNewline,
    ChunkDecoder,
    TextDecoder,
    TextFault,
)
from letterlock.protocols.smtp.replies import Reply, reply

# RFC 3463 §3.6: 5.5.2 syntax error; §3.7: 5.6.0 media error (RFC 2045 §2.8: no NULs in 8bit text).
_FAULT_REPLIES = {
    TextFault.BARE_LF: reply(550, "5.5.2", "Message refused: bare <LF> received"),
    TextFault.BARE_CR: reply(550, "5.5.2", "Message refused: bare <CR> received"),
    TextFault.NUL: reply(550, "5.6.0", "Message refused: NUL received"),
}
_TOO_BIG = reply(552, "5.3.4", "Message exceeds fixed limit")


class _Incoming:
    """`received` counts octets as they came, whether kept or not."""

    __slots__ = ("_decoder", "_left", "_mode", "received")

    _decoder: TextDecoder | ChunkDecoder

    def __init__(self, mode: BareNewline, max_octets: int) -> None:
        self.received = 0
        self._mode = mode
        self._left = max_octets

    @property
    def violation(self) -> Reply | None:
        """Why the message is refused, if it is."""
        fault = self._decoder.fault
        if fault is not None and self._mode is BareNewline.REJECT:
            return _FAULT_REPLIES[fault]
        return _TOO_BIG if self._left < 0 else None

    def _limit(self, text: bytes) -> bytes:
        left = self._left
        self._left = left - len(text)
        return text if self._left >= 0 else text[: max(left, 0)]


class IncomingText(_Incoming):
    """A message that follows 354."""

    __slots__ = ()

    _decoder: TextDecoder

    def __init__(self, mode: BareNewline, max_octets: int) -> None:
        super().__init__(mode, max_octets)
        self._decoder = TextDecoder(mode)

    def take(self, octets: bytes) -> tuple[bytes, int, bool]:
        """Take octets; gives what `TextDecoder.feed` gives, its text up to the size limit."""
        text, used, is_ended = self._decoder.feed(octets)
        self.received += used
        return self._limit(text), used, is_ended


class IncomingChunks(_Incoming):
    """A message that comes by BDAT."""

    __slots__ = ()

    _decoder: ChunkDecoder

    def __init__(self, mode: BareNewline, max_octets: int) -> None:
        super().__init__(mode, max_octets)
        self._decoder = ChunkDecoder(mode)

    def take(self, octets: bytes) -> bytes:
        """Take octets of a chunk; gives text up to the size limit."""
        self.received += len(octets)
        return self._limit(self._decoder.feed(octets))

    def finish(self) -> bytes:
        """End after the last chunk; gives the text that was held back."""
        return self._limit(self._decoder.finish())
