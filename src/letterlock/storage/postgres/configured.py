"""The PostgreSQL queue that `[queue]` describes."""

from urllib.parse import urlsplit

from letterlock.base.clock import Clock
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.sections import QueueSection
from letterlock.storage.postgres.queue import PostgresQueue
from letterlock.storage.schedule import find_horizon


def make_postgres_queue(section: QueueSection, node: str, clock: Clock) -> PostgresQueue:
    """Make the queue, not opened yet; `node` names this process among all that share it.

    Raises LocalError when the database's address is not there.
    """
    return PostgresQueue(read_dsn(section), node, clock, horizon=find_horizon(section))


def read_dsn(section: QueueSection) -> str:
    """Give the database's address, which may hold a password. Raises LocalError without one."""
    try:
        url = section.read_url()
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise refuse_setting(("queue", "url_file"), message) from error
    if not url:
        raise refuse_setting(("queue", "url"), 'is needed with queue.engine = "postgres"')
    if not is_url(url):
        # It may hold a password: it is not shown.
        key = "url" if section.url_file is None else "url_file"
        raise refuse_setting(("queue", key), "must be postgresql://user@host/name")
    return url


def is_url(text: str) -> bool:
    """Whether a text has the form of a database's address."""
    try:
        parts = urlsplit(text)
        # Reading the port is what checks it.
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in {"postgresql", "postgres"} and port != 0
