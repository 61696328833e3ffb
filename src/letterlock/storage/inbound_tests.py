"""The inbound tests of a node: a small JSON file each, in one folder, gone when its time is over.

The command makes them and the node's process adds to them: a lock on the folder keeps the one from
the other, and a change is a new file in place of the old one, synced before it is told. What a file
holds is bounded by its type's makers; what cannot be read is no test. All of it blocks.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from letterlock.protocols.inbound.facts import InboundTest
from letterlock.storage.durable import make_folder, sync_folder

MAX_OCTETS = 1024 * 1024
FILE_MODE = 0o600
TOKEN_CHARACTERS = 12
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_TOKEN = re.compile(rf"[{_ALPHABET}]{{{TOKEN_CHARACTERS}}}\Z")
_SUFFIX = ".json"


class TooManyTests(Exception):  # noqa: N818 - not a mistake
    """There are as many as there may be; the oldest ends by itself."""


def make_token() -> str:
    """Make one: 60 random bits, as what may stand in an address and in a path."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(TOKEN_CHARACTERS))


class InboundTests:
    """Reads and changes them. Raises OSError where the folder or the disk can't be used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, test: InboundTest, most: int) -> None:
        """Keep a new one. Raises TooManyTests where there are `most` already."""
        with self._locked():
            if len(list(self._list_tokens())) >= most:
                raise TooManyTests
            self._write(test)

    def load(self, token: str) -> InboundTest | None:
        """Give a test; None for what is no token of one."""
        if not _TOKEN.match(token):
            return None
        try:
            with self._path(token).open("rb") as file:
                octets = file.read(MAX_OCTETS + 1)
            test = msgspec.json.decode(octets, type=InboundTest)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return test if test.token == token and len(octets) <= MAX_OCTETS else None

    def list_all(self) -> list[InboundTest]:
        """Give those that can be read, the oldest first."""
        found = [test for token in self._list_tokens() if (test := self.load(token)) is not None]
        return sorted(found, key=lambda test: test.created)

    def change(self, token: str, change: Callable[[InboundTest], InboundTest]) -> bool:
        """Put what `change` makes of a test in its place; False: it is gone."""
        with self._locked():
            test = self.load(token)
            if test is None:
                return False
            self._write(change(test))
        return True

    def remove_ended(self, now: datetime) -> list[str]:
        """Remove those whose time is over, and what cannot be read; gives their tokens."""
        ended = []
        with self._locked():
            for token in list(self._list_tokens()):
                test = self.load(token)
                if test is None or test.expires <= now:
                    self._path(token).unlink(missing_ok=True)
                    ended.append(token)
        return ended

    def _list_tokens(self) -> Iterator[str]:
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return
        for name in names:
            token = name.removesuffix(_SUFFIX)
            if name.endswith(_SUFFIX) and _TOKEN.match(token):
                yield token

    def _write(self, test: InboundTest) -> None:
        path = self._path(test.token)
        draft = path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(draft, flags, FILE_MODE), "wb") as file:
            file.write(msgspec.json.encode(test))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(self._folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_folder(self._folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._folder / "lock", flags, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _path(self, token: str) -> Path:
        return self._folder / f"{token}{_SUFFIX}"
