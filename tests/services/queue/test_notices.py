"""Notifications, ready for the queue: what was tried, what goes back, and our signature."""

from collections.abc import AsyncGenerator
from datetime import timedelta

from letterlock.protocols.smtp.dsn_report import Tried
from letterlock.services.queue.notices import gather_returned, gather_tried
from letterlock.storage.queue import AttemptRecord, BodyGone
from tests.network.certificates import NOW

RELAY = "mx.example.com[192.0.2.1]:25"


def attempt(minutes: int, summary: str, *numbers: int, relay: str = RELAY) -> AttemptRecord:
    started = NOW + timedelta(minutes=minutes)
    return AttemptRecord(started, timedelta(), relay, summary, {}, numbers)


def test_what_came_to_the_same_stands_once() -> None:
    tried = gather_tried(
        [
            attempt(0, "timed out", 0, 1),
            attempt(5, "timed out", 0),
            attempt(9, "refused", 0),
            attempt(7, "timed out", 1),
            attempt(20, "timed out", 0, relay="none"),
        ],
        [0],
    )
    assert tried == (
        Tried(RELAY, "timed out", NOW, NOW + timedelta(minutes=5), 2),
        Tried(RELAY, "refused", NOW + timedelta(minutes=9), NOW + timedelta(minutes=9)),
        Tried("none", "timed out", NOW + timedelta(minutes=20), NOW + timedelta(minutes=20)),
    )


async def pieces(*octets: bytes, is_gone: bool = False) -> AsyncGenerator[bytes, None]:
    for each in octets:
        yield each
    if is_gone:
        raise BodyGone


async def test_a_message_that_is_gone_leaves_what_was_read_of_its_header() -> None:
    assert await gather_returned(pieces(b"A: b\r\n\r\n", b"c\r\n"), is_whole=True) == (
        b"A: b\r\n",
        b"A: b\r\n\r\nc\r\n",
    )
    assert await gather_returned(pieces(is_gone=True), is_whole=True) == (b"", None)
    header, content = await gather_returned(pieces(b"A: b\r\n\r\n", b"c"), is_whole=False)
    assert (header, content) == (b"A: b\r\n", None)
