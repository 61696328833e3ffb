"""Drops one message: a file that is whole and on the disk, or is not there.

It is written under another name, synced, renamed, and synced again. The second time is for the
name: the folder is not ours to open, so it can't be synced itself. On ext4, XFS, Btrfs and F2FS a
rename is a change of the file too, and syncing the file brings it to the disk.
"""

import errno
import fcntl
import os
import stat

from letterlock.send.failures import (
    CANNOT_CREATE,
    CONFIG_ERROR,
    IO_ERROR,
    NO_PERMISSION,
    TRY_LATER,
    UNAVAILABLE,
    SendError,
)
from letterlock.storage.drop import (
    BELL,
    FILE_MODE,
    LIMITS,
    MODE,
    PARTIAL,
    WHOLE,
    parse_limits,
)

_RANDOM_OCTETS = 16
_MAX_LIMITS_OCTETS = 4096
_NEED = stat.S_ISVTX | stat.S_ISGID
"""Of MODE: without these, others remove what is there, or the node can't read it."""


class DropPlace:
    """A folder to drop into, and what its node takes. Raises SendError when it can't be used."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._folder = _open_folder(path)
        status = os.fstat(self._folder)
        if status.st_mode & _NEED != _NEED:
            text = f"{path}: is no drop folder: chmod {MODE:o} it, or start the node, which does"
            raise SendError(CONFIG_ERROR, text)
        self._owner = status.st_uid
        limits = self._read_limits()
        self.max_octets = limits.get("max_message_bytes")
        self.max_recipients = limits.get("max_recipients")

    def begin(self) -> "Drop":
        return Drop(self._folder, self.path, self.max_octets)

    def ring(self) -> None:
        """Let the node look now. If that fails, it looks by itself after some seconds."""
        try:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            bell = os.open(BELL, flags, dir_fd=self._folder)
        except OSError:
            return
        try:
            status = os.fstat(bell)
            if stat.S_ISFIFO(status.st_mode) and status.st_uid == self._owner:
                os.write(bell, b"\n")
        except OSError:
            return
        finally:
            os.close(bell)

    def _read_limits(self) -> dict[str, int]:
        """Read what the node takes; nothing where a file is another's, or not there yet."""
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(LIMITS, flags, dir_fd=self._folder)
        except OSError:
            return {}
        try:
            status = os.fstat(file)
            is_own = status.st_uid == self._owner and stat.S_ISREG(status.st_mode)
            return parse_limits(os.read(file, _MAX_LIMITS_OCTETS)) if is_own else {}
        except OSError:
            return {}
        finally:
            os.close(file)


class Drop:
    """One file. `write`, then `finish` or `discard`; all raise SendError."""

    def __init__(self, folder: int, path: str, max_octets: int | None) -> None:
        self._folder = folder
        self._path = path
        self._left = max_octets
        self._name = os.urandom(_RANDOM_OCTETS).hex()
        self._file = self._create()

    def write_envelope(self, octets: bytes) -> None:
        """Write what does not count as the message."""
        self._write(octets)

    def write(self, octets: bytes) -> None:
        if self._left is not None:
            self._left -= len(octets)
            if self._left < 0:
                raise SendError(UNAVAILABLE, "the message is larger than this host takes")
        self._write(octets)

    def finish(self) -> str:
        """Leave the file to the node; gives its name. It is on the disk when this returns."""
        partial, whole = f"{PARTIAL}{self._name}", f"{WHOLE}{self._name}"
        try:
            os.fsync(self._file)
            os.rename(partial, whole, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._file)
            os.close(self._file)
        except OSError as error:
            raise self._explain(error) from None
        return whole

    def discard(self) -> None:
        """Remove it, unless it was left to the node."""
        try:
            os.unlink(f"{PARTIAL}{self._name}", dir_fd=self._folder)
        except OSError:
            return

    def _create(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            file = os.open(f"{PARTIAL}{self._name}", flags, FILE_MODE, dir_fd=self._folder)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the node sees that it is at work
            os.fchmod(file, FILE_MODE)  # whatever the umask
        except OSError as error:
            raise self._explain(error) from None
        return file

    def _write(self, octets: bytes) -> None:
        rest = memoryview(octets)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise self._explain(error) from None

    def _explain(self, error: OSError) -> SendError:
        text = f"{self._path}: {error.strerror}"
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            return SendError(TRY_LATER, text)
        if error.errno in {errno.EACCES, errno.EPERM}:
            return SendError(NO_PERMISSION, text)
        return SendError(IO_ERROR if error.errno == errno.EIO else CANNOT_CREATE, text)


def _open_folder(path: str) -> int:
    """Open it without the right to list it, which only the node has."""
    try:
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        text = f"{path}: this user cannot get there: a folder above it is closed to others"
        raise SendError(NO_PERMISSION, text) from None
    except FileNotFoundError:
        text = f"{path}: does not exist; the node makes it when it starts"
        raise SendError(TRY_LATER, text) from None
    except OSError as error:
        raise SendError(CONFIG_ERROR, f"{path}: {error.strerror}") from None
