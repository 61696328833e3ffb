"""Mail that a program of ours leaves is what the node finds in its drop folder."""

import os
from pathlib import Path

import pytest

from letterlock.storage.drop import BELL, DropError, parse_envelope
from letterlock.storage.drop_folder import DropFolder, Found
from letterlock.storage.mail_drop import leave_mail

MESSAGE = b"Subject: x\r\n\r\n" + b"text\r\n" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> DropFolder:
    folder = DropFolder(tmp_path / "drop")
    folder.prepare({})
    return folder


def test_what_is_left_is_found_whole(folder: DropFolder) -> None:
    leave_mail(folder.path, "ca@a.example", ("a@a.example", "b@b.example"), MESSAGE)
    (name,), _ = folder.list_whole(set())
    found = folder.open(name)
    assert isinstance(found, Found)
    with found.file as file:
        envelope, message = parse_envelope(file.read())
    assert envelope.recipients == ("a@a.example", "b@b.example")
    assert envelope.facts == {"sender": "ca@a.example"}
    assert message == MESSAGE


def test_the_bell_is_rung(folder: DropFolder) -> None:
    bell = folder.open_bell()
    leave_mail(folder.path, "", ("a@a.example",), MESSAGE)
    assert os.read(bell, 10) == b"\n"
    os.close(bell)
    # Nobody listens: it is left all the same.
    leave_mail(folder.path, "", ("a@a.example",), MESSAGE)
    (folder.path / BELL).unlink()
    leave_mail(folder.path, "", ("a@a.example",), MESSAGE)
    assert len(folder.list_whole(set())[0]) == 3


def test_nothing_is_left_of_what_failed(folder: DropFolder, tmp_path: Path) -> None:
    with pytest.raises(DropError):
        leave_mail(folder.path, "", ("a@a.example\nsender x",), MESSAGE)
    with pytest.raises(FileNotFoundError):
        leave_mail(tmp_path / "missing", "", ("a@a.example",), MESSAGE)
    assert folder.list_whole(set()) == ([], set())


def test_a_disk_that_fails_leaves_nothing(
    folder: DropFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        leave_mail(folder.path, "", ("a@a.example",), MESSAGE)
    assert [each.name for each in folder.path.glob("*.*")] == []
