"""A milter on loopback that writes down what it is told, and misbehaves when a test wants it.

Not built of our own protocol code: packets are packed and unpacked here.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tests.accepting import accepting


class Act(Enum):
    """What a milter does instead of answering."""

    CLOSE = "hangs up"
    SILENCE = "says nothing"


CONTINUE, ACCEPT, REJECT, TEMPFAIL, DISCARD = ((b"c",), (b"a",), (b"r",), (b"t",), (b"d",))
Answer = Sequence[bytes] | Act
"""Packets, each its kind and its content; raw octets where they begin with `!`."""

# Which step (SMFIP_NR_*) says that a command of this kind is not answered.
_SILENT = {
    b"C": 0x1000,
    b"H": 0x2000,
    b"M": 0x4000,
    b"R": 0x8000,
    b"T": 0x10000,
    b"L": 0x80,
    b"N": 0x40000,
    b"B": 0x80000,
}
_ANSWERED = frozenset(_SILENT) | {b"E", b"O"}


@dataclass(slots=True)
class Conduct:
    """How it behaves; all is well where nothing is said. `answers` are by the kind of command.

    `of_recipients` are by a part of the recipient's address. A test may change it at any time.
    """

    actions: int = 0x1FF
    steps: int = 0
    version: int = 6
    macros: bytes = b""
    negotiation: Answer | None = None
    answers: Mapping[bytes, Answer] = field(default_factory=dict)
    hangs_up_after: bytes = b""
    """It ends the connection when it has answered a command of this kind."""
    of_recipients: Mapping[bytes, Answer] = field(default_factory=dict)


@dataclass(slots=True)
class Told:
    """What one connection was told: packets in order. `macros` are the last ones of each kind."""

    packets: list[tuple[bytes, bytes]] = field(default_factory=list)
    macros: dict[bytes, dict[str, str]] = field(default_factory=dict)

    @property
    def kinds(self) -> str:
        return b"".join(kind for kind, _ in self.packets).decode()

    def contents(self, kind: bytes) -> list[bytes]:
        return [content for each, content in self.packets if each == kind]


@dataclass(slots=True)
class MilterServer:
    """One that runs: its address in our settings' words, and what its connections were told."""

    address: str
    conduct: Conduct
    connections: list[Told] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a connection has ended."""

    @property
    def told(self) -> Told:
        """What the only connection was told."""
        (told,) = self.connections
        return told


@contextlib.asynccontextmanager
async def running_milter(
    conduct: Conduct | None = None, path: Path | None = None
) -> AsyncIterator[MilterServer]:
    """Run one, at a unix socket or else a port of its own."""
    milter = MilterServer("", conduct or Conduct())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _serve(milter, reader, writer)
        finally:
            writer.close()
            milter.ended.set()

    async with accepting(serve, path=path) as port:
        milter.address = f"inet:127.0.0.1:{port}" if path is None else f"unix:{path}"
        yield milter


def packet(content: bytes) -> bytes:
    """Put kind and content on the wire; after `!` they are raw octets."""
    if content.startswith(b"!"):
        return content[1:]
    return struct.pack("!I", len(content)) + content


async def _serve(
    milter: MilterServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    told = Told()
    milter.connections.append(told)
    while True:
        (length,) = struct.unpack("!I", await reader.readexactly(4))
        content = await reader.readexactly(length)
        kind, content = content[:1], content[1:]
        if kind == b"D":
            texts = content[1:].decode().split("\0")[:-1]
            told.macros[content[:1]] = dict(zip(texts[::2], texts[1::2], strict=True))
            continue
        told.packets.append((kind, content))
        if kind == b"Q":
            return
        answer = _find_answer(milter.conduct, kind, content)
        if answer is Act.CLOSE:
            return
        if answer is Act.SILENCE:
            await reader.read()
            return
        assert not isinstance(answer, Act)
        writer.write(b"".join(map(packet, answer)))
        await writer.drain()
        if milter.conduct.hangs_up_after == kind:
            return


def _find_answer(conduct: Conduct, kind: bytes, content: bytes) -> Answer:
    if kind not in _ANSWERED or _SILENT.get(kind, 0) & conduct.steps:
        return ()
    if kind == b"O":
        numbers = struct.pack("!III", conduct.version, conduct.actions, conduct.steps)
        agreed = (b"O" + numbers + conduct.macros,)
        return agreed if conduct.negotiation is None else conduct.negotiation
    if kind == b"R":
        for part, answer in conduct.of_recipients.items():
            if part in content:
                return answer
    return conduct.answers.get(kind, CONTINUE)
