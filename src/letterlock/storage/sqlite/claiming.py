"""Claiming what is due, without looking at what is not: index ranges only.

Destinations are taken in the order of `next_due`, one delivery of each in turn. One that is
saturated costs one row, however much waits there.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import apsw
import msgspec
from msgspec import Struct

from letterlock.protocols.smtp.envelope import BodyType, Recipient, Ret, TlsDemand
from letterlock.storage.queue import Claim, ClaimedRecipient, QueueId
from letterlock.storage.records import from_micros, parse_notify, to_micros
from letterlock.storage.schedule import ClaimOrder
from letterlock.storage.sqlite.connection import fetch_rows
from letterlock.storage.sqlite.due import end_leases, forget_turns, serve_destination
from letterlock.storage.sqlite.transaction import Transaction, execute_rows

_FIND_DESTINATIONS = """
    SELECT destination FROM destinations
    WHERE next_due {range} AND destination NOT IN (SELECT value FROM json_each(?))
    ORDER BY next_due LIMIT ?
"""
_FIND_DELIVERIES = """
    SELECT message_id FROM deliveries INDEXED BY deliveries_due
    WHERE destination = ? AND due {range} ORDER BY due LIMIT ?
"""
FIND_CLAIMED = """
    WITH moment (now, horizon) AS (VALUES (?, ?)),
        picked (place, message_id, destination) AS (VALUES {rows})
    SELECT place, queue_id, sender, body_type, smtputf8, ret, envid, size, received, expires,
        tls_demand, number, address, notify, orcpt, attempts, is_delay_notified, last_reply
    FROM moment CROSS JOIN picked CROSS JOIN messages USING (message_id)
    CROSS JOIN recipients USING (message_id, destination)
    WHERE hold IS NULL AND state = 'queued' AND (next_attempt <= now OR next_attempt > horizon)
    ORDER BY place, number
"""
LEASE = """
    UPDATE deliveries SET lease = ?, due = ? WHERE (message_id, destination) IN (VALUES {rows})
"""


class ClaimDue(Struct, frozen=True):
    """The operation that claims; the writer need not sync it: a crash ends all leases anyway."""

    order: ClaimOrder

    def __call__(self, transaction: Transaction) -> list[Claim]:
        return claim_due(transaction.connection, self.order)


def claim_due(connection: apsw.Connection, order: ClaimOrder) -> list[Claim]:
    """Lease what is due, and give it."""
    if order.is_clock_set_back:
        forget_turns(connection, to_micros(order.now))
    destinations = _find_destinations(connection, order)
    picks = list(_pick(connection, order, destinations))
    found = _read_claims(connection, order, picks)
    taken = [pick for place, pick in enumerate(picks) if place in found]
    execute_rows(connection, LEASE, taken, order.lease, to_micros(order.lease_until))
    # The lease of these ran out: meanwhile they were held, or a clock was wrong.
    rest = [pick for place, pick in enumerate(picks) if place not in found]
    end_leases(connection, rest)
    for destination in destinations:
        serve_destination(connection, destination, to_micros(order.now))
    return list(found.values())


def _find_destinations(connection: apsw.Connection, order: ClaimOrder) -> list[str]:
    saturated = msgspec.json.encode(list(order.saturated)).decode()
    found: list[str] = []
    for sign, moment in (("<=", order.now), (">", order.horizon)):
        sql = _FIND_DESTINATIONS.format(range=f"{sign} ?")
        parameters = (to_micros(moment), saturated, order.limit - len(found))
        found += (destination for (destination,) in fetch_rows(connection, sql, parameters))
    return found


def _pick(
    connection: apsw.Connection, order: ClaimOrder, destinations: list[str]
) -> Iterator[tuple[int, str]]:
    """Give deliveries, one of each destination in turn, at most `limit`."""
    left = order.limit
    turns = [(_deliveries(connection, order, each), each) for each in destinations]
    while turns and left:
        following = []
        for deliveries, destination in turns[:left]:
            message_id = next(deliveries, None)
            if message_id is not None:
                yield message_id, destination
                left -= 1
                following.append((deliveries, destination))
        turns = following


def _deliveries(connection: apsw.Connection, order: ClaimOrder, destination: str) -> Iterator[int]:
    # Read row by row as turns come: nothing is changed before all are picked.
    for sign, moment in (("<=", order.now), (">", order.horizon)):
        sql = _FIND_DELIVERIES.format(range=f"{sign} ?")
        rows: Iterator[tuple[Any, ...]] = connection.execute(
            sql, (destination, to_micros(moment), order.limit)
        )
        for (message_id,) in rows:
            yield message_id


def _read_claims(
    connection: apsw.Connection, order: ClaimOrder, picks: Sequence[tuple[int, str]]
) -> dict[int, Claim]:
    """Give claims by their place in `picks`.

    None for a message that is held, or of which no recipient is due there.
    """
    moments = (to_micros(order.now), to_micros(order.horizon))
    asked = [(place, *pick) for place, pick in enumerate(picks)]
    rows = execute_rows(connection, FIND_CLAIMED, asked, *moments)
    return {
        place: _claim(order, picks[place][1], [row[1:] for row in found])
        for place, found in groupby(rows, key=itemgetter(0))
    }


def _claim(order: ClaimOrder, destination: str, rows: Sequence[tuple[Any, ...]]) -> Claim:
    queue_id, sender, body_type, smtputf8, ret, envid, size, received, expires, demand = rows[0][
        :10
    ]
    return Claim(
        queue_id=QueueId(queue_id),
        destination=destination,
        lease=order.lease,
        lease_until=order.lease_until,
        sender=sender,
        recipients=tuple(_recipient(row[10:]) for row in rows),
        body_type=BodyType(body_type),
        smtputf8=bool(smtputf8),
        ret=Ret(ret) if ret else None,
        envid=envid,
        size=size,
        received=from_micros(received),
        expires=from_micros(expires),
        tls_demand=TlsDemand(demand),
    )


def _recipient(row: Sequence[Any]) -> ClaimedRecipient:
    number, address, notify, orcpt, attempts, is_delay_notified, last_reply = row
    return ClaimedRecipient(
        number=number,
        recipient=Recipient(address, parse_notify(notify), orcpt),
        attempts=attempts,
        is_delay_notified=bool(is_delay_notified),
        last_reply=last_reply,
    )
