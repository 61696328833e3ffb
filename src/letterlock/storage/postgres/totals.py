"""How much waits, kept by those who change it.

Every transaction adds a row for what it changed, and no two wait for each other; `fold` adds them
up now and then. Their sum is right at any time.
"""

from letterlock.storage.postgres.connection import Connection

MANY_ROWS = 100
"""So many are looked through in no time; a node that rests writes nothing."""

_ADD = "INSERT INTO totals (messages, bytes, waiting) VALUES ($1, $2, $3)"
_FOLD = """
    WITH folded AS (
        DELETE FROM totals WHERE (SELECT count(*) FROM totals) > $1
        RETURNING messages, bytes, waiting)
    INSERT INTO totals (messages, bytes, waiting)
    SELECT sum(messages), sum(bytes), sum(waiting) FROM folded HAVING count(*) > 0
"""


async def add_totals(connection: Connection, messages: int, octets: int, recipients: int) -> None:
    """Add what a transaction changed: messages that wait, their octets, their recipients."""
    if messages or octets or recipients:
        await connection.execute(_ADD, messages, octets, recipients)


async def fold(connection: Connection) -> None:
    """Make one row of many. Who does so at the same time finds less, and harms nothing."""
    await connection.execute(_FOLD, MANY_ROWS)
