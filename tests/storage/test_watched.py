"""What was seen of certificates in use: one suite on both engines."""

from dataclasses import replace
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage.certificates import CertificateId
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.watched import read_found
from letterlock.storage.watched import Look, Watched, WatchFinding
from tests.fakes import START
from tests.storage.node_stores import DAY, MINUTE, NAME, NodeStores, sqlite_node

RSA = CertificateId(NAME.name, KeyType.RSA)
CAA = WatchFinding(Look.CAA, START, "")
SEEN = Watched("one", NAME, 3, START, START + DAY)


async def test_what_a_node_saw_takes_the_place_of_what_it_saw_before(node: NodeStores) -> None:
    await node.watched.note(replace(SEEN, findings=(replace(CAA, reason="forbidden"),)))
    (found,) = await node.watched.list_watched("one")
    assert found.findings == (WatchFinding(Look.CAA, START, "forbidden"),)
    later = replace(SEEN, version=4, looked=START + DAY, again=START + 2 * DAY)
    await node.watched.note(later)
    assert await node.watched.list_watched("one") == [later]
    assert await node.watched.list_watched("two") == []


async def test_a_page_begins_behind_the_one_before(node: NodeStores) -> None:
    rows = [replace(SEEN, id=which) for which in sorted((NAME, RSA))]
    for row in reversed(rows):
        await node.watched.note(row)
    assert await node.watched.list_watched("one") == rows
    assert await node.watched.list_watched("one", limit=1) == rows[:1]
    assert await node.watched.list_watched("one", after=rows[0].id) == rows[1:]


async def test_what_any_node_found_is_listed(node: NodeStores) -> None:
    finding = replace(CAA, reason="forbidden")
    rows = [
        replace(SEEN, findings=(finding,)),
        replace(SEEN, node="two", findings=(finding, replace(finding, look=Look.SERVED))),
    ]
    await node.watched.note(replace(SEEN, id=RSA))
    for row in rows:
        await node.watched.note(row)
    assert await node.watched.list_found() == rows
    assert await node.watched.list_found(limit=1) == rows[:1]


async def test_what_each_node_saw_of_one_is_listed(node: NodeStores) -> None:
    rows = [SEEN, replace(SEEN, node="two", findings=(replace(CAA, reason="forbidden"),))]
    for row in (*rows, replace(SEEN, id=RSA)):
        await node.watched.note(row)
    assert await node.watched.list_watched_of(NAME) == rows


async def test_words_of_a_peer_can_be_kept(node: NodeStores) -> None:
    await node.watched.note(replace(SEEN, findings=(replace(CAA, reason="a\0b \u2028 \xfc"),)))
    (found,) = await node.watched.list_found()
    assert found.findings[0].reason.endswith("\u2028 \xfc")


async def test_what_nobody_looks_at_any_more_goes(node: NodeStores) -> None:
    await node.watched.note(SEEN)
    await node.watched.note(replace(SEEN, id=RSA, looked=START + DAY))
    assert await node.watched.prune(START) == 0
    assert await node.watched.prune(START + MINUTE) == 1
    assert [each.id for each in await node.watched.list_watched("one")] == [RSA]


async def test_it_is_read_beside_a_running_node(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    assert await read_found(path) == []
    path.touch()
    assert await read_found(path) == []
    node = sqlite_node(path, SystemClock())
    await node.certificates.open()
    row = replace(SEEN, findings=(replace(CAA, reason="forbidden"),))
    await node.watched.note(row)
    assert await read_found(path) == [row]
    await node.certificates.close()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable, match=r"node\.sqlite"):
        await read_found(path)
