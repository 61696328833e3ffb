"""Tables about relaying: domains we take mail for, their recipients, a sender's relay host.

postconf(5): `relay_domains`, `relay_recipient_maps`, `sender_dependent_relayhost_maps`. The first
two are lists as well: a line needs no value.
"""

from collections.abc import Callable

from letterlock.protocols.smtp.paths import Mailbox
from letterlock.protocols.tables.lines import (
    Entry,
    Table,
    TableError,
    WrongEntry,
    gather_pairs,
    shorten,
)
from letterlock.protocols.tables.lookup import (
    address_keys,
    domain_keys,
    normal_address_key,
    normal_domain,
)

KeyTable = Table[None]
"""A table of which only the keys count."""

SenderRelayTable = Table[str | None]
"""Next hops as text; None for `DUNNO`: as if the sender were not listed."""

NULL_SENDER = "<>"
DUNNO = "DUNNO"

NextHopCheck = Callable[[str], object]
"""Raises ValueError for a text that is no next hop."""


def parse_relay_domains(content: bytes, file: str) -> KeyTable:
    """Read the domains that we take mail for and pass on; never raises."""
    return gather_pairs(content, file, _read_relay_domain, _no_value, may_be_bare=True)


def parse_relay_recipients(content: bytes, file: str) -> KeyTable:
    """Read the addresses that relayed domains have; never raises."""
    return gather_pairs(content, file, normal_address_key, _no_value, may_be_bare=True)


def parse_sender_relays(content: bytes, file: str, check: NextHopCheck) -> SenderRelayTable:
    """Read which next hop mail of a sender takes; never raises."""

    def read_value(key: str, text: str) -> str | None:
        del key
        if text.upper() == DUNNO:
            return None
        try:
            check(text)
        except ValueError as error:
            raise TableError(str(error)) from error
        return text

    return gather_pairs(content, file, _read_sender, read_value)


def find_relay_domain(table: KeyTable, domain: str) -> Entry[None] | WrongEntry | None:
    """Find a domain, or one above it: `example.com` has its subdomains with it."""
    keys = domain_keys(domain, matches_subdomains=True)
    return next((entry for key in keys if (entry := table.find(key))), None)


def find_relay_recipient(
    table: KeyTable, mailbox: Mailbox, delimiter: str
) -> Entry[None] | WrongEntry | None:
    """Find an address of a relayed domain, or `@domain`."""
    keys = address_keys(mailbox, delimiter, is_local=False)
    return next((entry for key in keys if (entry := table.find(key.text))), None)


def sender_keys(sender: Mailbox | None, delimiter: str) -> tuple[str, ...]:
    """Give the keys for a sender; None is the null reverse-path."""
    if sender is None:
        return (NULL_SENDER,)
    return tuple(key.text for key in address_keys(sender, delimiter, is_local=False))


def _read_relay_domain(text: str) -> str:
    if text.startswith("."):
        plain = shorten(text[1:])
        raise TableError(f"{shorten(text)} matches nothing: {plain} has its subdomains with it")
    return normal_domain(text)


def _read_sender(text: str) -> str:
    if text == NULL_SENDER:
        return text
    if "@" not in text:
        raise TableError(f"{shorten(text)} is neither an address nor @domain")
    return normal_address_key(text)


def _no_value(key: str, text: str) -> None:
    del key, text
