"""The last answer of a check for each domain or service, as JSON files in one folder.

Names come from the command line: they are checked names of hosts and ports, and yet only their
digest becomes a file's name.
"""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

from letterlock.storage.durable import make_folder

MAX_OCTETS = 32 * 1024 * 1024


class CheckRuns:
    """Reads and writes them. What cannot be read is not there: it was the answer of another day."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> dict[str, Any] | None:
        """Give the last answer; None: there is none."""
        try:
            with self._path(name).open("rb") as file:
                octets = file.read(MAX_OCTETS + 1)
            document = json.loads(octets) if len(octets) <= MAX_OCTETS else None
        except (OSError, ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None

    def save(self, name: str, document: dict[str, Any]) -> None:
        """Keep an answer in place of the one before. Raises OSError."""
        make_folder(self._folder)
        path = self._path(name)
        # Another run may be at it too: each has a file of its own, and the last one's stays.
        new = path.with_suffix(f".{os.getpid()}")
        with new.open("w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump(document, file, ensure_ascii=True)
        new.replace(path)

    def _path(self, name: str) -> Path:
        return self._folder / f"{sha256(name.encode()).hexdigest()[:32]}.json"
