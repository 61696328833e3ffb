"""What filters want done to a header section, carried out on its octets.

RFC 5322 §2.2 (fields), §2.2.3 (folding), §2.1.1 (line lengths). What is not edited stays octet by
octet, lines that are no fields too. A value can neither begin a field of its own nor end the header
section: what would is folded. Which edits there are says `field_edits`.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, assert_never

from letterlock.protocols.smtp.field_edits import (
    AppendField,
    ChangeField,
    DeleteField,
    FieldEdit,
    InsertField,
)
from letterlock.protocols.smtp.header_fields import MAX_LINE_OCTETS

MAX_EDITS = 1000
MAX_VALUE_OCTETS = 64 * 1024
"""A milter's packets have no more, and no honest field has."""
MAX_NAME_OCTETS = 200

# What begins with white space goes on with the line before (RFC 5322 §2.2.3).
_FIELD_END = re.compile(rb"\r\n(?![ \t])")
# RFC 5322 §3.6.8, and §4.5.8 (before the colon there may be space).
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_NEW_NAME = re.compile(r"[!-9;-~]+\Z")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_NO_NAME = b""


class EditError(ValueError):
    """An edit that cannot be carried out: what is asked for would be no field, or is too much."""


class HeaderField(NamedTuple):
    """One field, or a line that is none: then `name` is empty, and all of it is the value.

    `octets` has the CRLF, if there was one. `name` is as it stands there.
    """

    name: bytes
    octets: bytes

    @property
    def value(self) -> bytes:
        """What stands behind the colon, without the CRLF at its end."""
        value = self.octets.partition(b":")[2] if self.name else self.octets
        return value.removesuffix(b"\r\n")


def cut_fields(header: bytes) -> list[HeaderField]:
    """Cut a header section, without the empty line behind it, into fields and other lines.

    Joined again, their octets are the header section.
    """
    fields, start = [], 0
    while start < len(header):
        end = _FIELD_END.search(header, start)
        stop = end.end() if end is not None else len(header)
        name = _NAME.match(header, start, stop)
        fields.append(HeaderField(name[1] if name is not None else _NO_NAME, header[start:stop]))
        start = stop
    return fields


def edit_header(header: bytes, edits: Sequence[FieldEdit]) -> bytes:
    """Carry out edits on a header section, in their order; `header` has no empty line behind it.

    No new field is put below a line that is none: many readers take that for the body's first.
    Raises EditError.
    """
    if not edits:
        return header
    if len(edits) > MAX_EDITS:
        raise EditError(f"more than {MAX_EDITS} changes of the header")
    fields = _Fields(header)
    for edit in edits:
        fields.carry_out(edit)
    return fields.join()


def fold_field(name: str, value: bytes) -> bytes:
    """Make a field, with its CRLF, of a name and what stands behind the colon.

    Raises EditError for a name that is none, or too much text.
    """
    if not _NEW_NAME.match(name) or len(name) > MAX_NAME_OCTETS:
        raise EditError(f"{name[:MAX_NAME_OCTETS]!r} is not the name of a header field")
    return _fold(name.encode("ascii") + b":", value)


class _Fields:
    """A header section that is being edited."""

    def __init__(self, header: bytes) -> None:
        fields = cut_fields(header)
        self._names = [field.name.lower() for field in fields]
        self._octets = [field.octets for field in fields]

    def carry_out(self, edit: FieldEdit) -> None:
        match edit:
            case InsertField(above, name, value):
                self._insert(above, name, value)
            case AppendField(name, value):
                self._insert(len(self._names), name, value)
            case ChangeField(name, number, value):
                self._change(name, number, value)
            case DeleteField(name, number):
                self._delete(name, number)
            case _:
                assert_never(edit)

    def join(self) -> bytes:
        return b"".join(self._octets)

    def _insert(self, above: int, name: str, value: bytes) -> None:
        field = fold_field(name, value)
        at = min(max(0, above), self._find_bottom())
        if at == 0 and self._octets and self._octets[0][:1] in {b" ", b"\t"}:
            at = 1  # or that line would go on with the new field
        if at and not self._octets[at - 1].endswith(b"\r\n"):
            self._octets[at - 1] += b"\r\n"
        self._names.insert(at, name.lower().encode("ascii"))
        self._octets.insert(at, field)

    def _find_bottom(self) -> int:
        """Say where the first line is that is no field: how many fields stand above."""
        return self._names.index(_NO_NAME) if _NO_NAME in self._names else len(self._names)

    def _change(self, name: str, number: int, value: bytes) -> None:
        field = fold_field(name, value)
        at = self._find(name, number)
        if at is None:
            self._insert(len(self._names), name, value)
            return
        start = _NAME.match(self._octets[at])
        assert start is not None, "it was found by its name"
        as_it_was = start[1].decode("ascii")
        self._octets[at] = field if as_it_was == name else fold_field(as_it_was, value)

    def _delete(self, name: str, number: int | None) -> None:
        if number is not None:
            at = self._find(name, number)
            found = [] if at is None else [at]
        else:
            found = self._list(name)
        for at in reversed(found):
            del self._names[at], self._octets[at]

    def _find(self, name: str, number: int) -> int | None:
        found = self._list(name)
        at = number if number < 0 else max(number, 1) - 1
        return found[at] if -len(found) <= at < len(found) else None

    def _list(self, name: str) -> list[int]:
        if not _NEW_NAME.match(name):
            raise EditError(f"{name[:MAX_NAME_OCTETS]!r} is not the name of a header field")
        wanted = name.lower().encode("ascii")
        return [at for at, each in enumerate(self._names) if each == wanted]


def _fold(start: bytes, value: bytes) -> bytes:
    if len(value) > MAX_VALUE_OCTETS:
        raise EditError(f"a header field of more than {MAX_VALUE_OCTETS} octets")
    first, *rest = _LINE_END.split(value.replace(b"\0", b" "))
    lines = _cut_line(start + first)
    for line in rest:
        # An empty line would end the header section, and one of spaces is empty for some readers.
        if line.strip(b" \t"):
            lines += _cut_line(line if line[:1] in {b" ", b"\t"} else b"\t" + line)
    return b"\r\n".join(lines) + b"\r\n"


def _cut_line(line: bytes) -> list[bytes]:
    """Fold a line that is too long, at a space where there is one; a word that is too long is cut.

    What would be a line of white space alone is left out.
    """
    lines: list[bytes] = []
    while len(line) > MAX_LINE_OCTETS:
        at = line.rfind(b" ", 1, MAX_LINE_OCTETS)
        if at > 0 and line[:at].strip(b" \t"):
            lines.append(line[:at])
            line = line[at:]
        else:
            lines.append(line[:MAX_LINE_OCTETS])
            line = b" " + line[MAX_LINE_OCTETS:]
    return [each for each in (*lines, line) if each.strip(b" \t")]
