"""Postfix's text tables, line by line: logical lines, then a key and its value.

The format is that of postmap(1) and texthash, Postfix 3.7 to 3.11. What keys and values mean is in
the module of each kind of table.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

BLANK = " \t\r\v\f"
"""What Postfix takes for white space; Python counts more."""

# A key ends at the first white space that is neither quoted nor behind a backslash.
_KEY = re.compile(r'(?:\\.|"(?:\\.|[^"\\])*"|[^\\" \t\r\v\f])*', re.DOTALL)
_SHOWN_CHARACTERS = 80
_SLICE_OCTETS = 64 * 1024

Value = TypeVar("Value")


class TableError(ValueError):
    """A key or value is not what its table holds; the message says which rule it broke."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is no entry, or one that changes nothing. `where` is `file:line`."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Entry(Generic[Value]):
    """`text` is the value as it stands in the file: what `postmap -q` prints."""

    key: str
    value: Value
    text: str
    where: str


@dataclass(frozen=True, slots=True)
class WrongEntry:
    """Its key is known, its value cannot be used. Who comes to it must wait, not guess."""

    key: str
    reason: str
    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Table(Generic[Value]):
    """A table as it was read. `entries` has normal keys, as `lookup` makes them."""

    file: str
    entries: Mapping[str, Entry[Value] | WrongEntry]
    faults: tuple[Fault, ...] = ()

    def find(self, key: str) -> Entry[Value] | WrongEntry | None:
        return self.entries.get(key)

    @property
    def all_faults(self) -> Iterator[Fault]:
        """Give what is wrong with lines and with entries."""
        yield from self.faults
        for entry in self.entries.values():
            if isinstance(entry, WrongEntry):
                yield Fault(entry.where, entry.reason)


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Join continued lines; give each with the number of its first line.

    A first line that begins with white space continues none: it is given as it is.
    """
    return _join_lines(text.split("\n"))


def _join_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    start, gathered = 0, ""
    for number, line in enumerate(lines, start=1):
        stripped = line.strip(BLANK)
        if not stripped or stripped[0] == "#":
            continue
        if gathered and line[0] in BLANK:
            gathered += line
            continue
        if gathered:
            yield start, gathered
        start, gathered = number, line
    if gathered:
        yield start, gathered


def decoded_lines(content: bytes) -> Iterator[tuple[int, str | TableError]]:
    """Give the logical lines of a file; a TableError instead of one that no table can have."""
    # Line by line: an octet that is not UTF-8 costs its own line only.
    for number, line in _join_lines(_decode_lines(content)):
        if not line.isascii() and re.search("[\udc80-\udcff]", line):
            yield number, TableError("not UTF-8")
        elif "\0" in line:
            yield number, TableError("there is a NUL in it")
        elif line[0] in BLANK:
            yield number, TableError("a line that begins with white space continues none")
        else:
            yield number, line


def _decode_lines(content: bytes) -> Iterator[str]:
    """Give all lines, some at a time: a file may be large, and nothing else runs meanwhile."""
    start = 0
    while start <= len(content):
        end = content.find(b"\n", start + _SLICE_OCTETS)
        end = len(content) if end < 0 else end
        yield from content[start:end].decode("utf-8", "surrogateescape").split("\n")
        start = end + 1


def split_pair(line: str) -> tuple[str, str]:
    """Split a line into its key, quotes kept, and its value. Raises TableError."""
    match = _KEY.match(line)
    assert match is not None  # it matches nothing as well
    key, rest = match[0], line[match.end() :]
    if rest[:1] in ('"', "\\"):
        raise TableError("a quote is not closed, or a backslash ends the line")
    return key, rest.strip(BLANK)


class TableMaker(Generic[Value]):
    """Gathers the entries of a file: of two with one key the first counts, as in Postfix."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._entries: dict[str, Entry[Value] | WrongEntry] = {}
        self._faults: list[Fault] = []

    def add(self, number: int, key: str, text: str, read: Callable[[str], Value]) -> None:
        """Add an entry; `read` raises TableError for a value that is none."""
        where = f"{self._file}:{number}"
        if (first := self._entries.get(key)) is not None:
            line = first.where.rpartition(":")[2]
            self.add_fault(number, f"{shorten(key)} stands in line {line} already; ignored")
            return
        entry: Entry[Value] | WrongEntry
        try:
            entry = Entry(key, read(text), text, where)
        except TableError as error:
            entry = WrongEntry(key, f"{shorten(key)}: {error}", text, where)
        self._entries[key] = entry

    def add_fault(self, number: int, reason: str) -> None:
        self._faults.append(Fault(f"{self._file}:{number}", reason))

    def finish(self) -> Table[Value]:
        return Table(self._file, self._entries, tuple(self._faults))


def gather_pairs(
    content: bytes,
    file: str,
    read_key: Callable[[str], str],
    read_value: Callable[[str, str], Value],
    *,
    may_be_bare: bool = False,
) -> Table[Value]:
    """Read a table of keys and values; never raises. `file` is its name in `where`.

    `read_key` gives the normal form of a key, `read_value` takes that key and the text; both may
    raise TableError. A line without a value is one only if it `may_be_bare`.
    """
    maker: TableMaker[Value] = TableMaker(file)
    for number, line in decoded_lines(content):
        try:
            key, text = _read_pair(line, may_be_bare=may_be_bare)
            normal = read_key(key)
        except TableError as error:
            maker.add_fault(number, str(error))
        else:
            maker.add(number, normal, text, partial(read_value, normal))
    return maker.finish()


def _read_pair(line: str | TableError, *, may_be_bare: bool) -> tuple[str, str]:
    if isinstance(line, TableError):
        raise line
    key, text = split_pair(line)
    if not text and not may_be_bare:
        raise TableError(f"there is no value behind {shorten(key)}")
    if len(key) > 1 and key.endswith(":"):
        raise TableError(f"the key {shorten(key)} ends in a colon, as in a file of aliases")
    return key, text


def shorten(text: str) -> str:
    """Give a text from a file for a message: printable, and not long."""
    shown = _cut(text)
    return shown if shown.isprintable() else ascii(shown)


def quote(text: str) -> str:
    """Give a text as `shorten` does, in quotes."""
    return repr(_cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
