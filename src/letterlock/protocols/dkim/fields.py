"""The fields of a header section: cut apart, and taken as a signature counts them.

RFC 6376 §3.4.1, §5.4.2: a name that is signed several times takes its fields from the bottom up.
"""

import re
from collections.abc import Iterable

_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_AUTHOR = re.compile(rb"\r\nfrom[ \t]*:")


def split_fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """Cut a header section (without the empty line behind it) into names and whole fields.

    Names are in lower case; a line that is no field has the empty name. Fields have their CRLF.
    """
    lines = _FIELD_END.split(header)
    if lines and not lines[-1]:
        del lines[-1]
    return [(_find_name(line), line + b"\r\n") for line in lines]


def find_authors(header: bytes) -> list[bytes]:
    """Give the values of all From fields, without cutting the whole header section apart."""
    values = []
    # What begins with fixed octets is found ten times as fast, hence in lower case.
    for found in _AUTHOR.finditer(b"\r\n" + header.lower()):
        start = found.end() - 2
        end = _FIELD_END.search(header, start)
        values.append(header[start : end.start() if end is not None else len(header)])
    return values


class FieldStack:
    """Fields by name, the last one on top."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self._fields: dict[bytes, list[bytes]] = {}
        for name, field in fields:
            self._fields.setdefault(name, []).append(field)

    def take(self, name: bytes) -> bytes:
        """Take the last one that is left; nothing where there is none (RFC 6376 §5.4).

        The name is in lower case.
        """
        fields = self._fields.get(name)
        return fields.pop() if fields else b""


def _find_name(line: bytes) -> bytes:
    name, colon, _ = line.partition(b":")
    return name.rstrip(b" \t").lower() if colon else b""
