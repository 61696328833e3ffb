"""Scripts followed on a SQLite connection."""

from functools import lru_cache
from typing import TypeVar

import apsw

from letterlock.storage.ca.scripts.script import Refused, Script

T = TypeVar("T")


def follow(connection: apsw.Connection, script: Script[T]) -> T:
    """Do what a script asks. Raises Refused, also for a key that is taken, and apsw.Error."""
    try:
        sql, values = next(script)
        while True:
            sql, values = script.send(connection.execute(_translate(sql), values).fetchall())
    except StopIteration as end:
        result: T = end.value
        return result
    except apsw.ConstraintError as error:
        # Of keys of all kinds, the primary one too; apsw's types don't know of its number.
        if str(error).startswith("UNIQUE constraint"):
            raise Refused from error
        raise


@lru_cache(maxsize=256)
def _translate(sql: str) -> str:
    return sql.replace("{each}", "json_each(?)").replace("{skip_locked}", "")
