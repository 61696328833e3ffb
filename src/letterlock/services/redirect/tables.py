"""The tables of `[maps]` as they are now, and what they say about an address.

A table that cannot be read is not an empty one: whatever it may be about has to wait. RFC 5321
§4.5.1: whatever they say, postmaster's mail ends somewhere.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from letterlock.base.clock import Clock
from letterlock.base.config.maps import MapsSection
from letterlock.base.domains import Domain
from letterlock.protocols.smtp.paths import Mailbox
from letterlock.protocols.tables.aliases import (
    AliasTable,
    find_includes,
    parse_aliases,
    parse_include,
)
from letterlock.protocols.tables.expansion import (
    AddressTables,
    Expanded,
    Expansion,
    IncludedFile,
    Unusable,
    expand,
)
from letterlock.protocols.tables.lines import Entry, Table, WrongEntry
from letterlock.protocols.tables.lookup import transport_keys
from letterlock.protocols.tables.relay import (
    KeyTable,
    SenderRelayTable,
    find_relay_domain,
    find_relay_recipient,
    parse_relay_domains,
    parse_relay_recipients,
    parse_sender_relays,
    sender_keys,
)
from letterlock.protocols.tables.targets import Target
from letterlock.protocols.tables.transport import TransportTable, UsualWay, Way, parse_transport
from letterlock.protocols.tables.virtual import is_alias_domain, parse_virtual
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.queue.directory import ROLE_NAMES, LocalDirectory
from letterlock.services.redirect.files import (
    MAX_INCLUDE_OCTETS,
    MAX_TABLE_OCTETS,
    Unreadable,
    WatchedFile,
)

CHECK_SECONDS = 1.0
"""How long files are taken to be unchanged."""

MAX_INCLUDES = 1000
"""Files that aliases include, all together."""

MAX_TOLD_PROBLEMS = 20
"""Of one file: the log is no place for all lines of one that is no table."""

FILE_SETTINGS = (
    *("aliases", "virtual", "transport"),
    *("relay_domains", "relay_recipients", "sender_relay"),
)
"""The keys of `[maps]` that name files."""

Value = TypeVar("Value")
Include = tuple[tuple[Target, ...], tuple[str, ...]]
"""What `parse_include` gives."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What the tables say now. None where there is no such table."""

    addresses: AddressTables
    transport: TransportTable | Unreadable | None = None
    relay_domains: KeyTable | Unreadable | None = None
    relay_recipients: KeyTable | Unreadable | None = None
    sender_relays: SenderRelayTable | Unreadable | None = None
    unreadable: Unreadable | None = None
    """Set when aliases or virtual aliases cannot be read: nobody knows whom they are about."""
    are_none: bool = False
    """No table is configured: whatever is looked up is not there."""
    directory: LocalDirectory | None = None
    """Whose role addresses keep their mailbox where their aliases lead to nobody."""

    @property
    def delimiter(self) -> str:
        return self.addresses.delimiter

    @property
    def may_rewrite(self) -> bool:
        """Say whether there are aliases at all, or may be."""
        addresses = self.addresses
        return bool(
            addresses.virtual.entries or addresses.aliases.entries or self.unreadable is not None
        )

    def expand(self, recipient: Mailbox) -> Expansion:
        """Find what a recipient comes to."""
        found = self._follow(recipient)
        if isinstance(found, Expanded) and self._is_lost_role(recipient, found):
            return Expanded((recipient,), found.steps)
        return found

    def has_end(self, mailbox: Mailbox, directory: LocalDirectory) -> bool:
        """Say whether there is somewhere for the mail of an address to go that has no alias."""
        if directory.is_local(mailbox):
            has_mailbox = directory.find_mailbox(mailbox) is not None
            return has_mailbox or self.find_way(mailbox) is not None
        return not self.is_alias_domain(mailbox.domain) or self.find_way(mailbox) is not None

    def find_lost_role(self, recipient: Mailbox) -> Expanded | None:
        """Give what a role address comes to by its aliases, where that is nobody who is here."""
        found = self._follow(recipient)
        if isinstance(found, Expanded) and self._is_lost_role(recipient, found):
            return found
        return None

    def _follow(self, recipient: Mailbox) -> Expansion:
        """Follow what the tables say, to nobody too."""
        if self.unreadable is not None:
            return Unusable(self.unreadable.reason)
        return expand(recipient, self.addresses) if self.may_rewrite else Expanded((recipient,))

    def _is_lost_role(self, recipient: Mailbox, found: Expanded) -> bool:
        """RFC 5321 §4.5.1. Debian's aliases lead postmaster to root, who is often no mailbox."""
        directory = self.directory
        return (
            directory is not None
            and bool(found.steps)
            and directory.is_role(recipient)
            and not any(self.has_end(each, directory) for each in found.destinations)
        )

    def is_alias_domain(self, domain: str) -> bool:
        """Say whether the virtual table makes a domain one of ours, beside the configured ones."""
        return is_alias_domain(self.addresses.virtual, domain)

    def find_way(self, recipient: Mailbox) -> Entry[Way] | WrongEntry | Unreadable | None:
        """Find the way that a recipient's mail takes; None: the usual one."""
        table = self.transport
        if table is None or isinstance(table, Unreadable):
            return table
        found = _find(table, transport_keys(recipient, self.delimiter))
        if isinstance(found, Entry) and isinstance(found.value, UsualWay):
            return None
        return found

    def find_relay_domain(self, domain: str) -> Entry[None] | WrongEntry | Unreadable | None:
        """Find the entry that lets us take mail for a domain and pass it on."""
        table = self.relay_domains
        if table is None or isinstance(table, Unreadable):
            return table
        return find_relay_domain(table, domain)

    def has_relay_recipient(self, recipient: Mailbox) -> bool | Unreadable:
        """Say whether a relayed domain has an address; without a table it has any."""
        table = self.relay_recipients
        if table is None:
            return True
        if isinstance(table, Unreadable):
            return table
        return find_relay_recipient(table, recipient, self.delimiter) is not None

    def find_sender_relay(
        self, sender: Mailbox | None
    ) -> Entry[str | None] | WrongEntry | Unreadable | None:
        """Find the next hop for a sender's mail; None is the null reverse-path."""
        table = self.sender_relays
        if table is None or isinstance(table, Unreadable):
            return table
        return _find(table, sender_keys(sender, self.delimiter))


