"""Asks Dovecot's login service for passwords, over its Unix socket: a connection for each."""

import asyncio
import secrets
from pathlib import Path

from letterlock.protocols.sasl.dovecot import (
    MAX_LINE_OCTETS,
    Answer,
    DovecotReader,
    Greeted,
    NotAnswered,
    format_hello,
    format_question,
)

TIMEOUT_SECONDS = 30.0
"""Dovecot answers a wrong password after two seconds, later to those who guess."""
MAX_AT_ONCE = 50
_MOST_CLIENTS = 2**31 - 1


class DovecotAuth:
    """One process's way to the service."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)

    async def ask(self, name: str, password: str, ip: str) -> Answer:
        """Ask whether a password is an account's, both prepared. What goes wrong is NotAnswered."""
        if self._slots.locked():
            return NotAnswered("too many logins at once")
        async with self._slots:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    return await self._ask(name, password, ip)
            except TimeoutError:
                return NotAnswered(f"{self._path}: no answer in {TIMEOUT_SECONDS:.0f} seconds")
            except OSError as error:
                return NotAnswered(f"{self._path}: {error.strerror or error}")

    async def _ask(self, name: str, password: str, ip: str) -> Answer:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=MAX_LINE_OCTETS)
        try:
            # Dovecot wants another number for each connection there is: a process's would not do.
            writer.write(format_hello(secrets.randbelow(_MOST_CLIENTS) + 1))
            service = DovecotReader()
            while True:
                match service.receive(await _read_line(reader)):
                    case None:
                        continue
                    case Greeted():
                        writer.write(format_question(name, password, ip))
                        await writer.drain()
                    case NotAnswered(reason):
                        return NotAnswered(f"{self._path}: {reason}")
                    case answer:
                        return answer
        finally:
            writer.close()


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """Raise OSError where there is no whole line."""
    try:
        return (await reader.readuntil(b"\n"))[:-1]
    except asyncio.IncompleteReadError:
        raise ConnectionError("the service hung up") from None
    except asyncio.LimitOverrunError:
        raise ConnectionError("a line is too long") from None
