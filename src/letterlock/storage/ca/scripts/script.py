"""Scripts: what a transaction asks, one statement after the other, without saying how it is asked.

A script is a generator. It yields a statement with its values and is sent the rows, in a list. So
one text of SQL and one order of steps is what both engines do: `storage.sqlite.ca` sends the rows
at once, `storage.postgres.ca` when they came. Values stand where `?` does. What an engine writes in
its own way are words in braces: `{each}` is a table whose column `value` has the texts of a JSON
array, which is the value there; `{skip_locked}` leaves out rows that another transaction changes.
"""

from collections.abc import Generator, Iterable
from typing import Any, TypeVar

import msgspec

_encode = msgspec.json.Encoder().encode

Value = str | int | bytes | None
Row = tuple[Any, ...]
Statement = tuple[str, tuple[Value, ...]]

T = TypeVar("T")
Script = Generator[Statement, list[Row], T]


class Refused(Exception):  # noqa: N818 - an answer, and no error
    """What is kept is not what a change expects. Engines say so for keys that are taken, too."""


def array(texts: Iterable[str]) -> str:
    """Give the value for `{each}`."""
    return _encode([*texts]).decode()


def require(found: object) -> None:
    """Refuse where nothing was found or changed."""
    if not found:
        raise Refused
