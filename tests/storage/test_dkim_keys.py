"""Files of keys that mail is signed with."""

import os
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.storage.dkim_keys import MAX_PEM_BYTES, DkimKeyFiles

DOMAIN, SELECTOR = Domain("example.org"), Domain("2026a.mx1")


@pytest.fixture
def files(tmp_path: Path) -> DkimKeyFiles:
    return DkimKeyFiles(tmp_path / "dkim")


def test_a_key_is_for_the_nodes_user_alone(files: DkimKeyFiles, tmp_path: Path) -> None:
    assert files.load(DOMAIN, SELECTOR) is None
    assert files.add(DOMAIN, SELECTOR, b"key")
    path = tmp_path / "dkim" / "example.org" / "2026a.mx1.pem"
    assert files.find_path(DOMAIN, SELECTOR) == path
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert files.load(DOMAIN, SELECTOR) == b"key"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_is_there_is_never_changed(files: DkimKeyFiles) -> None:
    assert files.add(DOMAIN, SELECTOR, b"first")
    assert not files.add(DOMAIN, SELECTOR, b"second")
    assert files.load(DOMAIN, SELECTOR) == b"first"
    assert len(list(files.find_path(DOMAIN, SELECTOR).parent.iterdir())) == 1


def test_a_change_is_seen_by_the_state(files: DkimKeyFiles) -> None:
    assert files.find_state(DOMAIN, SELECTOR) is None
    files.add(DOMAIN, SELECTOR, b"first")
    state = files.find_state(DOMAIN, SELECTOR)
    assert state == files.find_state(DOMAIN, SELECTOR)
    files.find_path(DOMAIN, SELECTOR).write_bytes(b"another")
    assert files.find_state(DOMAIN, SELECTOR) not in (state, None)


def test_what_cannot_be_read_or_written_is_said(files: DkimKeyFiles, tmp_path: Path) -> None:
    (tmp_path / "dkim").write_text("no folder")
    with pytest.raises(LocalError, match=r"dkim.*(File exists|Not a directory)"):
        files.add(DOMAIN, SELECTOR, b"key")
    with pytest.raises(LocalError, match="Not a directory"):
        files.load(DOMAIN, SELECTOR)
    assert files.find_state(DOMAIN, SELECTOR) is None


def test_what_is_no_key_is_not_read_whole(files: DkimKeyFiles) -> None:
    files.add(DOMAIN, SELECTOR, b"x")
    os.truncate(files.find_path(DOMAIN, SELECTOR), MAX_PEM_BYTES + 1)
    with pytest.raises(LocalError, match="not a PEM file"):
        files.load(DOMAIN, SELECTOR)
