"""Claiming what is due, beside other nodes that do the same: what one has locked, others skip."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any

from letterlock.protocols.smtp.envelope import BodyType, Recipient, Ret, TlsDemand
from letterlock.storage.postgres.connection import Connection
from letterlock.storage.postgres.due import end_leases, forget_turns, refresh_destinations
from letterlock.storage.queue import Claim, ClaimedRecipient, QueueId
from letterlock.storage.records import from_micros, parse_notify, to_micros
from letterlock.storage.schedule import ClaimOrder

_FIND_DESTINATIONS = """
    SELECT destination FROM destinations
    WHERE next_due > $1 AND next_due <= $2 AND destination <> ALL ($3::text[])
    ORDER BY next_due, destination LIMIT $4
"""
_LEASE = """
    WITH picked AS (
        SELECT found.message_id, found.destination, found.due
        FROM unnest($1::text[]) AS turn (destination),
            LATERAL (
                SELECT message_id, destination, due FROM deliveries
                WHERE deliveries.destination = turn.destination AND due > $2 AND due <= $3
                ORDER BY due LIMIT $4 FOR UPDATE SKIP LOCKED
            ) AS found
    )
    UPDATE deliveries SET lease = $5, due = $6 FROM picked
    WHERE deliveries.message_id = picked.message_id
        AND deliveries.destination = picked.destination
    RETURNING picked.message_id, picked.destination, picked.due
"""
_FIND_MESSAGES = """
    SELECT message_id, queue_id, sender, body_type, smtputf8, ret, envid, size, received, expires,
        hold, tls_demand
    FROM messages WHERE message_id = ANY ($1::bigint[])
"""
_FIND_RECIPIENTS = """
    SELECT message_id, destination, number, address, notify, orcpt, attempts, is_delay_notified,
        last_reply
    FROM recipients JOIN unnest($1::bigint[], $2::text[]) AS picked (message_id, destination)
        USING (message_id, destination)
    WHERE state = 'queued' AND (next_attempt <= $3 OR next_attempt > $4)
    ORDER BY number
"""
_EARLIEST = -(2**63)
_LATEST = 2**63 - 1

_Pick = tuple[int, str]


async def claim_due(connection: Connection, order: ClaimOrder) -> list[Claim]:
    """Lease what is due, and give it."""
    now, horizon = to_micros(order.now), to_micros(order.horizon)
    if order.is_clock_set_back:
        await forget_turns(connection, now)
    picks: list[_Pick] = []
    visited: list[str] = []
    for after, until in ((_EARLIEST, now), (horizon, _LATEST)):
        left = order.limit - len(picks)
        rows = await connection.fetch(_FIND_DESTINATIONS, after, until, list(order.saturated), left)
        visited += (row[0] for row in rows if row[0] not in visited)
        picks += await _lease(connection, order, visited, (after, until), left)
    claims = await _read_claims(connection, order, picks)
    taken = {(message_id, claim.destination) for message_id, claim in claims}
    # The rest was held while its lease ran, or a clock was wrong.
    await end_leases(connection, [pick for pick in picks if pick not in taken])
    await refresh_destinations(connection, visited, served=now)
    return [claim for _, claim in claims]


async def _lease(
    connection: Connection,
    order: ClaimOrder,
    destinations: Sequence[str],
    due: tuple[int, int],
    left: int,
) -> list[_Pick]:
    """Lease at most `left`, one of each destination in turn."""
    picks: list[_Pick] = []
    until = to_micros(order.lease_until)
    while destinations and len(picks) < left:
        share = max(1, (left - len(picks)) // len(destinations))
        turn = destinations[: left - len(picks)]
        rows = await connection.fetch(_LEASE, turn, *due, share, order.lease, until)
        found: defaultdict[str, list[Any]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: (row["due"], row["message_id"])):
            found[row["destination"]].append((row["message_id"], row["destination"]))
        rounds = zip_longest(*(found[each] for each in turn if each in found))
        picks += (pick for picked in rounds for pick in picked if pick is not None)
        # The others have no more; what was leased just now is due when the lease ends.
        destinations = [each for each in turn if len(found[each]) == share]
    return picks


async def _read_claims(
    connection: Connection, order: ClaimOrder, picks: Sequence[_Pick]
) -> list[tuple[int, Claim]]:
    numbers = [message_id for message_id, _ in picks]
    names = [destination for _, destination in picks]
    messages = {row["message_id"]: row for row in await connection.fetch(_FIND_MESSAGES, numbers)}
    recipients: defaultdict[_Pick, list[ClaimedRecipient]] = defaultdict(list)
    moments = (to_micros(order.now), to_micros(order.horizon))
    for row in await connection.fetch(_FIND_RECIPIENTS, numbers, names, *moments):
        recipients[row["message_id"], row["destination"]].append(_recipient(row))
    return [
        (message_id, _claim(order, messages[message_id], destination, found))
        for message_id, destination in picks
        if (found := recipients[message_id, destination]) and messages[message_id]["hold"] is None
    ]


def _claim(
    order: ClaimOrder, row: Any, destination: str, recipients: list[ClaimedRecipient]
) -> Claim:
    received: datetime = from_micros(row["received"])
    return Claim(
        queue_id=QueueId(row["queue_id"]),
        destination=destination,
        lease=order.lease,
        lease_until=order.lease_until,
        sender=row["sender"],
        recipients=tuple(recipients),
        body_type=BodyType(row["body_type"]),
        smtputf8=row["smtputf8"],
        ret=Ret(row["ret"]) if row["ret"] else None,
        envid=row["envid"],
        size=row["size"],
        received=received,
        expires=from_micros(row["expires"]),
        tls_demand=TlsDemand(row["tls_demand"]),
    )


def _recipient(row: Any) -> ClaimedRecipient:
    return ClaimedRecipient(
        number=row["number"],
        recipient=Recipient(row["address"], parse_notify(row["notify"]), row["orcpt"]),
        attempts=row["attempts"],
        is_delay_notified=row["is_delay_notified"],
        last_reply=row["last_reply"],
    )
