"""Folders that survive a power cut."""

import errno
from pathlib import Path

import pytest

from letterlock.storage import durable
from letterlock.storage.durable import describe, make_folder, unavailable


def test_a_folder_is_private_and_so_are_those_above_it(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert folder.stat().st_mode & 0o777 == 0o700
    make_folder(tmp_path / "a" / "b")


def test_one_that_another_process_makes_at_the_same_time_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = iter([False, True, True])
    (tmp_path / "a").mkdir()
    monkeypatch.setattr(Path, "is_dir", lambda _: next(seen))
    make_folder(tmp_path / "a")
    assert next(seen, None) is None


@pytest.mark.parametrize("is_there", [True, False])
def test_its_name_is_synced_also_when_it_is_there_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Who made it may not have done so yet."""
    synced: list[Path] = []
    monkeypatch.setattr(durable, "sync_folder", synced.append)
    if is_there:
        (tmp_path / "a").mkdir()
    make_folder(tmp_path / "a")
    assert synced[-1] == tmp_path


def test_a_folder_below_one_that_may_not_be_read_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "reason", str(path))

    monkeypatch.setattr(durable, "sync_folder", refuse)
    make_folder(tmp_path)
    with pytest.raises(PermissionError):
        make_folder(tmp_path / "a")


def test_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "a")


@pytest.mark.parametrize(
    ("number", "is_full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)]
)
def test_no_space_is_full(number: int, is_full: bool) -> None:
    error = unavailable(OSError(number, "reason", "/x"))
    assert error.is_full is is_full
    assert str(error) == "/x: reason"


def test_an_error_without_words_has_its_name() -> None:
    assert describe(OSError()) == "OSError"
