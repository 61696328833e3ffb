"""Which files the settings name: those of a backup."""

import os
from pathlib import Path

import pytest

from letterlock.base.config.bounce import BounceSection
from letterlock.base.config.maps import MapsSection
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.node.backing_up import Backup
from letterlock.node.named_files import list_named_files
from tests.fakes import FakeClock


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    settings = tmp_path / "letterlock.toml"
    settings.write_text("")
    return settings


def configure(folder: Path, table: Path) -> Config:
    maps = MapsSection(aliases=table)
    domain = Domain("example.org")
    data = folder / "data"
    data.mkdir()
    return Config(Domain("mx.example.org"), (domain,), "a@example.org", data, maps=maps)


def test_what_is_not_there_or_no_file_is_not_among_them(tmp_path: Path, settings: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    for name in ("loop", "folder", "nothing", "letterlock.toml/below"):
        config = Config(
            Domain("mx.example.org"), (), "a@example.org", tmp_path,
            maps=MapsSection(aliases=tmp_path / name),
        )  # fmt: skip
        assert list_named_files(config, settings) == [settings]


def test_the_texts_for_bounces_are_among_them(tmp_path: Path, settings: Path) -> None:
    """The setting names their folder: a backup without them gave senders other words."""
    folder = tmp_path / "bounce"
    folder.mkdir()
    for name in ("failed.txt", "causes.txt", "failed.txt~"):
        (folder / name).write_text("")
    config = Config(
        Domain("mx.example.org"), (), "a@example.org", tmp_path,
        bounce=BounceSection(templates=folder),
    )  # fmt: skip
    assert list_named_files(config, settings) == [
        settings, folder / "failed.txt", folder / "causes.txt",
    ]  # fmt: skip


def test_what_we_may_not_reach_is_told_and_left_out(
    tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in a folder that is another user's: the backup has the rest, and says so."""
    table = tmp_path / "aliases"
    table.write_text("root: a@example.org\n")
    config = configure(tmp_path, table)
    stat = os.stat

    def refuse(path: Path) -> None:
        if path == table:
            raise PermissionError(13, "Permission denied", str(path))

    def refuse_stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        refuse(path)
        return stat(path, follow_symlinks=follow_symlinks)

    def refuse_lstat(path: Path) -> os.stat_result:
        refuse(path)
        return stat(path, follow_symlinks=False)

    monkeypatch.setattr(Path, "stat", refuse_stat)
    monkeypatch.setattr(Path, "lstat", refuse_lstat)
    backup = Backup(
        config,
        settings,
        has_mailboxes=False,
        clock=FakeClock(),
        on_progress=lambda _name, _octets: None,
    )
    made = backup.make(tmp_path / "backup.tar")
    assert [line.partition(": ")[0] for line in made.skipped] == [str(table)]
