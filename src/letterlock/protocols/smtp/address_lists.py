"""Addresses in the lists of To, Cc and Bcc, and where each of them ends.

RFC 5322 §3.4 (mailboxes, groups), §3.2.2 (comments), §4.4 (source routes, empty elements). What an
address must look like inside is `paths`' to say: `letterlock send` loads this module and not that.
"""

import re
from collections.abc import Iterator

MAX_LIST_CHARACTERS = 256 * 1024

# A comment is found by its bracket: comments nest. What no other alternative takes stands alone.
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<word>"(?:[^"\\]|\\.)*+" | \[(?:[^\[\]\\]|\\.)*+\] | [^\s"\[\]()<>:;,@]++)
      | (?P<special>[<>:;,@])
      | (?P<stray>.)""",
    re.VERBOSE | re.DOTALL,
)


class AddressListError(ValueError):
    """A text is not a list of addresses; the message says why."""


def find_addresses(text: str, *, with_names: bool = False) -> list[tuple[str, int]]:
    """Give each address, without comments and names, and the place in the text where it ends.

    A source route is dropped. `with_names`: a name that is an address out of quotes is given too,
    since some readers take it for the one that counts. Raises AddressListError.
    """
    if len(text) > MAX_LIST_CHARACTERS:
        raise AddressListError(f"a list has at most {MAX_LIST_CHARACTERS} characters")
    found: list[tuple[str, int]] = []
    element = _Element()
    is_group = False
    for part, end, is_word in _tokens(text):
        if element.is_open:
            element.take_inside(part, end, is_word=is_word)
        elif part == "<":
            found += element.find_name() if with_names else []
            element = element.open()
        elif part == ":":
            if is_group:
                raise AddressListError("a group stands in another")
            is_group, element = True, _Element()
        elif part in {",", ";"}:
            if part == ";" and not is_group:
                raise AddressListError("; ends a group, and none has begun")
            is_group = is_group and part == ","
            found += element.finish()
            element = _Element()
        else:
            element.take(part, end, is_word=is_word)
    return found + element.finish()


class _Element:
    """What stands between two commas."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.is_open = is_open
        self._address = ""
        self._end = 0
        self._has_angle = is_open
        self._is_split = False
        """Two words side by side: a name, not an address."""
        self._was_word = False
        self._has_at = False

    def open(self) -> "_Element":
        """Begin an address in angle brackets: what stood before it was a name."""
        if self._has_angle:
            raise AddressListError("two addresses in angle brackets without a comma between them")
        return _Element(is_open=True)

    def find_name(self) -> list[tuple[str, int]]:
        """Give what stands before the angle bracket, if it is an address."""
        is_address = self._has_at and not self._is_split
        return [(self._address, self._end)] if is_address else []

    def take_inside(self, part: str, end: int, *, is_word: bool) -> None:
        if part == ">":
            self.is_open = False
        elif part in {":", ","} and self._address.startswith("@"):
            # A source route ends with the colon.
            self._address = self._address + part if part == "," else ""
            self._was_word = False
        elif part in {"<", ":", ";", ","}:
            raise AddressListError(f"{part} in angle brackets")
        else:
            self._append(part, end, is_word=is_word)

    def take(self, part: str, end: int, *, is_word: bool) -> None:
        if part == ">":
            raise AddressListError("> without <")
        if self._has_angle:
            raise AddressListError(f"{part[:40]!r} stands behind an address")
        self._append(part, end, is_word=is_word)

    def finish(self) -> list[tuple[str, int]]:
        """Give the address; none of an element that is empty."""
        if self.is_open:
            raise AddressListError("< without >")
        if not self._address:
            if self._has_angle:
                raise AddressListError("nothing in angle brackets")
            return []
        if self._is_split:
            raise AddressListError(f"{self._address[:80]!r} is a name without an address")
        return [(self._address, self._end)]

    def _append(self, part: str, end: int, *, is_word: bool) -> None:
        if is_word and self._was_word and not (self._address.endswith(".") or part[0] == "."):
            self._is_split = True
            self._address += " "
        self._address += part
        self._has_at = self._has_at or part == "@"
        self._end = end
        self._was_word = is_word


def _tokens(text: str) -> Iterator[tuple[str, int, bool]]:
    """Give each part, where it ends, and whether it is a word."""
    at = 0
    while at < len(text):
        if text[at] == "(":
            at = _skip_comment(text, at)
            continue
        match = _TOKEN.match(text, at)
        assert match is not None
        at = match.end()
        if match["stray"] is not None:
            raise AddressListError(f"{match[0]!r} without its other half")
        if match["space"] is None:
            yield match[0], at, match["word"] is not None


def _skip_comment(text: str, at: int) -> int:
    """Give the place behind a comment. RFC 5322 §3.2.2."""
    depth = 0
    while at < len(text):
        character = text[at]
        at += 2 if character == "\\" else 1
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                return at
    raise AddressListError("a comment that does not end")