class TableSource(Protocol):
    """Who knows what the tables say."""

    def current(self) -> Tables: ...


class FixedTables:
    """Tables that never change: none at all, where there are none."""

    def __init__(self, tables: Tables | None = None) -> None:
        self._tables = tables or Tables(AddressTables("", lambda _: False), are_none=True)

    def current(self) -> Tables:
        return self._tables


NO_TABLES = FixedTables()


class TableFiles:
    """Reads the files of `[maps]`, and again when they change.

    `tell` gets what is wrong with them, one line each, once after each change.
    """

    def __init__(
        self,
        section: MapsSection,
        domains: tuple[Domain, ...],
        hostname: Domain,
        clock: Clock,
        tell: Callable[[str], None] = lambda _: None,
        directory: LocalDirectory | None = None,
    ) -> None:
        self._directory = directory
        self._lost: list[str] = []
        local = frozenset({*domains, hostname})
        self._addresses = AddressTables(
            origin=domains[0] if domains else hostname,
            is_local=local.__contains__,
            delimiter=section.recipient_delimiter,
        )
        self._clock = clock
        self._tell = tell
        self._told: dict[str, object] = {}
        self._virtual = _watch(section.virtual, parse_virtual)
        self._aliases = _watch(section.aliases, parse_aliases)
        self._transport = _watch(section.transport, parse_transport_file)
        self._relay_domains = _watch(section.relay_domains, parse_relay_domains)
        self._relay_recipients = _watch(section.relay_recipients, parse_relay_recipients)
        self._sender_relays = _watch(section.sender_relay, parse_sender_relay_file)
        self._includes: dict[str, WatchedFile[Include]] = {}
        self.has_files = any(getattr(section, name) is not None for name in FILE_SETTINGS)
        self._current = Tables(self._addresses, are_none=not self.has_files)
        self._next_look = -1.0

    def current(self) -> Tables:
        """Give the tables; files are looked at once in a while."""
        if self.has_files and (now := self._clock.monotonic()) >= self._next_look:
            before, self._current = self._current, self._load()
            if self._current != before:
                # Not at each look: with thousands of domains of ours it is work.
                self._tell_lost(self._current)
            self._next_look = now + CHECK_SECONDS
        return self._current

    def _load(self) -> Tables:
        virtual, aliases = self._read(self._virtual), self._read(self._aliases)
        unreadable = next(
            (each for each in (virtual, aliases) if isinstance(each, Unreadable)), None
        )
        addresses = self._addresses
        if unreadable is None:
            addresses = AddressTables(
                addresses.origin,
                addresses.is_local,
                virtual if isinstance(virtual, Table) else addresses.virtual,
                aliases if isinstance(aliases, Table) else addresses.aliases,
                self._read_includes(aliases) if isinstance(aliases, Table) else {},
                addresses.delimiter,
            )
        return Tables(
            addresses,
            self._read(self._transport),
            self._read(self._relay_domains),
            self._read(self._relay_recipients),
            self._read(self._sender_relays),
            unreadable,
            directory=self._directory,
        )

    def _tell_lost(self, tables: Tables) -> None:
        """Tell of role addresses whose aliases lead to nobody, once after each change."""
        if self._directory is None:
            return
        lost = list(islice(_list_lost(tables, self._directory), MAX_TOLD_PROBLEMS))
        for problem in lost:
            if problem not in self._lost:
                self._tell(problem)
        self._lost = lost

    def _read(self, file: "_TableFile[Value] | None") -> Table[Value] | Unreadable | None:
        if file is None:
            return None
        found = file.watched.load(self._clock.now())
        if isinstance(found, Unreadable):
            self._tell_once(file.path, found, [found.reason])
        else:
            self._tell_once(file.path, found, map(str, found.all_faults))
        return found

    def _read_includes(self, aliases: AliasTable) -> dict[str, IncludedFile]:
        """Read all files that aliases name, and those that these name."""
        found: dict[str, IncludedFile] = {}
        entries = (each for each in aliases.entries.values() if isinstance(each, Entry))
        waiting = deque(path for entry in entries for path in find_includes(entry.value))
        while waiting and len(found) < MAX_INCLUDES:
            path = waiting.popleft()
            if path not in found:
                found[path] = self._read_include(path)
                waiting += find_includes(found[path].targets)
        for path in waiting:
            error = f"{path}: not read: aliases include more than {MAX_INCLUDES} files"
            found.setdefault(path, IncludedFile(error=error))
        self._includes = {path: each for path, each in self._includes.items() if path in found}
        return found

    def _read_include(self, path: str) -> IncludedFile:
        file = self._includes.get(path)
        if file is None:
            file = WatchedFile(Path(path), parse_include, MAX_INCLUDE_OCTETS)
            self._includes[path] = file
        loaded = file.load(self._clock.now())
        if isinstance(loaded, Unreadable):
            self._tell_once(path, loaded, [loaded.reason])
            return IncludedFile(error=loaded.reason)
        targets, faults = loaded
        self._tell_once(path, loaded, faults)
        return IncludedFile(targets)

    def _tell_once(self, path: str, found: object, problems: Iterable[str]) -> None:
        """Tell of a file's problems, unless it is as it was when they were told."""
        known = self._told.get(path)
        if known is found or (isinstance(found, Unreadable) and known == found):
            return
        self._told[path] = found
        for number, problem in enumerate(problems):
            if number == MAX_TOLD_PROBLEMS:
                self._tell(f"{path}: there are more such lines")
                break
            self._tell(problem)


