"""The message as it comes on standard input: a line with nothing but a dot ends it."""

import os

from letterlock.send.failures import IO_ERROR, SendError

PIECE_OCTETS = 64 * 1024


class StandardInput:
    """Gives the message piece by piece. `is_dot_text`: a dot alone is text like any other."""

    def __init__(self, *, is_dot_text: bool) -> None:
        self._text = None if is_dot_text else InputText()

    def read(self) -> bytes:
        """Give the next piece; nothing at the end. Raises SendError."""
        text = self._text
        if text is None:
            return _read()
        while not text.has_ended:
            piece = _read()
            if not piece:
                return text.finish()
            if found := text.receive(piece):
                return found
        return b""


class InputText:
    """Passes text on up to the final dot. How it is split does not matter."""

    def __init__(self) -> None:
        self._held = b""
        """A line that may yet be the dot: what of it has come."""
        self._is_at_start = True
        self.has_ended = False

    def receive(self, piece: bytes) -> bytes:
        """Take the next octets; give those that belong to the message."""
        if self.has_ended:
            return b""
        text, self._held = self._held + piece, b""
        if self._is_at_start and (found := self._cut(text, 0)) is not None:
            return found
        at = text.find(b"\n.")
        while at >= 0:
            if (found := self._cut(text, at + 1)) is not None:
                return found
            at = text.find(b"\n.", at + 1)
        if text:
            self._is_at_start = text.endswith(b"\n")
        return text

    def finish(self) -> bytes:
        """End the input: gives what was held, unless it is the dot without its line end."""
        held, self._held, self.has_ended = self._held, b"", True
        return b"" if held in {b".", b".\r"} else held

    def _cut(self, text: bytes, at: int) -> bytes | None:
        """Give the text before a line if that is the dot, or may be; None: go on."""
        line = text[at : at + 3]
        if line.startswith((b".\n", b".\r\n")):
            self.has_ended = True
            return text[:at]
        if line in {b".", b".\r"}:
            self._held, self._is_at_start = line, True
            return text[:at]
        return None


def _read() -> bytes:
    try:
        return os.read(0, PIECE_OCTETS)
    except OSError as error:
        raise SendError(IO_ERROR, f"standard input: {error.strerror}") from None
