"""What an operation works with inside the writer's transaction, and rows added many at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

import apsw

from letterlock.storage.sqlite.connection import Value

MAX_ROWS = 64
"""In one statement."""
MAX_ODD_ROWS = 8
"""Beyond it the sizes are powers of two, so that all statements have room in the cache of prepared
ones (`connection.CACHED_STATEMENTS`): eleven sizes of some fourteen statements."""

_ADD_TOTALS = """
    UPDATE totals SET messages = messages + ?, bytes = bytes + ?, waiting = waiting + ?
"""

T = TypeVar("T")


@dataclass(slots=True)
class Totals:
    """By how much a transaction changes what waits: messages, their octets, recipients."""

    messages: int = 0
    octets: int = 0
    recipients: int = 0


@dataclass(slots=True)
class Transaction:
    """One transaction. An operation may run twice: it must not change anything else."""

    connection: apsw.Connection
    removed_files: list[str] = field(default_factory=list)
    """Body files that no row names once this is committed."""
    touched: set[str] = field(default_factory=set)
    """Destinations to say anew at the end when they are due."""
    totals: Totals = field(default_factory=Totals)
    """What `save_totals` adds at the end."""

    def save_totals(self) -> None:
        """Add what changed to the totals: one statement, however many operations."""
        changes = (self.totals.messages, self.totals.octets, self.totals.recipients)
        if any(changes):
            self.connection.execute(_ADD_TOTALS, changes)


Operation = Callable[[Transaction], T]


def execute_rows(
    connection: apsw.Connection, sql: str, rows: Sequence[Sequence[Value]], *before: Value
) -> list[tuple[Any, ...]]:
    """Execute a statement for many rows of equal length, which stand in it where {rows} does.

    `before` are the parameters left of them. Gives what it returns. Few executions do many rows:
    each lets go of the interpreter's lock and must win it back from the event loop, so that their
    number is what a change costs.
    """
    found: list[tuple[Any, ...]] = []
    start = 0
    while start < len(rows):
        count = _rows_at_once(len(rows) - start)
        chunk = rows[start : start + count]
        statement = with_marks(sql, len(chunk[0]), count)
        found += connection.execute(statement, [*before, *chain.from_iterable(chunk)])
        start += count
    return found


@lru_cache(maxsize=256)
def with_marks(sql: str, width: int, count: int) -> str:
    """Give a statement with parameters for so many rows, each of `width` values."""
    row = f"({','.join('?' * width)})"
    return sql.format(rows=",".join([row] * count))


def _rows_at_once(left: int) -> int:
    """Give how many of the rows that are left one statement is to take."""
    if left <= MAX_ODD_ROWS:
        return left
    return min(MAX_ROWS, 1 << left.bit_length() - 1)
