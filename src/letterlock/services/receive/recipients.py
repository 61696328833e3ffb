"""Who may send to whom through us: the decision at RCPT, as a function of facts.

RFC 5321 §3.6.2 (relaying), §4.5.1 (postmaster); RFC 2142 §4 and §2 (abuse). Only two ways lead in:
the recipient has a mailbox here, or the client is listed and may relay. Nothing in a local part
(`%`, `!`, `@`, a source route) ever names another host: no open relay by such tricks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from letterlock.base.domains import Domain
from letterlock.protocols.smtp.paths import Mailbox
from letterlock.protocols.smtp.replies import Reply, reply

ROLE_NAMES = ("postmaster", "abuse")
"""Always there, in every local domain."""


@dataclass(frozen=True, slots=True)
class LocalDirectory:
    """The domains and mailboxes that are ours.

    `mailboxes` holds `local@domain` in lower case; `postmaster` is the mailbox (`local`) that gets
    the role addresses' mail where there is no mailbox of that name.
    """

    hostname: Domain
    domains: frozenset[Domain]
    mailboxes: frozenset[str]
    postmaster: str

    def is_local(self, mailbox: Mailbox) -> bool:
        """The domain is ours, or the host itself is meant."""
        return mailbox.domain in self.domains or mailbox.domain == self.hostname

    def find_mailbox(self, mailbox: Mailbox) -> tuple[Domain, str] | None:
        """Give domain and name of the mailbox that an address of ours goes to; None: no such one.

        Local parts are compared without case, as postmasters expect.
        """
        name = mailbox.local.lower()
        if mailbox.domain in self.domains and f"{name}@{mailbox.domain}" in self.mailboxes:
            return Domain(mailbox.domain), name
        if name in ROLE_NAMES and self.is_local(mailbox):
            home = mailbox.domain if mailbox.domain in self.domains else min(self.domains)
            return Domain(home), self.postmaster
        return None


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


def local_mailboxes(names: Iterable[str], domains: Iterable[Domain]) -> frozenset[str]:
    """Spread configured mailbox names over domains: a name without `@` is one in each of them."""
    known = tuple(domains)
    mailboxes: set[str] = set()
    for name in names:
        if "@" in name:
            mailboxes.add(name.lower())
        else:
            mailboxes.update(f"{name.lower()}@{domain}" for domain in known)
    return frozenset(mailboxes)
