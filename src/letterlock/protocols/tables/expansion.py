"""What a recipient comes to: virtual aliases, then aliases, until nothing more is found.

virtual(5), aliases(5), local(8), as Postfix has them: what virtual aliases give is looked up there
again; an address of ours that they know no more is looked up among the aliases, and what these give
is looked up there again if it is of ours, else among virtual aliases. An entry that has its own
key among its targets means the mailbox there. An extension that a virtual alias did not match
(`+tag`) goes on to its targets, one that an alias did not match does not. Postfix gives up on a
circle when it has gone round often enough; here it is found and named. `owner-` addresses do not
become senders here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from letterlock.protocols.smtp.paths import MAX_PATH_OCTETS, Mailbox
from letterlock.protocols.tables.aliases import AliasTable
from letterlock.protocols.tables.lines import Entry, Table, WrongEntry
from letterlock.protocols.tables.lookup import (
    AddressKey,
    address_keys,
    alias_keys,
    fold_address,
    fold_local,
)
from letterlock.protocols.tables.targets import Address, Include, SameUser, Target
from letterlock.protocols.tables.virtual import VirtualTable

MAX_DEPTH = 100
"""Aliases within aliases; local(8) has the same limit."""

MAX_DESTINATIONS = 10_000
"""Of one recipient."""

MAX_LOOKUPS = 50_000
"""For one recipient."""


@dataclass(frozen=True, slots=True)
class IncludedFile:
    """A file of `:include:`. `error` is one line when it cannot be used."""

    targets: tuple[Target, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class AddressTables:
    """The tables that rewrite recipients. `origin` is the domain of a name that has none."""

    origin: str
    is_local: Callable[[str], bool]
    """Says whether a domain is one of ours."""
    virtual: VirtualTable = field(default_factory=lambda: Table("", {}))
    aliases: AliasTable = field(default_factory=lambda: Table("", {}))
    includes: Mapping[str, IncludedFile] = field(default_factory=dict)
    delimiter: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """An entry that was found on the way: for people."""

    address: str
    key: str
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Expanded:
    """All that the recipient came to, in the order found, each once. Empty: mail for it goes away.

    With no step taken it is the recipient itself.
    """

    destinations: tuple[Mailbox, ...]
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Loop:
    """Aliases that lead back to where they began: `addresses` begins and ends with the same."""

    addresses: tuple[str, ...]
    steps: tuple[Step, ...] = ()

    @property
    def reason(self) -> str:
        return f"aliases go in a circle: {' -> '.join(self.addresses)}"


@dataclass(frozen=True, slots=True)
class TooMany:
    """A limit was reached; `reason` says which."""

    reason: str
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Unusable:
    """An entry or file on the way cannot be used; `reason` begins with its place."""

    reason: str
    steps: tuple[Step, ...] = ()


Expansion = Expanded | Loop | TooMany | Unusable


def expand(recipient: Mailbox, tables: AddressTables) -> Expansion:
    """Find what a recipient comes to."""
    walk = _Walk(tables)
    try:
        walk.visit(recipient)
    except _Ended as end:
        return replace(end.result, steps=tuple(walk.steps))
    if walk.circle and not walk.destinations:
        # It led back to an entry that names itself, and its mailbox leads on to the same circle.
        return Loop(walk.circle, tuple(walk.steps))
    return Expanded(tuple(walk.destinations.values()), tuple(walk.steps))


class _Ended(Exception):  # noqa: N818 - leaves the walk, and this module never
    def __init__(self, result: Loop | TooMany | Unusable) -> None:
        self.result = result


class _Walk:
    """Goes through the aliases in depth; what was walked before is not walked again."""

    def __init__(self, tables: AddressTables) -> None:
        self.destinations: dict[str, Mailbox] = {}
        self.steps: list[Step] = []
        self.circle: tuple[str, ...] = ()
        """The first way back to where we still are that ended there without a word."""
        self._tables = tables
        self._path: dict[str, str] = {}
        """The keys that we are within, and their addresses as they came."""
        self._walked: set[str] = set()
        self._lookups = 0

    def visit(self, mailbox: Mailbox) -> None:
        """Look among virtual aliases, then among aliases."""
        tables, own_key = self._tables, fold_address(mailbox)
        if not self._enter(own_key, mailbox):
            return
        is_local = tables.is_local(mailbox.domain)
        keys = address_keys(mailbox, tables.delimiter, is_local=is_local)
        found = self._find(tables.virtual, keys, mailbox)
        if found is None:
            self._visit_alias(mailbox)
        else:
            key, entry = found
            targets = [self._rewrite(mailbox, key, target) for target in entry.value]
            if any(fold_address(to) == own_key for to in targets):
                self._walked.add(own_key)  # who comes back to it means the mailbox: no circle
            for to in targets:
                if fold_address(to) == own_key:
                    self._visit_alias(to)
                else:
                    self.visit(to)
        self._leave(own_key)

    def _visit_alias(self, mailbox: Mailbox, within: str | None = None) -> None:
        """Look among aliases; `within` is the key of the alias that named this address."""
        tables = self._tables
        if not tables.is_local(mailbox.domain):
            self._add(mailbox)
            return
        keys = alias_keys(mailbox.local, tables.delimiter)
        found = self._find(tables.aliases, [key for key in keys if key.text != within], mailbox)
        if found is None:
            self._add(mailbox)
            return
        key, entry = found
        # Aliases have no domain: the same name in two domains is one alias.
        own_key = f"{key.text}:"
        if self._enter(own_key, mailbox):
            if self._names_itself(entry.value, key.text):
                self._walked.add(own_key)  # as above
            self._visit_targets(entry.value, key.text)
            self._leave(own_key)

    def _visit_targets(self, targets: tuple[Target, ...], alias: str) -> None:
        for target in targets:
            if isinstance(target, Include):
                self._visit_include(target.path, alias)
                continue
            assert isinstance(target, Address)
            mailbox = target.complete(self._tables.origin)
            if self._tables.is_local(mailbox.domain):
                self._visit_alias(mailbox, alias)
            else:
                self.visit(mailbox)

    def _names_itself(self, targets: tuple[Target, ...], alias: str) -> bool:
        tables = self._tables
        return any(
            isinstance(target, Address)
            and tables.is_local(target.domain or tables.origin)
            and fold_local(target.local) == alias
            for target in targets
        )

    def _visit_include(self, path: str, alias: str) -> None:
        own_key = f":include:{path}"
        name = Mailbox(own_key, "")
        included = self._tables.includes.get(path, IncludedFile(error=f"{path}: was not read"))
        if included.error is not None:
            error = included.error
            raise _Ended(Unusable(error))
        if self._enter(own_key, name):
            self._visit_targets(included.targets, alias)
            self._leave(own_key)

    def _find(
        self,
        table: Table[tuple[Target, ...]],
        keys: tuple[AddressKey, ...] | list[AddressKey],
        mailbox: Mailbox,
    ) -> tuple[AddressKey, Entry[tuple[Target, ...]]] | None:
        for key in keys:
            self._count_lookup()
            entry = table.find(key.text)
            if entry is None:
                continue
            self.steps.append(Step(mailbox.format(), key.text, entry.where, entry.text))
            if isinstance(entry, WrongEntry):
                reason = f"{entry.where}: {entry.reason}"
                raise _Ended(Unusable(reason))
            return key, entry
        return None

    def _rewrite(self, mailbox: Mailbox, key: AddressKey, target: Target) -> Mailbox:
        if isinstance(target, SameUser):
            to = Mailbox(mailbox.local, target.domain)
        else:
            assert isinstance(target, Address)
            to = target.complete(self._tables.origin)
            to = Mailbox(to.local + key.extension, to.domain)
        if len(to.format().encode()) > MAX_PATH_OCTETS - 2:
            reason = f"{to.format()[:80]}... is longer than an address may be"
            raise _Ended(Unusable(reason))
        return to

    def _enter(self, own_key: str, mailbox: Mailbox) -> bool:
        """Begin with a key; False when all it comes to is there already."""
        if own_key in self._path:
            keys = [*self._path]
            keys = keys[keys.index(own_key) :]
            names = [self._path[key] for key in keys]
            # An address stands there twice when it was looked up in both tables.
            circle = (*dict.fromkeys(names), names[0])
            if self._walked.isdisjoint(keys):
                raise _Ended(Loop(circle))
            # An entry on the way names itself: the mailbox is the way out.
            self.circle = self.circle or circle
            return False
        if own_key in self._walked:
            return False
        if len(self._path) >= MAX_DEPTH:
            raise _Ended(TooMany(f"aliases are nested {MAX_DEPTH} deep"))
        self._path[own_key] = mailbox.local if own_key[:1] == ":" else mailbox.format()
        return True

    def _leave(self, own_key: str) -> None:
        del self._path[own_key]
        self._walked.add(own_key)

    def _count_lookup(self) -> None:
        self._lookups += 1
        if self._lookups > MAX_LOOKUPS:
            raise _Ended(TooMany(f"an alias needs more than {MAX_LOOKUPS} lookups"))

    def _add(self, mailbox: Mailbox) -> None:
        self.destinations.setdefault(fold_address(mailbox), mailbox)
        if len(self.destinations) > MAX_DESTINATIONS:
            raise _Ended(TooMany(f"an alias has more than {MAX_DESTINATIONS} members"))
