"""Which way each recipient of a claim goes, by the tables as they are now; and where that ends.

transport(5) comes first; what it does not name goes into a mailbox if it is ours, else to the next
hop of `routes`, of its sender, or of all. Where a table cannot tell, mail waits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec import Struct

from letterlock.base.domains import Domain
from letterlock.protocols.smtp.paths import AddressError, Mailbox, parse_mailbox
from letterlock.protocols.tables.lines import Entry, WrongEntry
from letterlock.protocols.tables.transport import (
    Discard,
    Fail,
    ToLmtp,
    ToMailbox,
    ToNextHop,
    UsualWay,
    Way,
)
from letterlock.services.discover.next_hop import NextHop, NextHopError, parse_next_hop
from letterlock.services.redirect.files import Unreadable
from letterlock.services.redirect.tables import Tables
from letterlock.storage.queue import Claim, ClaimedRecipient

_WAITING = "4.3.5"
"""RFC 3463 §3.4: the system is incorrectly configured."""
_NO_DESTINATION = "5.1.2"
"""RFC 3463 §3.2: bad destination system address."""


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


class ToHost(Struct, frozen=True):
    """Out by SMTP. `is_relay`: to a relay host, of all mail's or of the sender's.

    `is_chosen`: a table names it, so that what is wrong with it is not the message's fault.
    """

    next_hop: NextHop
    is_relay: bool = False
    is_chosen: bool = False


Course = ToHost | ToLmtp | ToMailbox | Discard | Fail
"""Where a way ends: what `deliver` does, and `explain` tells."""


def find_course(
    way: Way, destination: str, sender: str, tables: Tables, routing: Routing
) -> Course:
    """Find what is done with mail of a sender that goes this way."""
    try:
        match way:
            case ToNextHop(next_hop):
                hop = parse_next_hop(next_hop or destination, routing.port)
                return ToHost(hop, is_chosen=bool(next_hop))
            case UsualWay():
                return _find_usual_course(destination, sender, tables, routing)
            case _:
                return way
    except NextHopError as error:
        return Fail(_NO_DESTINATION, str(error))


def _find_usual_course(destination: str, sender: str, tables: Tables, routing: Routing) -> Course:
    if routing.is_local(destination):
        return ToMailbox()
    relay = find_sender_relay(sender, tables, routing.port)
    if isinstance(relay, Fail):
        return relay
    next_hop = routing.find(destination, relay)
    is_relay = next_hop is relay or next_hop is routing.relayhost
    return ToHost(next_hop, is_relay=is_relay, is_chosen=next_hop is relay)


def split_by_way(claim: Claim, tables: Tables) -> dict[Way, list[ClaimedRecipient]]:
    """Group a claim's recipients by the way that the transport table gives them."""
    if tables.transport is None:
        return {UsualWay(): list(claim.recipients)}
    groups: dict[Way, list[ClaimedRecipient]] = {}
    for item in claim.recipients:
        groups.setdefault(find_way(_parse(item.recipient.address), tables), []).append(item)
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


def find_way(mailbox: Mailbox | None, tables: Tables) -> Way:
    """Find the way by the transport table; None is an address that is none."""
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
