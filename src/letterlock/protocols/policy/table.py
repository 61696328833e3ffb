"""The operator's policy table: which TLS level holds for which next hop.

The meaning is that of Postfix's `smtp_tls_policy_maps`. A wrong entry stays in the table, named
with file, line and key: mail for its key waits until it is corrected, other mail goes, and nothing
is lowered. Reading Postfix's own text form is in `postfix_table`; what an entry means for one MX
host is in `decide`.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from ipaddress import ip_address
from typing import TypeVar

from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.pki.names import parse_ip
from letterlock.protocols.policy.fingerprints import FingerprintError, parse_fingerprint
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.tls_parameters import (
    DEFAULT_MIN_VERSION,
    NO_WORDS,
    CipherWords,
    ParameterError,
    find_cipher_words,
    parse_ciphers,
    parse_protocols,
)

MATCH_WORDS = ("hostname", "nexthop", "dot-nexthop")
SERVERNAME_WORDS = ("hostname", "nexthop")

_MATCHING_LEVELS = (Level.FINGERPRINT, Level.VERIFY, Level.SECURE)
_CHAIN_LEVELS = (Level.VERIFY, Level.SECURE)
_LEVELS_OF = {
    "match": _MATCHING_LEVELS,
    "tafile": _CHAIN_LEVELS,
    "fingerprints": (Level.FINGERPRINT,),
}
"""Attributes that have no meaning at other levels."""
_FIELDS = frozenset(
    {"level", "match", "servername", "tafile", "protocols", "ciphers", "exclude", "fingerprints"}
    | {"reason", "until"}
)
MAX_REASON_CHARACTERS = 200
T = TypeVar("T")

_KEY_PARTS = re.compile(r"(?:\[(?P<host>[^\[\]]+)\]|(?P<name>[^\[\]:]+))(?P<port>:[0-9A-Za-z]+)?\Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


class EntryError(ValueError):
    """An entry is wrong; the message says which rule it breaks."""


@dataclass(frozen=True, slots=True)
class TableEntry:
    """One entry. `match` and `servername` hold words of Postfix's or names as they are wanted.

    `where` is `file:line:key`. An empty `match` means the level's default. `ciphers` is an OpenSSL
    list for TLS 1.2 and below, None for ours; `cipher_words` is the same as it was written, None
    where that is a list. `reason` is the operator's, empty when none is given; `until` is the last
    day (UTC) on which the entry holds, None without an end.
    """

    key: str
    level: Level
    where: str
    match: tuple[str, ...] = ()
    servername: str | None = None
    trust_files: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    min_version: str = DEFAULT_MIN_VERSION
    max_version: str | None = None
    ciphers: str | None = None
    cipher_words: CipherWords | None = NO_WORDS
    reason: str = ""
    until: date | None = None


@dataclass(frozen=True, slots=True)
class WrongEntry:
    """An entry that cannot be used. `reason` says which rule it breaks."""

    key: str
    where: str
    reason: str


Entry = TableEntry | WrongEntry


class PolicyTable:
    """Entries by their key, as `normal_key` gives it; `default` holds where none is found.

    Entries whose last day is past hold no longer: ask `on` for the table of a day.
    """

    def __init__(
        self,
        entries: Mapping[str, Entry],
        default: Entry,
        *,
        lapsed: Mapping[str, TableEntry] | None = None,
    ) -> None:
        self._entries = dict(entries)
        self._lapsed = dict(lapsed or {})
        self.default = default
        self._of_day: tuple[date, PolicyTable] | None = None

    @property
    def wrong_entries(self) -> tuple[WrongEntry, ...]:
        """Give the entries that no mail can go by, the default among them."""
        entries = (*self._entries.values(), self.default)
        return tuple(entry for entry in entries if isinstance(entry, WrongEntry))

    @property
    def usable_entries(self) -> tuple[TableEntry, ...]:
        """Give all others, without the default."""
        entries = self._entries.values()
        return tuple(entry for entry in entries if isinstance(entry, TableEntry))

    @property
    def lapsed_entries(self) -> tuple[TableEntry, ...]:
        """Give the entries that hold no longer in a table that `on` gave."""
        return tuple(self._lapsed.values())

    def on(self, day: date) -> "PolicyTable":
        """Give the table as it holds on a day: the same object for the same day."""
        if self._of_day is None or self._of_day[0] != day:
            lapsed = {
                key: entry
                for key, entry in self._entries.items()
                if isinstance(entry, TableEntry) and entry.until is not None and entry.until < day
            }
            holding = {key: entry for key, entry in self._entries.items() if key not in lapsed}
            table = PolicyTable(holding, self.default, lapsed=lapsed) if lapsed else self
            self._of_day = (day, table)
        return self._of_day[1]

    def find(self, next_hop_key: str) -> Entry | None:
        """Find the entry for a next hop as it is written: a domain, `[host]`, `[host]:port`.

        Only a plain domain has parents: for `a.b.example` also `.b.example` and `.example`.
        """
        keys = _keys_of(next_hop_key)
        return next((self._entries[key] for key in keys if key in self._entries), None)

    def find_lapsed(self, next_hop_key: str) -> TableEntry | None:
        """Find the entry that would be found, were its last day not past."""
        for key in _keys_of(next_hop_key):
            if key in self._entries:
                return None
            if key in self._lapsed:
                return self._lapsed[key]
        return None


def collect_entries(*sources: Iterable[Entry]) -> dict[str, Entry]:
    """Put entries under their keys: earlier sources come before later ones.

    A key that stands twice in one source is a wrong entry: nobody can say which was meant.
    """
    collected: dict[str, Entry] = {}
    for source in sources:
        seen: dict[str, Entry] = {}
        for entry in source:
            key = normal_key(entry.key)
            if first := seen.get(key):
                seen[key] = WrongEntry(key, entry.where, f"the key stands at {first.where} already")
            else:
                seen[key] = entry
        collected = seen | collected
    return collected


def parse_entry(key: str, fields: Mapping[str, object], where: str) -> Entry:
    """Parse an entry of `[policy.hops]`, or what `postfix_table` made of one; never raises.

    Lists may be a single text. `match` at level fingerprint and `fingerprints` are the same. All
    that is wrong is named.
    """
    reader = _EntryReader(fields)
    entry = _parse(key, reader, where)
    if entry is not None and not reader.faults:
        return entry
    return WrongEntry(normal_key(key), where, "; ".join(dict.fromkeys(reader.faults)))


def normal_key(key: str) -> str:
    """Give a key in the form it is looked up by: lower case, A-labels, addresses as `2001:db8::1`.

    Next hops are written in the same way: `example.org:587`, `[mx.example.org]`.
    """
    dot = "." if key.startswith(".") else ""
    found = _KEY_PARTS.match(key.removeprefix("."))
    if found is None:
        return key.lower()
    name = _normal_host(found["host"] or found["name"])
    host = f"[{name}]" if found["host"] else name
    return f"{dot}{host}{(found['port'] or '').lower()}"


def _normal_host(text: str) -> str:
    with contextlib.suppress(ValueError):
        return str(ip_address(text[5:] if text[:5].lower() == "ipv6:" else text))
    try:
        return parse_domain(text)
    except DomainError:
        return text.lower()


def parse_level(text: str) -> Level:
    """Parse a level's name, without case; raises EntryError."""
    try:
        return Level(text.lower())
    except ValueError:
        raise EntryError(f"{text[:40]!r} is not a level; there are {', '.join(Level)}") from None


