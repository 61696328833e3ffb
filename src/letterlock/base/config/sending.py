"""The settings of mail that programs of this machine hand in, by `letterlock send`."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from letterlock.base.config.values import InDataDir
from letterlock.base.domains import Domain


class ShownQueue(StrEnum):
    """What users see of the queue."""

    OWN = "own"
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SendSection:
    """Mail from programs of this machine: `letterlock send`, `letterlock-sendmail`."""

    enabled: bool = True
    """Take what is dropped."""

    drop_dir: Annotated[Path, InDataDir()] = Path("drop")
    """Where messages are dropped, whether the node runs or not. The node makes it: everyone may
    leave a file there, nobody but the node see what is there. A relative path starts at
    `data_dir`, which is closed to other users: for them, `/var/spool/letterlock` is the place."""

    show_queue: ShownQueue = ShownQueue.OWN
    """What `mailq` shows to users other than root and the node's: their `own` mail, `all` that
    waits, or `none`. It has who writes to whom."""

    origin: Domain | None = None
    """The domain of addresses that have none: `root` becomes `root@origin`. Unset: `hostname`."""
