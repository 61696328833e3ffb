"""Scripts followed on a connection to PostgreSQL."""

from functools import lru_cache
from typing import TypeVar

from letterlock.storage.ca.scripts.script import Refused, Script
from letterlock.storage.postgres.connection import Connection, is_duplicate

T = TypeVar("T")

_WORDS = {
    "{each}": "json_array_elements_text(CAST(? AS json)) AS each (value)",
    "{skip_locked}": "FOR UPDATE SKIP LOCKED",
}


async def follow(connection: Connection, script: Script[T]) -> T:
    """Do what a script asks, within a transaction where it changes something.

    Raises Refused, also for a key that is taken, and what the connection raises.
    """
    try:
        sql, values = next(script)
        while True:
            rows = await connection.fetch(_translate(sql), *values)
            sql, values = script.send([tuple(row) for row in rows])
    except StopIteration as end:
        result: T = end.value
        return result
    except Exception as error:
        if is_duplicate(error):
            raise Refused from error
        raise


@lru_cache(maxsize=256)
def _translate(sql: str) -> str:
    for word, meaning in _WORDS.items():
        sql = sql.replace(word, meaning)
    first, *rest = sql.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))
