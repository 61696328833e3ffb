"""Files with secrets in them: small, and not for everybody on the machine to read."""

import os
import stat
from pathlib import Path

from letterlock.base.errors import LocalError

MAX_SECRET_OCTETS = 40_000


def load_secret(path: Path) -> str:
    """Read a file's text. Raises LocalError, which names the file, also when others can read it.

    Its octets that are no UTF-8 are replaced: whoever reads the text finds what is wrong with it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            octets = file.read(MAX_SECRET_OCTETS + 1)
    except OSError as error:
        raise LocalError(f"{path}: cannot be read: {error.strerror}") from error
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise LocalError(f"{path}: everyone on this machine can read this secret: chmod 0600 it")
    if len(octets) > MAX_SECRET_OCTETS:
        raise LocalError(f"{path}: it has more than {MAX_SECRET_OCTETS} octets")
    return octets.decode("utf-8", "replace")
