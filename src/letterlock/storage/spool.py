"""A body that is looked at before it is stored: in memory while small, then in a file.

The file has no name from the start, so that nothing is left of it whatever happens. It is not
synced: nobody was told yet that the message was taken.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import IO

from letterlock.storage.bodies import PIECE_BYTES
from letterlock.storage.durable import unavailable
from letterlock.storage.queue import SPILL_BYTES


class Spool:
    """Takes octets, and gives them again. `folder` is where the file lies, if one is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: list[bytes] = []
        self._held = 0
        self._file: IO[bytes] | None = None
        self.size = 0

    def write(self, octets: bytes) -> Awaitable[None] | None:
        """Take more octets; an awaitable says that the disk must be waited for before the next.

        It raises StoreUnavailable.
        """
        self._parts.append(bytes(octets))
        self._held += len(octets)
        self.size += len(octets)
        if self._file is None and self.size <= SPILL_BYTES:
            return None
        return self._flush() if self._held >= PIECE_BYTES else None

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Give all octets in pieces, from the first on. Raises StoreUnavailable."""
        at = 0
        while self._file is not None and (piece := await _in_thread(self._read_at, at)):
            yield piece
            at += len(piece)
        for part in tuple(self._parts):
            for start in range(0, len(part), PIECE_BYTES):
                yield part[start : start + PIECE_BYTES]

    def close(self) -> None:
        """Forget it all."""
        self._parts.clear()
        self._held = 0
        if self._file is not None:
            self._file.close()

    async def _flush(self) -> None:
        octets = b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        await _in_thread(self._append, octets)

    def _append(self, octets: bytes) -> bytes:
        if self._file is None:
            # Closed with the body it holds, not where it was made.
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - see above
        self._file.seek(0, 2)
        self._file.write(octets)
        return b""

    def _read_at(self, at: int) -> bytes:
        assert self._file is not None
        self._file.seek(at)
        return self._file.read(PIECE_BYTES)


async def _in_thread(work: Callable[..., bytes], *arguments: object) -> bytes:
    try:
        return await asyncio.to_thread(work, *arguments)
    except (OSError, ValueError) as error:
        # ValueError: closed meanwhile.
        failed = error if isinstance(error, OSError) else OSError(str(error))
        raise unavailable(failed) from error
