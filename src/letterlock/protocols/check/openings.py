"""How a session comes to TLS where it is neither SMTP nor TLS at once: IMAP and POP3.

RFC 9051 §6.2.1 (IMAP's STARTTLS), RFC 2595 §4 (POP3's STLS), RFC 8314 §3.2 (their ports with TLS at
once). Fed with octets, split anywhere; what a server says is bounded.
"""

from dataclasses import dataclass
from enum import StrEnum

MAX_OCTETS = 16 * 1024
"""Of all that is said before TLS: a greeting, and the answer to one command."""
_SHOWN = 200
_MAX_LINES = 60


class Speech(StrEnum):
    """What is spoken before TLS."""

    TLS = "tls"
    """Nothing: TLS comes first."""
    SMTP = "smtp"
    IMAP = "imap"
    POP3 = "pop3"


PORTS = {
    25: Speech.SMTP,
    587: Speech.SMTP,
    143: Speech.IMAP,
    110: Speech.POP3,
    443: Speech.TLS,
    465: Speech.TLS,
    853: Speech.TLS,
    993: Speech.TLS,
    995: Speech.TLS,
}
"""What is spoken where it is not said."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send these octets, and listen."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Begin:
    """TLS comes next."""


@dataclass(frozen=True, slots=True)
class Refused:
    """There will be no TLS.

    `is_blocked`: the greeting already was a refusal. `is_early`: more came than the answer.
    """

    text: str
    is_blocked: bool = False
    is_early: bool = False


Step = Say | Begin | Refused


@dataclass(frozen=True, slots=True)
class _Words:
    greeting: bytes
    command: bytes
    answer: bytes
    ready: bytes


_WORDS = {
    Speech.IMAP: _Words(b"* OK", b"a1 STARTTLS\r\n", b"A1 ", b"A1 OK"),
    Speech.POP3: _Words(b"+OK", b"STLS\r\n", b"", b"+OK"),
}


class OpeningReader:
    """One side of the dialogue before TLS: octets come in, steps come out.

    `said` has the lines of both sides, marked with `>` for ours and `<` for the server's. Behind
    the command for TLS `injected` is said in the same piece, for a server that is tried.
    """

    def __init__(self, speech: Speech, injected: bytes = b"") -> None:
        self.said: list[str] = []
        self._words = _WORDS[speech]
        self._injected = injected
        self._octets = b""
        self._is_greeted = False

    @property
    def has_asked(self) -> bool:
        """A good greeting came, and the command for TLS was the answer."""
        return any(line.startswith(">") for line in self.said)

    def receive(self, octets: bytes) -> Step | None:
        """Take octets; None: more are needed."""
        self._octets += octets
        if len(self._octets) > MAX_OCTETS:
            return Refused("it said too much before TLS")
        while b"\n" in self._octets:
            line, _, self._octets = self._octets.partition(b"\n")
            line = line.rstrip(b"\r")
            self._note("<", line)
            step = self._read(line)
            if step is not None:
                return step
        return None

    def _read(self, line: bytes) -> Step | None:
        words, upper = self._words, line.upper()
        if not self._is_greeted:
            self._is_greeted = True
            if upper.startswith(words.greeting):
                return self._say(words.command + self._injected)
            return Refused(f"it said {_show(line)}", is_blocked=True)
        if not upper.startswith(words.answer):
            return None
        if not upper.startswith(words.ready):
            return Refused(f"STARTTLS is refused: {_show(line)}")
        if self._octets:
            # RFC 9051 §11.1: plain text behind the answer was put there by somebody else.
            return Refused("plain text came between the answer and the handshake", is_early=True)
        return Begin()

    def _say(self, octets: bytes) -> Say:
        for line in octets.splitlines():
            self._note(">", line)
        return Say(octets)

    def _note(self, mark: str, line: bytes) -> None:
        if len(self.said) < _MAX_LINES:
            self.said.append(f"{mark} {_show(line)}")


def _show(line: bytes) -> str:
    return line[:_SHOWN].decode("ascii", "replace")
