"""What all sessions of a process share, and what is counted of them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.base.log import Log
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.queue.notices import NoticeMaker
from letterlock.services.queue.schedule import Schedule
from letterlock.services.receive.clients import Clients
from letterlock.services.receive.filtered import FILTER_COUNTERS, Filters
from letterlock.services.receive.names import ClientNames
from letterlock.services.receive.opening import ResultsGuard
from letterlock.services.receive.recipients import NOBODY, RelayClients
from letterlock.services.redirect.tables import NO_TABLES, TableSource
from letterlock.services.sign.signer import Signer
from letterlock.storage.queue import BodyWriter, NewMessage, QueueId

COUNTERS = (
    "connections",
    "refused",
    "messages",
    "tls",
    "tls_failed",
    "no_sni",
    "unknown_sni",
    *FILTER_COUNTERS,
)
"""What `letterlock status` counts of clients."""


class MessageStore(Protocol):
    """What receiving needs of the queue: see `storage.queue.QueueStore`."""

    def write_body(self) -> BodyWriter: ...

    async def save(self, message: NewMessage) -> None: ...


@dataclass(frozen=True, slots=True)
class Receiver:
    """What all sessions of a process share."""

    hostname: Domain
    directory: LocalDirectory
    relay: RelayClients
    clients: Clients
    store: MessageStore
    schedule: Schedule
    names: ClientNames
    max_hops: int
    clock: Clock
    log: Log
    make_id: Callable[[], QueueId]
    count: Callable[[str], None]
    wake: Callable[[Collection[str]], None]
    """Called with the destinations of a message that was stored: it may be delivered at once."""
    tables: TableSource = NO_TABLES
    """Aliases, and what else says where mail goes."""
    proxies: RelayClients = NOBODY
    """Clients that name their own with XCLIENT."""
    signer: Signer | None = None
    """Signs what clients send that may relay; None: nothing is signed."""
    results: ResultsGuard | None = None
    """Takes out Authentication-Results that are forged in our name; None: nothing does."""
    notices: NoticeMaker | None = None
    """Makes what senders are told of aliases; None: they are told nothing."""
    filters: Filters | None = None
    """Programs that see each message before it is stored; None: there are none."""
