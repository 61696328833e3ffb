"""A node does not start on databases that a newer release changed beyond it."""

import asyncio
from pathlib import Path

import apsw
import pytest

from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.node.backing_up import Backup
from letterlock.node.schemas import require_readable_stores
from letterlock.storage.migrations import TooNewError
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.queue import SqliteQueue
from letterlock.storage.sqlite.reader import SqliteQueueReader
from tests.fakes import FakeClock


@pytest.fixture
def config(tmp_path: Path) -> Config:
    head = 'hostname = "h.example"\ndomains = ["h.example"]\ncontact = "a@h.example"\n'
    return parse_config(f'{head}data_dir = "{tmp_path}"', tmp_path / "letterlock.toml")


@pytest.fixture
def stores(config: Config) -> tuple[Path, Path]:
    """Make a shard and a node's database; gives their files."""
    clock = FakeClock()

    async def make() -> tuple[Path, Path]:
        shard = config.queue_dir / "shard-000.db"
        for store in (SqliteQueue(shard, clock), NodeDatabase(config.node_database, clock)):
            await store.open()
            await store.close()
        return shard, config.node_database

    return asyncio.run(make())


def add_migration(path: Path, readable_from: int) -> None:
    connection = apsw.Connection(str(path))
    row = "99, 'next', 'x', 0, ?"
    connection.execute(f"INSERT INTO schema_version VALUES ({row})", (readable_from,))
    connection.close()


@pytest.mark.parametrize("number", [0, 1])
def test_what_says_that_it_is_too_new_is_refused(
    config: Config, stores: tuple[Path, Path], number: int
) -> None:
    add_migration(stores[number], 99)
    with pytest.raises(TooNewError, match=rf"{stores[number]}: a newer release .* migration 99"):
        require_readable_stores(config)


def test_commands_that_read_beside_the_node_refuse_it_too(stores: tuple[Path, Path]) -> None:
    """It was told as a defect of ours: `SQLError: no such column`."""
    add_migration(stores[0], 99)
    connection = apsw.Connection(str(stores[0]))
    connection.execute("ALTER TABLE messages RENAME COLUMN sender TO who")
    connection.close()
    with SqliteQueueReader(stores[0]) as reader:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"a newer release .* migration 99"):
                reader.list_messages()


@pytest.mark.parametrize("number", [0, 1])
def test_there_is_no_backup_of_what_we_cannot_read(
    config: Config, stores: tuple[Path, Path], number: int
) -> None:
    """Which bodies belong to it is not known; one that is whole must not be replaced by it."""
    add_migration(stores[number], 99)
    folder = config.data_dir
    (folder / "letterlock.toml").touch()
    backup = Backup(config, folder / "letterlock.toml", False, FakeClock(), lambda *_: None)  # noqa: FBT003 - has_mailboxes
    with pytest.raises(StoreUnavailable, match=rf"{stores[number]}: a newer release"):
        backup.make(folder / "backup.tar")
    assert not (folder / "backup.tar").exists()


def test_what_is_newer_and_can_be_read_is_fine(config: Config, stores: tuple[Path, Path]) -> None:
    for path in stores:
        add_migration(path, 3)
    require_readable_stores(config)


def test_what_is_broken_missing_or_older_is_left_to_who_opens_it(
    config: Config, stores: tuple[Path, Path]
) -> None:
    connection = apsw.Connection(str(stores[0]))
    connection.execute("ALTER TABLE schema_version DROP COLUMN readable_from")
    connection.close()
    stores[1].write_bytes(b"no database" * 1000)
    (config.queue_dir / "shard-001.db").touch()
    require_readable_stores(config)
    stores[1].unlink()
    require_readable_stores(config)


def test_a_file_of_before_there_was_such_a_column_is_brought_forward(
    config: Config, stores: tuple[Path, Path]
) -> None:
    connection = apsw.Connection(str(stores[0]))
    connection.execute("ALTER TABLE schema_version DROP COLUMN readable_from")
    connection.close()

    async def reopen() -> None:
        store = SqliteQueue(stores[0], FakeClock())
        await store.open()
        await store.close()

    asyncio.run(reopen())
    add_migration(stores[0], 99)
    with pytest.raises(TooNewError):
        require_readable_stores(config)


def test_a_queue_that_cannot_be_read_is_not_taken_for_none(config: Config) -> None:
    config.queue_dir.parent.mkdir(exist_ok=True)
    config.queue_dir.symlink_to(config.queue_dir.name)
    with pytest.raises(LocalError, match=f"{config.queue_dir}: Too many levels"):
        require_readable_stores(config)
