"""Who may send to whom through us: the decision at RCPT, as a function of facts.

RFC 5321 §3.6.2 (relaying). Only these ways lead in: the recipient has a mailbox or an alias here,
its domain is one that we relay for, or the client is listed and may relay. Nothing in a local part
(`%`, `!`, `@`, a source route) ever names another host: no open relay by such tricks. A table that
cannot be read, or an alias that leads nowhere, puts mail off (451): it never refuses it.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address

from letterlock.protocols.smtp.header_fields import make_safe
from letterlock.protocols.smtp.paths import Mailbox
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.tables.expansion import Expanded
from letterlock.protocols.tables.lines import Entry
from letterlock.protocols.tables.transport import Fail
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.redirect.files import Unreadable
from letterlock.services.redirect.tables import Tables

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


NOBODY = RelayClients(())


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a recipient is not taken. `reason` is for our log: what is wrong here is our business."""

    reply: Reply
    reason: str | None = None


def judge_recipient(
    mailbox: Mailbox, directory: LocalDirectory, tables: Tables, *, may_relay: bool
) -> Refused | None:
    """Say why a recipient is refused, or None: it is taken.

    The words are Postfix's: rules such as fail2ban's find them in the log.
    """
    if tables.are_none:
        return _judge_without_tables(mailbox, directory, may_relay=may_relay)
    if tables.unreadable is not None:
        return _refuse_for_now(mailbox, tables.unreadable.reason)
    expansion = tables.expand(mailbox)
    if not (directory.is_local(mailbox) or tables.is_alias_domain(mailbox.domain)):
        is_alias = not isinstance(expansion, Expanded) or bool(expansion.steps)
        refused = _judge_relaying(mailbox, tables, may_relay=may_relay, is_alias=is_alias)
        if refused is not None:
            return refused
    if not isinstance(expansion, Expanded):
        return _refuse_for_now(mailbox, expansion.reason)
    ends = [each for each in expansion.destinations if tables.has_end(each, directory)]
    if not ends:
        is_virtual = not directory.is_local(mailbox)
        return _refuse_unknown(mailbox, " in virtual alias table" if is_virtual else "")
    return _judge_way(mailbox, ends[0], tables) if len(ends) == 1 else None


def _judge_without_tables(
    mailbox: Mailbox, directory: LocalDirectory, *, may_relay: bool
) -> Refused | None:
    """Judge as with empty tables: asking each of them costs more than the rest of a RCPT."""
    if directory.is_local(mailbox):
        is_known = directory.find_mailbox(mailbox) is not None
        return None if is_known else _refuse_unknown(mailbox, "")
    return None if may_relay else _refuse_relaying(mailbox)


def _judge_relaying(
    mailbox: Mailbox, tables: Tables, *, may_relay: bool, is_alias: bool
) -> Refused | None:
    """Judge a recipient whose domain is not ours."""
    found = tables.find_relay_domain(mailbox.domain)
    if isinstance(found, Entry):
        is_known = is_alias or tables.has_relay_recipient(mailbox)
        if isinstance(is_known, Unreadable):
            return _refuse_for_now(mailbox, is_known.reason)
        return None if is_known else _refuse_unknown(mailbox, " in relay recipient table")
    if may_relay:
        return None
    if isinstance(found, Unreadable):
        return _refuse_for_now(mailbox, found.reason)
    return _refuse_relaying(mailbox)


def _judge_way(mailbox: Mailbox, end: Mailbox, tables: Tables) -> Refused | None:
    """Refuse at once what the transport table sends back, or puts off."""
    found = tables.find_way(end)
    if not isinstance(found, Entry) or not isinstance(found.value, Fail):
        return None
    status, reason = found.value.status, found.value.reason
    code = 550 if status.startswith("5") else 450
    text = f"<{mailbox}>: Recipient address rejected: {make_safe(reason)}"
    return Refused(reply(code, status, text))


def _refuse_relaying(mailbox: Mailbox) -> Refused:
    return Refused(reply(554, "5.7.1", f"<{mailbox}>: Relay access denied"))


def _refuse_unknown(mailbox: Mailbox, where: str) -> Refused:
    text = f"<{mailbox}>: Recipient address rejected: User unknown{where}"
    return Refused(reply(550, "5.1.1", text))


def _refuse_for_now(mailbox: Mailbox, reason: str) -> Refused:
    text = f"<{mailbox}>: Recipient address rejected: our tables cannot tell now, try again later"
    return Refused(reply(451, "4.3.5", text), reason)
