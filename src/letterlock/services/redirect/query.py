"""What a table says about a key, told step by step: for people who ask.

As `postmap -q`, with the keys that a lookup tries (virtual(5), transport(5), aliases(5)) and what
an address comes to in the end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from letterlock.protocols.smtp.paths import AddressError, Mailbox, parse_mailbox
from letterlock.protocols.tables.aliases import parse_aliases
from letterlock.protocols.tables.expansion import Expansion
from letterlock.protocols.tables.lines import Entry, Table, TableError, WrongEntry, quote
from letterlock.protocols.tables.lookup import (
    WILDCARD,
    address_keys,
    alias_keys,
    domain_keys,
    normal_address_key,
    normal_domain,
    transport_keys,
)
from letterlock.protocols.tables.relay import (
    NULL_SENDER,
    parse_relay_domains,
    parse_relay_recipients,
    sender_keys,
)
from letterlock.protocols.tables.virtual import parse_virtual
from letterlock.services.redirect.files import MAX_TABLE_OCTETS, Unreadable, WatchedFile
from letterlock.services.redirect.tables import (
    Tables,
    parse_sender_relay_file,
    parse_transport_file,
)


class TableKind(StrEnum):
    """The tables of `[maps]`, by their keys."""

    ALIASES = "aliases"
    VIRTUAL = "virtual"
    TRANSPORT = "transport"
    RELAY_DOMAINS = "relay_domains"
    RELAY_RECIPIENTS = "relay_recipients"
    SENDER_RELAY = "sender_relay"


@dataclass(frozen=True, slots=True)
class Lookup:
    """The keys that were tried, and the entry that the last of them found, or None."""

    tried: tuple[str, ...]
    entry: Entry[Any] | WrongEntry | None


@dataclass(frozen=True, slots=True)
class Answer:
    """`expansion` is what the address comes to: of aliases and virtual tables only."""

    kind: TableKind
    table: Table[Any]
    lookup: Lookup
    expansion: Expansion | None = None


_PARSERS: Mapping[TableKind, Callable[[bytes, str], Table[Any]]] = {
    TableKind.ALIASES: parse_aliases,
    TableKind.VIRTUAL: parse_virtual,
    TableKind.TRANSPORT: parse_transport_file,
    TableKind.RELAY_DOMAINS: parse_relay_domains,
    TableKind.RELAY_RECIPIENTS: parse_relay_recipients,
    TableKind.SENDER_RELAY: parse_sender_relay_file,
}


def load_table(path: Path, kind: TableKind, now: datetime) -> Table[Any] | Unreadable:
    """Read a table as a node does."""
    return WatchedFile(path, _PARSERS[kind], MAX_TABLE_OCTETS).load(now)


def look_up(kind: TableKind, table: Table[Any], text: str, tables: Tables) -> Answer:
    """Look a key up; an address is also followed through `tables`. Raises TableError.

    A whole address is looked up as a recipient or sender is, anything else as the key that it is.
    """
    tried = []
    entry = None
    for key in find_keys(kind, text, tables):
        tried.append(key)
        if (entry := table.find(key)) is not None:
            break
    mailbox = _find_recipient(kind, text, tables)
    expansion = tables.expand(mailbox) if mailbox is not None else None
    return Answer(kind, table, Lookup(tuple(tried), entry), expansion)


def find_keys(kind: TableKind, text: str, tables: Tables) -> tuple[str, ...]:
    """Give the keys that are tried for a text, in their order. Raises TableError."""
    if kind is TableKind.ALIASES:
        return tuple(key.text for key in alias_keys(_read_name(text), tables.delimiter))
    if kind is TableKind.RELAY_DOMAINS:
        domain = normal_domain(text.rpartition("@")[2])
        return tuple(domain_keys(domain, matches_subdomains=True))
    if kind is TableKind.SENDER_RELAY and text == NULL_SENDER:
        return sender_keys(None, tables.delimiter)
    if kind is TableKind.TRANSPORT:
        return _find_transport_keys(text, tables)
    mailbox = _read_mailbox(text)
    if mailbox is None:
        return (normal_address_key(text),)
    is_local = kind is TableKind.VIRTUAL and tables.addresses.is_local(mailbox.domain)
    keys = address_keys(mailbox, tables.delimiter, is_local=is_local)
    return tuple(key.text for key in keys)


def _find_transport_keys(text: str, tables: Tables) -> tuple[str, ...]:
    if text == WILDCARD:
        return (WILDCARD,)
    if text.startswith("."):
        return ("." + normal_domain(text[1:]),)
    if (mailbox := _read_mailbox(text)) is not None:
        return transport_keys(mailbox, tables.delimiter)
    return (*domain_keys(normal_domain(text), matches_subdomains=False), WILDCARD)


def _find_recipient(kind: TableKind, text: str, tables: Tables) -> Mailbox | None:
    """Give the address to follow; None where there is nothing to follow."""
    if kind is TableKind.ALIASES:
        mailbox = _read_mailbox(text)
        return mailbox or Mailbox(_read_name(text), tables.addresses.origin)
    return _read_mailbox(text) if kind is TableKind.VIRTUAL else None


def _read_name(text: str) -> str:
    """Give the local part that a text is or has. Raises TableError."""
    mailbox = _read_mailbox(text)
    if mailbox is not None:
        return mailbox.local
    try:
        return parse_mailbox(f"{text}@x").local
    except AddressError:
        # As it stands behind `postalias -q`: without quotes.
        if not text or not text.isprintable():
            raise TableError(f"{quote(text)} is no name") from None
        return text


def _read_mailbox(text: str) -> Mailbox | None:
    if "@" not in text[1:] or text.endswith('"'):
        return None
    try:
        return parse_mailbox(text)
    except AddressError as error:
        raise TableError(str(error)) from error
