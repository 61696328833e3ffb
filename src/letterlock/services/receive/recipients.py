"""Who may send to whom through us: the decision at RCPT, as a function of facts.

RFC 5321 §3.6.2 (relaying). Only two ways lead in:
the recipient has a mailbox here, or the client is listed and may relay. Nothing in a local part
(`%`, `!`, `@`, a source route) ever names another host: no open relay by such tricks.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from letterlock.protocols.smtp.paths import Mailbox
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.services.queue.directory import LocalDirectory


@dataclass(frozen=True, slots=True)
class RelayClients:
    """The clients that may send to any domain."""

    networks: tuple[IPv4Network | IPv6Network, ...]

    def may_relay(self, ip: str) -> bool:
        try:
            address = ip_address(ip)
        except ValueError:
            return False
        return any(address.version == net.version and address in net for net in self.networks)


def judge_recipient(
    mailbox: Mailbox, directory: LocalDirectory, *, may_relay: bool
) -> Reply | None:
    """Give the reply that refuses a recipient, or None: it is taken."""
    if directory.is_local(mailbox):
        if directory.find_mailbox(mailbox) is None:
            return reply(550, "5.1.1", f"<{mailbox}>: no such user here")
        return None
    if not may_relay:
        return reply(554, "5.7.1", f"<{mailbox}>: relay access denied")
    return None
