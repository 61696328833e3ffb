"""Bodies kept in memory: bounded, and gone when they are forgotten."""

from datetime import UTC, datetime

from msgspec.structs import replace

from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.storage.bodies import FileBody, MemoryBody
from letterlock.storage.queue import Body, NewMessage, QueueId
from letterlock.storage.sqlite.recent import RecentBodies

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MESSAGE = NewMessage(
    queue_id=QueueId("A"),
    envelope=Envelope("a@example.org", (Recipient("b@example.com"),)),
    destinations=("example.com",),
    body=MemoryBody(b""),
    received=NOW,
    expires=NOW,
    origin={},
)


def message(name: str, body: Body) -> NewMessage:
    return replace(MESSAGE, queue_id=QueueId(name), body=body)


def test_the_oldest_are_forgotten_when_there_are_too_many_octets() -> None:
    recent = RecentBodies(max_octets=10)
    for name in "ABC":
        recent.keep(message(name, MemoryBody(4 * name.encode())))
    assert [recent.find(QueueId(name)) for name in "ABC"] == [None, b"BBBB", b"CCCC"]


def test_what_is_forgotten_makes_room() -> None:
    recent = RecentBodies(max_octets=10)
    for name in "ABCD":
        recent.keep(message(name, MemoryBody(5 * name.encode())))
        recent.forget(QueueId("B"))
    assert [recent.find(QueueId(name)) for name in "ABCD"] == [None, None, b"CCCCC", b"DDDDD"]


def test_bodies_in_files_and_those_that_are_too_long_are_not_kept() -> None:
    recent = RecentBodies(max_octets=10)
    recent.keep(message("A", MemoryBody(b"abc")))
    recent.keep(message("B", MemoryBody(11 * b"x")))
    recent.keep(message("C", FileBody("name", 3)))
    assert [recent.find(QueueId(name)) for name in "ABC"] == [b"abc", None, None]


def test_clear_forgets_all() -> None:
    recent = RecentBodies(max_octets=10)
    recent.keep(message("A", MemoryBody(b"abc")))
    recent.clear()
    assert recent.find(QueueId("A")) is None
    recent.keep(message("B", MemoryBody(10 * b"x")))
    assert recent.find(QueueId("B")) == 10 * b"x"
