"""Postfix's `smtp_tls_policy_maps` as a text file, read as it is.

The line format is that of postmap(1) and texthash; the attributes are those of postconf(5), Postfix
3.12. What is wrong with one entry is that entry's alone. What Postfix 3.10 and later take from an
MTA-STS plugin to force or refuse (`policy_failure`, `mx_host_pattern`) makes a wrong entry here: to
leave it out would lower the policy.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import (
    Entry,
    EntryError,
    WrongEntry,
    normal_key,
    parse_entry,
    parse_level,
)
from letterlock.protocols.tables.lines import BLANK, logical_lines

_ONCE = ("servername", "ciphers", "exclude", "protocols")
_REPEATED = ("match", "tafile")
_SWITCHES = ("connection_reuse", "enable_rpk")
# For the TLS report of a plugin's policy; without meaning for what is required.
_REPORTED = ("policy_type", "policy_domain", "policy_string", "policy_ttl")
_STRICTER = ("policy_failure", "mx_host_pattern")

_BLANKS = re.compile(f"[{BLANK}\n]+")
_SEPARATORS = BLANK + ",\n"


@dataclass(frozen=True, slots=True)
class PostfixTable:
    """The entries in the order of the file, and lines that are no entry at all, as warnings."""

    entries: tuple[Entry, ...]
    warnings: tuple[str, ...]


def parse_postfix_table(content: bytes, file: str) -> PostfixTable:
    """Read a table; never raises. `file` is its name in `where` and warnings.

    Of two lines with one key the first counts, as postmap(1) has it, and the second is a warning.
    """
    entries: dict[str, Entry] = {}
    warnings: list[str] = []
    for number, line in logical_lines(content.decode("utf-8", "replace")):
        if line[0] in BLANK:
            warnings.append(f"{file}:{number}: a line that begins with white space continues none")
            continue
        entry = _parse_line(line, number, file)
        if first := entries.get(entry.key):
            warnings.append(f"{entry.where}: the key stands at {first.where} already; ignored")
            continue
        entries[entry.key] = entry
    return PostfixTable(tuple(entries.values()), tuple(warnings))


def _parse_line(line: str, number: int, file: str) -> Entry:
    # Not `split()`: Python counts more as white space than Postfix does.
    key, *rest = _BLANKS.split(line.strip(BLANK), maxsplit=1)
    where = f"{file}:{number}:{key[:80]}"
    if key.endswith(":"):
        # Postfix would look up the colon as well, and so send this mail by its default.
        reason = "the key ends in a colon: this is a table, not an alias file"
        return WrongEntry(normal_key(key.rstrip(":")), where, reason)
    try:
        fields = _parse_value(rest[0] if rest else "")
    except EntryError as error:
        return WrongEntry(normal_key(key), where, str(error))
    return parse_entry(key, fields, where)


def _parse_value(value: str) -> dict[str, object]:
    words = list(_split(value))
    if not words:
        raise EntryError("there is no level after the key")
    level = parse_level(words[0])
    fields: dict[str, object] = {"level": level.value}
    if level is Level.NONE:
        return fields
    attributes = [_split_attribute(word) for word in words[1:]]
    names = [name for name, _ in attributes]
    for name, text in attributes:
        if name in _ONCE or name in _REPEATED:
            if name in _ONCE and names.count(name) > 1:
                raise EntryError(f"{name} stands more than once")
            _add(fields, name, text, level)
        else:
            _check_ignored(name, text, names)
    return fields


def _check_ignored(name: str, text: str, names: list[str]) -> None:
    """Let through what changes nothing about the requirement."""
    if name in _STRICTER:
        raise EntryError(f"{name} is for MTA-STS plugins and not supported in a table")
    if name in _SWITCHES:
        if text not in ("yes", "no"):
            raise EntryError(f"{name} is yes or no, not {text[:40]!r}")
    elif name not in _REPORTED:
        raise EntryError(f"there is no attribute {name[:40]!r}")
    elif "policy_type" not in names:
        raise EntryError(f"{name} without policy_type")


def _add(fields: dict[str, object], name: str, text: str, level: Level) -> None:
    if not text:
        raise EntryError(f"{name} is empty")
    values = [text]
    if name == "match":
        values = text.split("|" if level is Level.FINGERPRINT else ":")
    known = fields.setdefault(name, [])
    assert isinstance(known, list)
    known += values


def _split_attribute(word: str) -> tuple[str, str]:
    name, equals, text = word.partition("=")
    if not equals or not name.strip():
        raise EntryError(f"{word[:40]!r} is not name=value")
    return name.strip().lower(), text.strip()


def _split(value: str) -> Iterator[str]:
    """Split at white space and commas; `{ name = value }` is one word (Postfix 3.10)."""
    at = 0
    while at < len(value):
        if value[at] in _SEPARATORS:
            at += 1
        elif value[at] == "{":
            end = value.find("}", at)
            if end < 0:
                raise EntryError("a { is not closed")
            yield value[at + 1 : end].strip()
            at = end + 1
        else:
            end = at
            while end < len(value) and value[end] not in _SEPARATORS:
                end += 1
            yield value[at:end]
            at = end
