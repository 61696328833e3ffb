"""The fields of a header section: cut apart, and taken as a signature counts them.

RFC 6376 §3.4.1, §5.4.2: a name that is signed several times takes its fields from the bottom up.
"""

import re
from collections.abc import Iterable, Sequence

_FIELD_END = re.compile(rb"\r\n(?![ \t])")


def split_fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """Cut a header section (without the empty line behind it) into names and whole fields.

    Names are in lower case; a line that is no field has the empty name. Fields have their CRLF.
    """
    lines = _FIELD_END.split(header)
    if lines and not lines[-1]:
        del lines[-1]
    return [(_find_name(line), line + b"\r\n") for line in lines]


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

    def take_all(self, name: bytes) -> Sequence[bytes]:
        """Take all that are left, the last one first."""
        return self._fields.pop(name, ())[::-1]


def _find_name(line: bytes) -> bytes:
    name, colon, _ = line.partition(b":")
    return name.rstrip(b" \t").lower() if colon else b""
