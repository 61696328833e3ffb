"""`mailq` for a user who cannot read the queue itself: the node tells him of his own mail."""

import os
import sys

from letterlock.network.queue_client import NotTheNodes, fetch_queue
from letterlock.send.failures import TRY_LATER, UNAVAILABLE, SendError
from letterlock.storage.drop import QUEUE


def show_own_queue(drop_dir: str) -> None:
    """Print what the node tells. Raises SendError."""
    path = os.path.join(drop_dir, QUEUE)  # noqa: PTH118 - as elsewhere in this package
    try:
        owner = os.stat(drop_dir).st_uid  # noqa: PTH116 - as above
        for octets in fetch_queue(path, owner):
            sys.stdout.buffer.write(octets)
    except NotTheNodes:
        raise SendError(UNAVAILABLE, f"{path}: it is not the node's") from None
    except OSError as error:
        text = f"{path}: {error.strerror or error}: the node must run (and see send.show_queue)"
        raise SendError(TRY_LATER, text) from None
    sys.stdout.flush()
