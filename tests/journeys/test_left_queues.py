"""Mail in queues whose workers are gone: who changes the queue changes all of it."""

import asyncio
from pathlib import Path

from letterlock.base.clock import SystemClock
from letterlock.base.config.load import load_config
from letterlock.network.control_client import ask_all
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeClock
from tests.journeys.running_node import PATIENCE, NodeFiles, running
from tests.storage.messages import Mail

LEFT = 5


async def leave_mail(folder: Path) -> None:
    """Leave a message in each of several queues, to be tried again much later."""
    clock = SystemClock()
    for number in range(LEFT):
        store = SqliteQueue(folder / f"shard-{number:03}.db", clock)
        await store.open()
        await Mail(store, FakeClock(clock.now())).save()
        await store.close()


def test_a_change_right_after_the_start_is_of_all_that_waits(tmp_path: Path) -> None:
    """One worker, five queues: it adopts them all first, and not one in ten seconds."""
    files = NodeFiles(tmp_path)
    files.change("deliver", routes={"example.org": "[127.0.0.9]:9", "example.net": "[127.0.0.9]:9"})
    folder = files.data / "queue"
    folder.mkdir(mode=0o700, parents=True)
    asyncio.run(leave_mail(folder))
    with running(files):
        socket = load_config(files.config).node.control_socket
        # Not by the command, which itself changes what nobody owns, unless that ends meanwhile.
        (answer,) = ask_all(socket, "queue.hold", {"ids": None}, PATIENCE).answers
        assert answer == {"changed": LEFT}