def parse_transport_file(content: bytes, file: str) -> TransportTable:
    """Read a transport table with our next hops; never raises."""
    return parse_transport(content, file, parse_next_hop)


def parse_sender_relay_file(content: bytes, file: str) -> SenderRelayTable:
    """Read a table of relay hosts by sender; never raises."""
    return parse_sender_relays(content, file, parse_next_hop)


@dataclass(frozen=True, slots=True)
class _TableFile(Generic[Value]):
    path: str
    watched: WatchedFile[Table[Value]]


def _list_lost(tables: Tables, directory: LocalDirectory) -> Iterator[str]:
    """Say which role addresses come to nobody by their aliases."""
    for role in (
        Mailbox(name, domain) for domain in sorted(directory.domains) for name in ROLE_NAMES
    ):
        if (found := tables.find_lost_role(role)) is not None:
            ends = ", ".join(each.format() for each in found.destinations[:3]) or "nobody"
            yield (
                f"{found.steps[-1].where}: mail for {role} would go to {ends}, where nobody has a "
                "mailbox; it stays here: name somebody who has one"
            )


def _watch(
    path: Path | None, parse: Callable[[bytes, str], Table[Value]]
) -> _TableFile[Value] | None:
    return (
        None if path is None else _TableFile(str(path), WatchedFile(path, parse, MAX_TABLE_OCTETS))
    )


def _find(table: Table[Value], keys: Iterable[str]) -> Entry[Value] | WrongEntry | None:
    return next((entry for key in keys if (entry := table.find(key)) is not None), None)
