"""Whether the databases of a node are of a form that this release can work with.

Asked before the node starts: else a worker would leave the mail in them where it is, and begin new
ones. PostgreSQL is asked when it is opened.
"""

from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.owner import NODE_MIGRATIONS, require_readable
from letterlock.storage.sqlite.shard_files import find_shards


def require_readable_stores(config: Config) -> None:
    """Raise LocalError when a newer release has changed one beyond us, or none can be found."""
    if config.queue.engine is not QueueEngine.SQLITE:
        return
    try:
        paths = find_shards(config.queue_dir)
    except StoreUnavailable as error:
        raise LocalError(str(error)) from error
    for path in paths:
        require_readable(path)
    require_readable(config.node_database, NODE_MIGRATIONS)
