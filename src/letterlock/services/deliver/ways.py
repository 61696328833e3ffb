"""Which way each recipient of a claim goes, by the tables as they are now.

transport(5) comes first; what it does not name goes into a mailbox if it is ours, else to the next
hop of `routes`, of its sender, or of all. Where a table cannot tell, mail waits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from letterlock.base.domains import Domain
from letterlock.protocols.smtp.paths import AddressError, Mailbox, parse_mailbox
from letterlock.protocols.tables.lines import Entry, WrongEntry
from letterlock.protocols.tables.transport import Fail, UsualWay, Way
from letterlock.services.discover.next_hop import NextHop, NextHopError, parse_next_hop
from letterlock.services.redirect.files import Unreadable
from letterlock.services.redirect.tables import Tables
from letterlock.storage.queue import Claim, ClaimedRecipient

_WAITING = "4.3.5"
"""RFC 3463 §3.4: the system is incorrectly configured."""


@dataclass(frozen=True, slots=True)
class Routing:
    """Where destinations go: `routes` by domain, then `relayhost`, else their own MX hosts."""

    local_domains: frozenset[str]
    routes: Mapping[Domain, NextHop]
    relayhost: NextHop | None
    port: int = 25
    is_own_literal: Callable[[str], bool] = lambda _: False
    """Says whether an address literal is an address of this host."""

    def is_local(self, destination: str) -> bool:
        if destination in self.local_domains:
            return True
        return destination.startswith("[") and self.is_own_literal(destination)

    def find(self, destination: str, sender_relay: NextHop | None = None) -> NextHop:
        """Give the next hop; raises NextHopError for a destination that is none.

        `sender_relay` stands in for the relayhost.
        """
        if (route := self.routes.get(Domain(destination))) is not None:
            return route
        return sender_relay or self.relayhost or parse_next_hop(destination, self.port)


def split_by_way(claim: Claim, tables: Tables) -> dict[Way, list[ClaimedRecipient]]:
    """Group a claim's recipients by the way that the transport table gives them."""
    if tables.transport is None:
        return {UsualWay(): list(claim.recipients)}
    groups: dict[Way, list[ClaimedRecipient]] = {}
    for item in claim.recipients:
        groups.setdefault(_find_way(item.recipient.address, tables), []).append(item)
    return groups


def find_sender_relay(sender: str, tables: Tables, port: int) -> NextHop | Fail | None:
    """Find the relay host for a sender's mail; Fail: it can't be known now."""
    if tables.sender_relays is None:
        return None
    found = tables.find_sender_relay(_parse(sender) if sender else None)
    if isinstance(found, Unreadable):
        return Fail(_WAITING, found.reason)
    if isinstance(found, WrongEntry):
        return Fail(_WAITING, f"{found.where}: {found.reason}")
    if found is None or found.value is None:
        return None
    try:
        return parse_next_hop(found.value, port)
    except NextHopError as error:  # pragma: no cover - the table was read by the same rules
        return Fail(_WAITING, f"{found.where}: {error}")


def _find_way(address: str, tables: Tables) -> Way:
    mailbox = _parse(address)
    found = tables.find_way(mailbox) if mailbox is not None else None
    match found:
        case None:
            return UsualWay()
        case Unreadable(reason):
            return Fail(_WAITING, reason)
        case WrongEntry():
            return Fail(_WAITING, f"{found.where}: {found.reason}")
        case Entry():
            return found.value


def _parse(address: str) -> Mailbox | None:
    try:
        return parse_mailbox(address)
    except AddressError:
        return None
