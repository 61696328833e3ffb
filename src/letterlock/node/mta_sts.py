"""What finds MTA-STS policies, as the settings say: the shared cache, the fetch, the finder.

The cache is in the node's database: a file in `data_dir`, or beside the queue in PostgreSQL.
"""

import asyncio
from collections.abc import Callable

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.log import Log, Service
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.dns import Resolver
from letterlock.network.https import HttpsSettings, PolicyFetcher
from letterlock.network.https_client import UnusableAnchors
from letterlock.node.shared_database import find_database
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.services.discover.mta_sts import FinderLimits, MtaStsFinder
from letterlock.storage.policies import PolicyStore
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies

REOPEN_SECONDS = 3.0
"""Between two tries to open the cache."""


class MtaStsService:
    """The finder of one process, and its cache while that is open."""

    def __init__(
        self,
        config: Config,
        resolver: Resolver,
        find_anchors: Callable[[], TrustAnchors | UnusableAnchors],
        clock: Clock,
        log: Log,
        *,
        name: str,
    ) -> None:
        """Be one of those that share a cache; `name` is this process's among them."""
        self._store = make_policy_store(config, name, clock)
        self.finder = make_finder(config, resolver, self._store, find_anchors, clock, log)
        self._log = log
        self._is_open = False
        self._fault = ""

    async def open(self) -> None:
        """Try to open the cache; one that is away is tried again by `run`.

        Until it is open mail whose policy nobody knows waits. Raises LocalError when the operator
        must act.
        """
        try:
            await self._store.open()
            self._is_open = True
        except StoreUnavailable as error:
            if str(error) != self._fault:  # else it would be told every few seconds
                self._log.write(Service.TLS, f"warning: MTA-STS policies cannot be read: {error}")
            self._fault = str(error)

    async def run(self, *, is_refreshing: bool) -> None:
        """Keep the cache open until cancelled; one process refreshes what nobody asks for."""
        try:
            while not self._is_open:
                await asyncio.sleep(REOPEN_SECONDS)
                await self.open()
            if is_refreshing:
                await self.finder.run()
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """End what goes on behind; nobody may be asking any more."""
        await self.finder.close()
        if self._is_open:
            self._is_open = False
            await self._store.close()


def make_policy_store(config: Config, name: str, clock: Clock) -> PolicyStore:
    """Make the cache, not opened yet; `name` is this process's among all that share it.

    Raises LocalError when the address of the database is not there.
    """
    database = find_database(config)
    if database is None:
        return SqlitePolicies(NodeDatabase(config.node_database, clock))
    # asyncpg is an extra: only loaded where it is used.
    from letterlock.storage.postgres.policies import PostgresPolicies  # noqa: PLC0415 - asyncpg is an extra

    return PostgresPolicies(database, name, clock)


def make_finder(
    config: Config,
    resolver: Resolver,
    store: PolicyStore,
    find_anchors: Callable[[], TrustAnchors | UnusableAnchors],
    clock: Clock,
    log: Log,
) -> MtaStsFinder:
    """Make the finder. It is closed before the store is; `find_anchors` is AnchorFiles.load."""
    source = make_fetcher(config, resolver, find_anchors, clock)
    limits = FinderLimits(max_fetches=config.mta_sts.max_fetches)
    return MtaStsFinder(resolver, store, source, clock, log, limits)


def make_fetcher(
    config: Config,
    resolver: Resolver,
    find_anchors: Callable[[], TrustAnchors | UnusableAnchors],
    clock: Clock,
) -> PolicyFetcher:
    """Make what fetches policies; `find_anchors` as above."""
    settings = HttpsSettings(
        port=config.mta_sts.port, has_private_addresses=config.mta_sts.private_addresses
    )
    # Without our own certificate: a policy host has no use for who we are.
    return PolicyFetcher(resolver, ClientContexts(), find_anchors, clock, settings)
