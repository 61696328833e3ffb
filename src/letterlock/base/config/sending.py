"""The settings of mail that programs of this machine hand in, by `letterlock send`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from letterlock.base.config.values import InDataDir
from letterlock.base.domains import Domain


@dataclass(frozen=True, slots=True)
class SendSection:
    """Mail from programs of this machine: `letterlock send`, `letterlock-sendmail`."""

    enabled: bool = True
    """Take what is dropped."""

    drop_dir: Annotated[Path, InDataDir()] = Path("drop")
    """Where messages are dropped, whether the node runs or not. The node makes it: everyone may
    leave a file there, nobody but the node see what is there. A relative path starts at
    `data_dir`, which is closed to other users: for them, `/var/spool/letterlock` is the place."""

    origin: Domain | None = None
    """The domain of addresses that have none: `root` becomes `root@origin`. Unset: `hostname`."""
