"""What a backup finds below a folder, and what it says that it may not look into."""

import os
from pathlib import Path

import pytest

from letterlock.node.kept_files import scan


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def find(folder: Path) -> tuple[list[str], list[str]]:
    """Give the files that are found, and the folders that are closed."""
    closed: list[Path] = []
    found = [str(path.relative_to(folder)) for path, _ in scan(folder, closed.append)]
    return found, [str(path.relative_to(folder)) for path in closed]


def test_new_comes_before_cur_and_nothing_of_tmp_or_behind_links(tmp_path: Path) -> None:
    make(tmp_path, "alice/cur/1", "alice/new/2", "alice/tmp/3", "bob")
    (tmp_path / "link").symlink_to("bob")
    (tmp_path / "mails").symlink_to("alice")
    assert find(tmp_path) == (["alice/new/2", "alice/cur/1", "bob"], [])


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    make(tmp_path, "file")
    assert find(tmp_path / "none") == ([], [])
    assert find(tmp_path / "file") == ([], [])


def test_a_folder_that_may_not_be_read_is_told_and_the_others_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mail is in no backup: whoever makes one must hear of it."""
    make(tmp_path, "alice/new/1", "bob/new/2")
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder) == tmp_path / "alice":
            raise PermissionError
        return scandir(folder)

    # Root may read everything.
    monkeypatch.setattr(os, "scandir", refuse)
    assert find(tmp_path) == (["bob/new/2"], ["alice"])