class _EntryReader:
    """The attributes of one entry. What is wrong with them is collected."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self.fields = fields
        self.faults: list[str] = []

    def take(self, parse: Callable[[], T], instead: T) -> T:
        """Give what a parser gives; where that fails, note why and give `instead`."""
        try:
            return parse()
        except (EntryError, ParameterError, FingerprintError) as error:
            self.faults.append(str(error))
            return instead

    def texts(self, name: str) -> tuple[str, ...]:
        return self.take(lambda: _texts(self.fields, name), ())

    def each(self, parse: Callable[[str], str], texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(self.take(partial(parse, text), "") for text in texts)


def _parse(key: str, reader: _EntryReader, where: str) -> TableEntry | None:
    """Give the entry; None, or one that is not to be used, when something is wrong."""
    fields, take = reader.fields, reader.take
    take(lambda: _check_key(key), None)
    for name in sorted(set(fields) - _FIELDS):
        reader.faults.append(f"there is no attribute {name[:40]!r}")
    level = take(lambda: parse_level(_text(fields, "level") or ""), None)
    reason = take(lambda: _parse_reason(fields), "")
    until = take(lambda: _parse_until(fields), None)
    if level is None:
        # What the rest means depends on it.
        return None
    if level is Level.NONE:
        # As in Postfix: nothing else counts without TLS.
        return TableEntry(normal_key(key), level, where, reason=reason, until=until)
    for name, levels in _LEVELS_OF.items():
        if reader.texts(name) and level not in levels:
            reader.faults.append(f"{name} has no meaning at level {level}")
    match, fingerprints = reader.texts("match"), reader.texts("fingerprints")
    if level is Level.FINGERPRINT:
        fingerprints, match = match + fingerprints, ()
        if not fingerprints:
            reader.faults.append("level fingerprint needs at least one fingerprint to match")
    is_old_allowed = level is Level.MAY
    versions = take(
        lambda: parse_protocols(_joined(fields, "protocols"), is_old_allowed=is_old_allowed), None
    )
    return TableEntry(
        key=normal_key(key),
        level=level,
        where=where,
        match=reader.each(_parse_match, match) if level in _CHAIN_LEVELS else (),
        servername=take(lambda: _parse_servername(_text(fields, "servername")), None),
        trust_files=reader.texts("tafile"),
        fingerprints=reader.each(parse_fingerprint, fingerprints),
        min_version=versions.lowest if versions is not None else DEFAULT_MIN_VERSION,
        max_version=versions.highest if versions is not None else None,
        ciphers=take(
            lambda: parse_ciphers(
                _text(fields, "ciphers"), _texts(fields, "exclude"), is_old_allowed=is_old_allowed
            ),
            None,
        ),
        cipher_words=take(
            lambda: find_cipher_words(_text(fields, "ciphers"), _texts(fields, "exclude")), None
        ),
        reason=reason,
        until=until,
    )


def _parse_reason(fields: Mapping[str, object]) -> str:
    reason = _text(fields, "reason") or ""
    if len(reason) > MAX_REASON_CHARACTERS or not reason.isprintable():
        raise EntryError(f"reason: one line of at most {MAX_REASON_CHARACTERS} characters")
    return reason


def _parse_until(fields: Mapping[str, object]) -> date | None:
    until = fields.get("until")
    if until is None or type(until) is date:
        return until
    try:
        return date.fromisoformat(str(until) if _DAY.match(str(until)) else "")
    except ValueError:
        raise EntryError(f"until: {str(until)[:40]!r} is not a day (YYYY-MM-DD)") from None


def _keys_of(next_hop_key: str) -> list[str]:
    """Give the keys to look under, the nearest first."""
    key = normal_key(next_hop_key)
    keys = [key]
    if _is_plain_domain(key):
        while "." in key:
            key = key.partition(".")[2]
            keys.append("." + key)
    return keys


def _check_key(key: str) -> None:
    # `[host]`, `[host]:port` and `host:port` are next hops as the operator writes them elsewhere.
    if key.startswith("["):
        host, bracket, port = key[1:].partition("]")
        is_right = bool(bracket) and (not port or _is_port(port))
    else:
        host, colon, port = key.removeprefix(".").partition(":")
        is_right = not colon or _is_port(":" + port)
    if not is_right or (parse_ip(f"[{host}]") is None and not _is_domain(host)):
        raise EntryError(f"the key {key[:80]!r} is not a domain, .parent, [host] or [host]:port")


def _parse_match(word: str) -> str:
    if word in MATCH_WORDS or parse_ip(word) is not None:
        return word
    dot = "." if word.startswith(".") else ""
    try:
        return dot + parse_domain(word.removeprefix("."))
    except DomainError as error:
        raise EntryError(f"match: {error}") from error


def _parse_servername(word: str | None) -> str | None:
    if word is None or word in SERVERNAME_WORDS:
        return word
    if parse_ip(word) is not None:
        raise EntryError("servername: an address cannot be sent as SNI (RFC 6066 §3)")
    try:
        return parse_domain(word)
    except DomainError as error:
        raise EntryError(f"servername: {error}") from error


def _text(fields: Mapping[str, object], name: str) -> str | None:
    values = _texts(fields, name)
    if len(values) > 1:
        raise EntryError(f"{name} stands more than once")
    return values[0] if values else None


def _texts(fields: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = fields.get(name, ())
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(item, str) for item in values):
        raise EntryError(f"{name} is not a text or a list of texts")
    if not all(item.strip() for item in values):
        raise EntryError(f"{name} is empty")
    return tuple(item.strip() for item in values)


def _joined(fields: Mapping[str, object], name: str) -> str | None:
    return ":".join(_texts(fields, name)) or None


def _is_port(text: str) -> bool:
    digits = text.removeprefix(":")
    return text.startswith(":") and digits.isascii() and digits.isdigit() and len(digits) <= 5


def _is_domain(text: str) -> bool:
    try:
        parse_domain(text)
    except DomainError:
        return False
    return True


def _is_plain_domain(key: str) -> bool:
    return _is_domain(key) and parse_ip(key) is None
