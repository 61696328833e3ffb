"""Where each key of a TOML text stands, and its name: tomllib gives no positions.

TOML 1.0.0. The text must be one that tomllib accepts; nothing is checked again here.
"""

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""Names of keys, and indexes in arrays, from the top of the document."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text; both numbers start at 1, columns count characters."""

    line: int
    column: int


_BLANK = re.compile(r"[ \t]*")
_BLANK_LINES = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# The longer forms first: `""` is also how `"""` begins. A multi-line string may end in up to two
# quotes of its own.
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


def locate(text: str) -> dict[KeyPath, Position]:
    """Give the place of every key and every array element, tables that are only implied too.

    A key that several headers name keeps the place where it came first.
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


def format_key(key: KeyPath) -> str:
    """Write a key as TOML has it: `policy.hops."example.com"`, an element as `domains[1]`.

    Elements are counted from 1, as people do.
    """
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            name = part if _BARE_KEY.fullmatch(part) else f'"{_make_printable(part)}"'
            text += f".{name}" if text else name
    return text


def _make_printable(text: str) -> str:
    shown = text[:80]
    return shown if shown.isprintable() else ascii(shown)[1:-1]


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_starts = [0] + [match.end() for match in re.finditer("\n", text)]
        self._places: dict[KeyPath, Position] = {}
        self._lengths: dict[KeyPath, int] = {}
        """How many elements each array of tables has so far."""

    def scan(self) -> dict[KeyPath, Position]:
        table: KeyPath = ()
        self._skip(_BLANK_LINES)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._read_header()
            else:
                self._read_pair(table)
            self._skip(_BLANK_LINES)
        return self._places

    def _read_header(self) -> KeyPath:
        start = self._at
        is_array = self._text.startswith("[[", start)
        self._at += 2 if is_array else 1
        *parents, (last, offset) = self._read_key()
        path: KeyPath = ()
        for name, place in parents:
            path = self._record((*path, name), place)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        path = self._record((*path, last), offset)
        self._at += 2 if is_array else 1
        if not is_array:
            return path
        index = self._lengths.get(path, 0)
        self._lengths[path] = index + 1
        return self._record((*path, index), start)

    def _read_pair(self, table: KeyPath) -> None:
        path = table
        for name, offset in self._read_key():
            path = self._record((*path, name), offset)
        self._at += 1  # "="
        self._skip(_BLANK)
        self._read_value(path)

    def _read_key(self) -> list[tuple[str, int]]:
        """Read a dotted key and the blanks after it; gives each part and its offset."""
        parts = []
        while True:
            self._skip(_BLANK)
            parts.append(self._read_simple_key())
            self._skip(_BLANK)
            if self._text[self._at] != ".":
                return parts
            self._at += 1

    def _read_simple_key(self) -> tuple[str, int]:
        start = self._at
        if self._text[start] in "\"'":
            self._skip(_STRING)
            literal = self._text[start : self._at]
            return tomllib.loads(f"key = {literal}")["key"], start
        self._skip(_BARE_KEY)
        return self._text[start : self._at], start

    def _read_value(self, path: KeyPath) -> None:
        match self._text[self._at]:
            case "[":
                self._read_array(path)
            case "{":
                self._read_inline_table(path)
            case '"' | "'":
                self._skip(_STRING)
            case _:
                self._skip(_BARE_VALUE)

    def _read_array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        self._skip(_BLANK_LINES)
        while self._text[self._at] != "]":
            if self._text[self._at] == ",":
                self._at += 1
            else:
                self._read_value(self._record((*path, index), self._at))
                index += 1
            self._skip(_BLANK_LINES)
        self._at += 1

    def _read_inline_table(self, path: KeyPath) -> None:
        self._at += 1
        self._skip(_BLANK_LINES)
        while self._text[self._at] != "}":
            if self._text[self._at] == ",":
                self._at += 1
            else:
                self._read_pair(path)
            self._skip(_BLANK_LINES)
        self._at += 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if found := pattern.match(self._text, self._at):
            self._at = found.end()

    def _record(self, path: KeyPath, offset: int) -> KeyPath:
        if path not in self._places:
            line = bisect_right(self._line_starts, offset)
            self._places[path] = Position(line, offset - self._line_starts[line - 1] + 1)
        return path
