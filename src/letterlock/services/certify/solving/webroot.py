"""http-01 by another web server: the proof is a file below its root.

RFC 8555 §8.3. What a process that was killed left behind is removed with the next proof.
"""

import asyncio
import os
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.protocols.acme.challenges import HTTP_FOLDER, is_token
from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.services.certify.solvers import Proof

STALE_AFTER = timedelta(days=1)
FILE_MODE = 0o644
"""The web server runs as somebody else."""
FOLDER_MODE = 0o755
MAX_SWEPT = 1000

_MAX_OCTETS = 1024
_PREFIX = ".letterlock-"


class WebrootSolver:
    """Puts files into a web server's root folder, which must be there.

    The folders below it are made when `may_make_folders`, and stay.
    """

    kind: ChallengeType = "http-01"

    def __init__(self, root: Path, clock: Clock, *, may_make_folders: bool = True) -> None:
        self._root = root
        self._folder = root / HTTP_FOLDER.strip("/")
        self._clock = clock
        self._may_make_folders = may_make_folders

    async def present(self, proof: Proof) -> str | None:
        if not is_token(proof.token):
            return "the token is none"
        try:
            await asyncio.to_thread(self._put, proof, self._clock.now())
        except OSError as error:
            return f"{error.filename or self._folder}: {error.strerror}"
        return None

    async def cleanup(self, proof: Proof) -> None:
        # A file that can't be removed is tried again with a later proof.
        if is_token(proof.token):
            with suppress(OSError):
                await asyncio.to_thread((self._folder / proof.token).unlink)

    def _put(self, proof: Proof, now: datetime) -> None:
        self._make_folder()
        self._sweep(proof, now)
        made = self._folder / f"{_PREFIX}{proof.token}"
        made.unlink(missing_ok=True)
        with made.open("xb") as file:
            os.fchmod(file.fileno(), FILE_MODE)  # whatever the umask
            file.write(proof.key_authorization.encode("ascii"))
        made.rename(self._folder / proof.token)

    def _make_folder(self) -> None:
        if self._folder.is_dir() or not self._may_make_folders:
            return
        self._root.stat()  # raises: a root that is not there was mistyped, or is not mounted
        for folder in (self._folder.parent, self._folder):
            if not folder.is_dir():
                folder.mkdir()
                folder.chmod(FOLDER_MODE)

    def _sweep(self, proof: Proof, now: datetime) -> None:
        """Remove what is ours and old: other clients may use the same folder."""
        thumbprint = proof.key_authorization.rpartition(".")[2]
        before = (now - STALE_AFTER).timestamp()
        with os.scandir(self._folder) as entries:
            for entry in islice(entries, MAX_SWEPT):
                with suppress(OSError):
                    if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < before:
                        _remove_if_ours(Path(entry.path), thumbprint)


def _remove_if_ours(file: Path, thumbprint: str) -> None:
    is_part = file.name.startswith(_PREFIX) and is_token(file.name.removeprefix(_PREFIX))
    if is_part or (is_token(file.name) and _read(file) == f"{file.name}.{thumbprint}".encode()):
        file.unlink()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_OCTETS)
