"""Milter packets: a length of four octets, a command or reply of one, and what belongs to it.

As in sendmail's libmilter, version 6 (`mfdef.h` names the numbers). The length counts the command.
"""

from msgspec import Struct

LENGTH_OCTETS = 4
MAX_CHUNK_OCTETS = 65_535
"""Of a message's body in one packet: MILTER_CHUNK_SIZE."""


class Packet(Struct, frozen=True):
    """A packet that came: the octet that says what it is, and the rest."""

    kind: bytes
    content: bytes


class Violation(Struct, frozen=True):
    """What came is not the protocol; nothing after it is read. `reason` is for people."""

    reason: str


class PacketReader:
    """Turns received octets into packets, each of at most `max_octets`."""

    def __init__(self, max_octets: int = 2 * MAX_CHUNK_OCTETS) -> None:
        """Take no longer packets; the default is Postfix's limit."""
        self._max_octets = max_octets
        self._held = bytearray()
        self._is_broken = False

    def receive(self, octets: bytes) -> list[Packet | Violation]:
        """Take octets from the peer; give the packets that they complete."""
        found: list[Packet | Violation] = []
        if self._is_broken:
            return found
        held = self._held
        held += octets
        start = 0
        while len(held) - start >= LENGTH_OCTETS:
            length = int.from_bytes(held[start : start + LENGTH_OCTETS], "big")
            if not 1 <= length <= self._max_octets:
                self._is_broken = True
                self._held.clear()
                return [*found, Violation(f"a packet of {length} octets")]
            end = start + LENGTH_OCTETS + length
            if end > len(held):
                break
            kind = bytes(held[start + LENGTH_OCTETS : start + LENGTH_OCTETS + 1])
            found.append(Packet(kind, bytes(held[start + LENGTH_OCTETS + 1 : end])))
            start = end
        del held[:start]
        return found


def format_packet(kind: bytes, content: bytes = b"") -> bytes:
    """Put a packet on the wire."""
    return (len(content) + 1).to_bytes(LENGTH_OCTETS, "big") + kind + content


def join_strings(*texts: bytes) -> bytes:
    """End each text with a NUL. What a text has of them becomes spaces: none can begin another."""
    return b"".join([text.replace(b"\0", b" ") + b"\0" for text in texts])


def split_strings(content: bytes) -> list[bytes] | None:
    """Give the texts that `join_strings` put together; None where the last one has no end."""
    if content and not content.endswith(b"\0"):
        return None
    return content.split(b"\0")[:-1]
