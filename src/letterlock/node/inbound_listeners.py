"""The sockets of the inbound test: opened once, as root where it must be, kept over generations."""

import socket
from collections.abc import Sequence

from letterlock.base.config.inbound_hosts import InboundSection
from letterlock.base.config.values import ListenAddress
from letterlock.node.listeners import Listeners
from letterlock.protocols.inbound.cases import Place

_KEYS = {
    Place.SHARED: "listen",
    Place.EXPIRED: "listen_expired",
    Place.NO_STARTTLS: "listen_no_starttls",
}


class InboundListeners:
    """Those of each place, and of the page."""

    def __init__(self) -> None:
        self._mail = {place: Listeners(key=("inbound", key)) for place, key in _KEYS.items()}
        self._web = Listeners(key=("inbound", "listen_https"))

    @property
    def web(self) -> Sequence[socket.socket]:
        """Where policy and pages are served."""
        return self._web.groups[0] if self._web.groups else ()

    def of_place(self, place: Place) -> Sequence[socket.socket]:
        """Give where the hosts of a place are."""
        groups = self._mail[place].groups
        return groups[0] if groups else ()

    @property
    def names(self) -> list[str]:
        """Say where clients may connect, with the ports that the kernel chose."""
        named = [(place.value, each) for place, each in self._mail.items()]
        return [
            f"{address} ({name})"
            for name, listeners in (*named, ("HTTPS", self._web))
            if listeners.groups
            for address in listeners.addresses
        ]

    def open(self, section: InboundSection) -> None:
        """Listen as the section says from now on. Raises SettingFaults."""
        is_used = section.domain is not None
        for place, listeners in self._mail.items():
            listeners.open(find_addresses(section, place) if is_used else (), 1)
        self._web.open(section.listen_https if is_used else (), 1)

    def close(self) -> None:
        """Close them all."""
        for listeners in (*self._mail.values(), self._web):
            listeners.close()


def find_addresses(section: InboundSection, place: Place) -> Sequence[ListenAddress]:
    """Give where a place is to be."""
    found: Sequence[ListenAddress] = getattr(section, _KEYS[place])
    return found
