"""The authority's store in PostgreSQL."""

from letterlock.base.clock import Clock
from letterlock.storage.ca.scripted import ScriptedStore
from letterlock.storage.postgres.ca.database import AuthorityDatabase


class PostgresAuthority(ScriptedStore):
    """Fulfils `storage.ca.store.AuthorityStore`. `node` names this process among all."""

    def __init__(self, dsn: str, node: str, clock: Clock) -> None:
        super().__init__(AuthorityDatabase(dsn, node, clock))
