"""Where received reports are kept, as the settings say: for commands, and for whatever takes in."""

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.node.building import find_database
from letterlock.storage.received_reports import ReceivedStore
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.received_reports import SqliteReceived


def make_received_store(config: Config, name: str, clock: Clock) -> ReceivedStore:
    """Make the store, not opened yet; `name` is this process's among all that share it.

    Raises LocalError without the database's address.
    """
    address = find_database(config)
    if address is None:
        return SqliteReceived(NodeDatabase(config.node_database, clock))
    # asyncpg is an extra: only loaded where it is used.
    from letterlock.storage.postgres.node import NodeDatabase as Postgres  # noqa: PLC0415
    from letterlock.storage.postgres.received_reports import PostgresReceived  # noqa: PLC0415

    return PostgresReceived(Postgres(address, name, clock))
