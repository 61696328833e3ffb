"""Who may send to whom through us: the decision at RCPT, as a function of facts.

RFC 5321 §3.6.2 (relaying). Only two ways lead in:
the recipient has a mailbox here, or the client is listed and may relay. Nothing in a local part
(`%`, `!`, `@`, a source route) ever names another host: no open relay by such tricks.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address

from letterlock.protocols.smtp.paths import Mailbox
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.services.queue.directory import LocalDirectory

MAX_KNOWN_CLIENTS = 4096
"""So many answers are kept: a client that comes again costs no parsing."""


@dataclass(frozen=True, slots=True)
class RelayClients:
    """The clients that may send to any domain."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    _known: dict[str, bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def may_relay(self, ip: str) -> bool:
        if not self.networks:
            return False
        known = self._known.get(ip)
        if known is None:
            if len(self._known) >= MAX_KNOWN_CLIENTS:
                self._known.clear()
            known = self._known[ip] = self._is_listed(ip)
        return known

    def _is_listed(self, ip: str) -> bool:
        try:
            address = ip_address(ip)
        except ValueError:
            return False
        return any(address.version == net.version and address in net for net in self.networks)


def judge_recipient(
    mailbox: Mailbox, directory: LocalDirectory, *, may_relay: bool
) -> Reply | None:
    """Give the reply that refuses a recipient, or None: it is taken.

    The words are Postfix's: rules such as fail2ban's find them in the log.
    """
    if directory.is_local(mailbox):
        if directory.find_mailbox(mailbox) is None:
            return reply(550, "5.1.1", f"<{mailbox}>: Recipient address rejected: User unknown")
        return None
    if not may_relay:
        return reply(554, "5.7.1", f"<{mailbox}>: Relay access denied")
    return None
