"""An authority in a backup, and restored from it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from letterlock.base.config.authority import CaSection
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.node.backing_up import Backup, Made
from letterlock.node.restoring import Place, Restore, Restored, require_restorable
from letterlock.storage.backup.writing import ArchiveWriter
from letterlock.storage.ca.changes import AddAccount
from letterlock.storage.ca.kept import NONCE_SECRET
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import FakeClock
from tests.storage.authorities import KEYS, logged, make_account

BEFORE, AFTER = make_account(), make_account("account-2", KEYS[1])


@dataclass
class World:
    """Settings, the folder of their data, and an archive of it."""

    folder: Path
    ca: CaSection

    @property
    def config(self) -> Config:
        domain = Domain("example.org")
        data = self.folder / "data"
        return Config(Domain("mx.example.org"), (domain,), "a@example.org", data, ca=self.ca)

    @property
    def authority(self) -> Path:
        return self.folder / "data" / "ca"

    def back_up(self) -> Made:
        settings = self.folder / "letterlock.toml"
        settings.write_text("")
        backup = Backup(
            self.config,
            settings,
            has_mailboxes=False,
            clock=FakeClock(),
            on_progress=lambda _name, _octets: None,
        )
        return backup.make(self.folder / "backup.tar")

    def restore(self, **elsewhere: Path) -> Restored:
        place = Place(self.folder / "restored", folders=elsewhere)
        with (self.folder / "backup.tar").open("rb") as file:
            restore = Restore(
                file,
                place,
                is_held=False,
                clock=FakeClock(),
                on_progress=lambda _name, _octets: None,
            )
            return restore.run()


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, CaSection(folder=tmp_path / "data" / "ca"))
    world.authority.mkdir(parents=True)
    return world


def use(path: Path, work: Callable[[AuthorityStore], Awaitable[object]]) -> None:
    """Do something with the store in a file."""

    async def run() -> None:
        store = SqliteAuthority(path / "authority.db", FakeClock())
        await store.open()
        await work(store)
        await store.close()

    asyncio.run(run())


def test_an_authority_that_runs_is_backed_up_whole(world: World) -> None:
    (world.authority / "keys").mkdir()
    (world.authority / "keys" / "issuer.pem").write_bytes(b"an encrypted key")

    async def run(store: AuthorityStore) -> None:
        assert await store.commit([AddAccount(BEFORE)], [logged("a")])
        await store.keep_secret(NONCE_SECRET, b"first")
        await store.keep_secret("external accounts", b"first")
        made = await asyncio.to_thread(world.back_up)
        assert made.manifest.authority_schema > 0
        assert made.skipped == ()
        assert await store.commit([AddAccount(AFTER)])

    use(world.authority, run)
    restored = world.restore()
    names = {part.name for part in restored.manifest.parts if part.name.startswith("ca/")}
    assert names == {"ca/authority.db", "ca/keys/issuer.pem"}
    assert "the authority knows nothing of certificates" in restored.notes[0]
    folder = world.folder / "restored" / "ca"
    assert (folder / "keys" / "issuer.pem").read_bytes() == b"an encrypted key"

    async def look(store: AuthorityStore) -> None:
        assert await store.load_account(BEFORE.id) == BEFORE
        assert await store.load_account(AFTER.id) is None
        assert (await store.load_head()).number == 1
        # Nonces that were spent since the backup must not be good once more.
        assert await store.keep_secret(NONCE_SECRET, b"second") == b"second"
        assert await store.keep_secret("external accounts", b"second") == b"first"

    use(folder, look)
    assert [each.name for each in world.authority.iterdir() if each.name.startswith(".")] == []


def test_an_authority_goes_where_the_settings_say(world: World) -> None:
    async def run(store: AuthorityStore) -> None:
        assert await store.commit([AddAccount(BEFORE)])

    use(world.authority, run)
    world.back_up()
    elsewhere = world.folder / "elsewhere"
    world.restore(ca=elsewhere)
    assert (elsewhere / "authority.db").is_file()
    assert not (world.folder / "restored" / "ca").exists()


def test_a_node_without_an_authority_has_none_in_its_backup(world: World) -> None:
    world.authority.rmdir()
    assert world.back_up().manifest.authority_schema == 0
    restored = world.restore()
    assert not any("authority" in note for note in restored.notes)


def test_what_may_not_be_read_is_told_and_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority is another user's, and the backup is not root's."""
    key = world.authority / "issuer.pem"
    key.write_bytes(b"an encrypted key")
    add_file = ArchiveWriter.add_file

    def refuse(self: ArchiveWriter, name: str, path: Path, owner: int | None = None) -> None:
        if path == key:
            raise PermissionError(13, "Permission denied", str(path))
        add_file(self, name, path, owner)

    monkeypatch.setattr(ArchiveWriter, "add_file", refuse)
    made = world.back_up()
    assert made.skipped == (f"{key}: no permission to read it",)


def test_what_cannot_be_reached_is_no_backup_without_it(world: World) -> None:
    """Python 3.14 takes an authority's folder that we may not search for one that is not there."""
    loop = world.folder / "loop"
    loop.symlink_to(loop.name)
    world.ca = CaSection(folder=loop / "ca")
    with pytest.raises(OSError, match="Too many levels"):
        world.back_up()


def test_a_node_database_that_cannot_be_reached_is_not_left_out(world: World) -> None:
    world.config.node_database.symlink_to(world.config.node_database.name)
    with pytest.raises(StoreUnavailable, match=world.config.node_database.name):
        world.back_up()


def test_a_database_in_postgresql_is_told_to_be_elsewhere(world: World) -> None:
    assert world.back_up().notes == ()
    world.ca = CaSection(folder=world.authority, database=QueueEngine.POSTGRES)
    made = world.back_up()
    assert made.skipped == ()
    assert "pg_dump --schema=letterlock_authority" in made.notes[0]


def test_a_damaged_database_is_no_backup(world: World) -> None:
    (world.authority / "authority.db").write_bytes(b"something else than a database" * 100)
    with pytest.raises(StoreUnavailable, match=r"authority\.db"):
        world.back_up()


def test_a_database_of_a_later_release_is_not_restored(world: World) -> None:
    manifest = world.back_up().manifest
    require_restorable(manifest, Place(world.folder))
    with pytest.raises(LocalError, match="newer than what this one"):
        require_restorable(replace(manifest, authority_schema=999), Place(world.folder))
