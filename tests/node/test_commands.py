"""What the control socket can ask of a worker."""

from pathlib import Path
from typing import Any

import pytest

from letterlock.node.commands import Commands
from letterlock.storage.queue import RecipientState, StoreUnavailable
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeClock
from tests.storage.messages import Mail


class Owned:
    """A store that a worker owns, and how often it was woken."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.woken = 0
        self.forgotten = 0

    def forget_unreachable(self) -> None:
        self.forgotten += 1

    def wake(self) -> None:
        self.woken += 1


class Stores:
    def __init__(self, *owned: Owned) -> None:
        self._owned = list(owned)

    def all(self) -> list[Owned]:
        return self._owned

    async def adopt_left(self) -> None: ...

    def require_open(self) -> None:
        if not self._owned:
            raise StoreUnavailable("no database")


class Broken:
    async def retry(self, *_: object) -> int:
        raise StoreUnavailable("disk I/O error")


async def status() -> dict[str, Any]:
    return {"problems": []}


def commands_for(*owned: Owned) -> Any:
    stores: Any = Stores(*owned)
    return Commands(stores, FakeClock(), status).by_name()


async def test_changes_are_made_in_every_store_and_its_deliveries_woken(tmp_path: Path) -> None:
    clock = FakeClock()
    mails = []
    for name in ("a.db", "b.db"):
        store = SqliteQueue(tmp_path / name, clock)
        await store.open()
        mails.append(Mail(store, clock))
    owned = [Owned(mail.store) for mail in mails]
    commands = commands_for(*owned)
    ids = [await mail.save() for mail in mails]
    assert await commands["queue.hold"]({"ids": ids, "reason": "why"}) == {"changed": 2}
    assert [(await m.find(i)).hold for m, i in zip(mails, ids, strict=True)] == ["why", "why"]
    assert await commands["queue.release"]({"ids": ids[:1]}) == {"changed": 1}
    assert await commands["queue.hold"]({"ids": ids[:1]}) == {"changed": 1}
    assert (await mails[0].find(ids[0])).hold == "held by the operator"
    assert await commands["queue.release"]({}) == {"changed": 2}
    assert await commands["queue.retry"]({"ids": None}) == {"changed": 2}
    assert await commands["queue.delete"]({"ids": ids[1:]}) == {"changed": 1}
    assert await mails[1].states(ids[1]) == [RecipientState.DELETED]
    assert await commands["queue.wake"]({}) == {}
    assert [each.woken for each in owned] == [7, 7]
    assert [each.forgotten for each in owned] == [2, 2]
    assert await commands["status"]({}) == {"problems": []}
    for mail in mails:
        await mail.store.close()


async def test_nothing_is_changed_before_the_store_could_be_opened() -> None:
    """Else 0 changed would mean that there is nothing to change."""
    with pytest.raises(ValueError, match="cannot be changed now: no database"):
        await commands_for()["queue.retry"]({})


@pytest.mark.parametrize("ids", ["all", 1, ["nonsense"], [None], [{}]])
async def test_ids_are_ids(ids: object) -> None:
    with pytest.raises(ValueError, match="ids must be a list of queue ids"):
        await commands_for()["queue.delete"]({"ids": ids})


async def test_a_store_that_cannot_be_changed_is_an_answer() -> None:
    """The one who asked is told; the control socket goes on."""
    with pytest.raises(ValueError, match="the queue cannot be changed now: disk I/O error"):
        await commands_for(Owned(Broken()))["queue.retry"]({})


async def test_reports_that_are_due_are_sent_when_it_is_asked_for() -> None:
    woken: list[bool] = []
    stores: Any = Stores()
    commands = Commands(stores, FakeClock(), status, lambda: woken.append(True)).by_name()
    assert await commands["reports.wake"]({}) == {}
    assert woken == [True]
