"""When things are due: keeps `deliveries` and `destinations` true to what recipients wait for.

The same rules as in `storage.sqlite.due`, for many writers: a destination's row is locked before
its deliveries are looked at, in a statement of its own, so that none committed meanwhile is missed.
"""

from collections.abc import Collection, Sequence

from letterlock.storage.postgres.connection import Connection

_ADD_DELIVERIES = """
    INSERT INTO deliveries (message_id, destination, due)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])
"""
_ADVANCE = """
    INSERT INTO destinations AS known (destination, next_due)
    SELECT * FROM unnest($1::text[], $2::bigint[]) AS new (destination, due) ORDER BY destination
    ON CONFLICT (destination) DO UPDATE SET next_due = greatest(excluded.next_due, known.served)
    WHERE excluded.next_due IS NOT NULL AND (
        known.next_due IS NULL OR greatest(excluded.next_due, known.served) < known.next_due)
"""
_LOCK = """
    SELECT destination FROM destinations WHERE destination = ANY ($1::text[])
    ORDER BY destination FOR UPDATE
"""
_REFRESH = """
    UPDATE destinations SET served = coalesce($2, served), next_due = (
        SELECT greatest(due, coalesce($2, destinations.served)) FROM deliveries
        WHERE deliveries.destination = destinations.destination AND due IS NOT NULL
        ORDER BY due LIMIT 1)
    WHERE destination = ANY ($1::text[])
"""
_FORGET_TURNS = """
    UPDATE destinations SET served = 0, next_due = (
        SELECT due FROM deliveries
        WHERE deliveries.destination = destinations.destination AND due IS NOT NULL
        ORDER BY due LIMIT 1)
    WHERE served > $1
"""
_ENDED = "unnest($1::bigint[], $2::text[]) AS ended (message_id, destination)"
_HOLD_REST = f"""
    UPDATE recipients SET state = 'held', next_attempt = NULL
    FROM {_ENDED} JOIN messages USING (message_id)
    WHERE recipients.message_id = ended.message_id
        AND recipients.destination = ended.destination
        AND recipients.state = 'queued' AND messages.hold IS NOT NULL
"""  # noqa: S608 - put together from constants
_SET_DUE = f"""
    UPDATE deliveries SET lease = NULL, due = (
        SELECT min(next_attempt) FROM recipients
        WHERE recipients.message_id = deliveries.message_id
            AND recipients.destination = deliveries.destination AND state = 'queued')
    FROM {_ENDED}
    WHERE deliveries.message_id = ended.message_id
        AND deliveries.destination = ended.destination
"""  # noqa: S608 - put together from constants
_REMOVE_DONE = f"""
    DELETE FROM deliveries USING {_ENDED}
    WHERE deliveries.message_id = ended.message_id
        AND deliveries.destination = ended.destination
        AND NOT EXISTS (
            SELECT 1 FROM recipients WHERE recipients.message_id = ended.message_id
                AND recipients.destination = ended.destination AND state IN ('queued', 'held'))
"""  # noqa: S608 - put together from constants


async def add_deliveries(
    connection: Connection, deliveries: Sequence[tuple[int, str, int | None]]
) -> None:
    """Add messages at destinations, each with when it is due; None: it is held."""
    columns = [list(column) for column in zip(*deliveries, strict=True)]
    await connection.execute(_ADD_DELIVERIES, *columns)
    first: dict[str, int | None] = {}
    for _, destination, due in deliveries:
        before = first.get(destination)
        first[destination] = before if due is None or (before or due) < due else due
    await connection.execute(_ADVANCE, list(first), list(first.values()))


async def end_leases(connection: Connection, ended: Collection[tuple[int, str]]) -> None:
    """Make deliveries due when their first recipient is; remove those where none waits any more.

    Of a message that was held while it was claimed, the recipients are held from now on.
    """
    if ended:
        columns = [list(column) for column in zip(*ended, strict=True)]
        for statement in (_HOLD_REST, _SET_DUE, _REMOVE_DONE):
            await connection.execute(statement, *columns)


async def refresh_destinations(
    connection: Connection, destinations: Collection[str], served: int | None = None
) -> None:
    """Say anew when destinations are due; with `served`, they go behind the others."""
    if destinations:
        names = sorted(set(destinations))
        await connection.execute(_LOCK, names)
        await connection.execute(_REFRESH, names, served)


async def forget_turns(connection: Connection, now: int) -> None:
    """Forget claims made in what is the future now: the clock was set back."""
    await connection.execute(_FORGET_TURNS, now)
