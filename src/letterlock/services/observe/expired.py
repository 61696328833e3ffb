"""The certificate that has ended, of the host `expired`: signed by its own key, made once.

No authority signs one that has ended, so it is not trusted either: who leaves it wants a
certificate that proves the host, and which of its two faults that was is not told. One's own, of
an authority and out of its time, can be set instead.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

from letterlock.base.domains import Domain
from letterlock.protocols.pki.throwaway_ca import Shape, self_signed
from letterlock.storage.durable import make_folder

ENDED_AGO = timedelta(days=30)
_LIFETIME = timedelta(days=90)


def make_expired(folder: Path, host: Domain, now: datetime) -> tuple[Path, Path]:
    """Write one, in place of any of before; gives its files. Blocks. Raises OSError."""
    ended = now - ENDED_AGO
    made = self_signed([host], now=now, shape=Shape(not_before=ended - _LIFETIME, not_after=ended))
    make_folder(folder)
    paths = folder / "expired.crt", folder / "expired.key"
    for path, content in zip(paths, (made.chain_pem, made.key_pem), strict=True):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(content)
    return paths
