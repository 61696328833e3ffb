"""Delivery into Maildirs."""

import errno
import os
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.storage import maildir
from letterlock.storage.maildir import (
    Delivered,
    LfLines,
    MaildirFailed,
    MaildirFull,
    MaildirStore,
    is_safe_component,
)
from tests.fakes import FakeClock

PREFIX = b"Return-Path: <a@b.example>\r\nDelivered-To: alice@example.org\r\n"


async def pieces(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.fixture
def store(tmp_path: Path) -> MaildirStore:
    return MaildirStore(tmp_path / "mail", "mx1.example.org", FakeClock())


async def test_a_message_is_in_new_with_lf_and_its_size_in_the_name(
    store: MaildirStore, tmp_path: Path
) -> None:
    body = pieces([b"Subject: x\r", b"\n\r\nhello\r\n"])
    result = await store.deliver("example.org", "alice", PREFIX, body)
    assert isinstance(result, Delivered)
    content = result.path.read_bytes()
    assert content == (PREFIX + b"Subject: x\r\n\r\nhello\r\n").replace(b"\r\n", b"\n")
    assert result.path.parent == tmp_path / "mail/example.org/alice/new"
    assert result.path.name.endswith(f".mx1.example.org,S={len(content)}")
    assert list((result.path.parent.parent / "tmp").iterdir()) == []
    assert (result.path.parent.parent / "cur").is_dir()


async def test_nobody_else_may_read(store: MaildirStore) -> None:
    result = await store.deliver("example.org", "alice", b"", pieces([b"x"]))
    assert isinstance(result, Delivered)
    assert result.path.stat().st_mode & 0o777 == 0o600
    for folder in list(result.path.parents)[:4]:
        assert folder.stat().st_mode & 0o777 == 0o700


async def test_names_are_unique(store: MaildirStore) -> None:
    results = [await store.deliver("e.org", "a", b"", pieces([])) for _ in range(5)]
    assert len({result.path.name for result in results if isinstance(result, Delivered)}) == 5


async def test_a_host_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    store = MaildirStore(tmp_path, "a/b:c,d", FakeClock())
    result = await store.deliver("e.org", "a", b"", pieces([b"x"]))
    assert isinstance(result, Delivered)
    assert ".a\\057b\\072c\\054d,S=1" in result.path.name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\0b", "a\nb", "a\x7fb", "\udc80"),
        *("x" * 201, "é" * 101),
    ],
)
async def test_a_mailbox_name_is_one_folder(store: MaildirStore, name: str) -> None:
    assert not is_safe_component(name)
    for domain, local in ((name, "alice"), ("example.org", name)):
        result = await store.deliver(domain, local, PREFIX, pieces([b"x"]))
        assert isinstance(result, MaildirFailed)
        assert result.is_permanent


@pytest.mark.parametrize("name", ["alice", "a.b+c", "x" * 200, "jörg", "a b", "~root", "a\\b"])
def test_other_names_are_fine(name: str) -> None:
    assert is_safe_component(name)


@given(st.text())
def test_a_safe_name_stays_below_its_folder(name: str) -> None:
    if is_safe_component(name):
        path = Path(os.path.normpath(f"/mail/{name}"))
        assert path.parent == Path("/mail")
        assert path.name == name


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\r\r\n", b""])), st.data())
def test_how_octets_are_split_does_not_matter(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cut = data.draw(st.integers(0, len(whole)))
    for split in (parts, [whole], [whole[:cut], whole[cut:]], [bytes([octet]) for octet in whole]):
        lines = LfLines()
        done = b"".join(lines.receive(part) for part in split) + lines.finish()
        assert done == whole.replace(b"\r\n", b"\n")


async def test_a_body_of_many_pieces_is_written_as_it_comes(
    store: MaildirStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = maildir._Delivery.write

    def record(delivery: maildir._Delivery, data: bytes) -> None:
        sizes.append(len(data))
        write(delivery, data)

    monkeypatch.setattr(maildir._Delivery, "write", record)
    part = b"x" * 65_534 + b"\r\n"
    result = await store.deliver("e.org", "a", b"", pieces([part] * 40))
    assert isinstance(result, Delivered)
    assert result.path.stat().st_size == 40 * 65_535
    assert len(sizes) > 5
    assert max(sizes) <= maildir.WRITE_BYTES + len(part)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, MaildirFull), (errno.EDQUOT, MaildirFull), (errno.EIO, MaildirFailed)],
)
@pytest.mark.parametrize("call", ["fsync", "open"])
async def test_a_failing_disk_is_a_value_and_leaves_nothing(
    store: MaildirStore,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[object],
    call: str,
) -> None:
    mailbox = store.mailbox("e.org", "a")
    assert mailbox is not None
    assert isinstance(await store.deliver("e.org", "a", b"", pieces([])), Delivered)

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    result = await store.deliver("e.org", "a", PREFIX, pieces([b"x"]))
    monkeypatch.undo()
    assert type(result) is kind
    assert isinstance(result, MaildirFull | MaildirFailed)
    assert os.strerror(number) in result.reason
    assert list((mailbox / "tmp").iterdir()) == []
    assert len(list((mailbox / "new").iterdir())) == 1


async def test_a_body_that_breaks_off_is_not_delivered(store: MaildirStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * maildir.WRITE_BYTES
        raise LookupError

    with pytest.raises(LookupError):
        await store.deliver("e.org", "a", PREFIX, broken())
    mailbox = store.mailbox("e.org", "a")
    assert mailbox is not None
    assert list((mailbox / "new").iterdir()) == []


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Give the paths below `tmp_path` that are synced from now on."""
    paths: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        paths.append(os.path.relpath(path, tmp_path))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return paths


async def test_the_file_and_its_folders_are_synced_before_it_counts(
    store: MaildirStore, synced: list[str]
) -> None:
    await store.deliver("e.org", "a", PREFIX, pieces([b"x"]))
    *made, file, new = synced
    assert list(dict.fromkeys(made))[1:] == [".", "mail", "mail/e.org", "mail/e.org/a"]
    assert (made.count("mail/e.org/a"), made[-1]) == (3, "mail/e.org/a")
    assert file.startswith("mail/e.org/a/tmp/")
    assert new == "mail/e.org/a/new"


async def test_folders_that_another_process_made_are_synced_by_each_that_delivers(
    store: MaildirStore, synced: list[str], tmp_path: Path
) -> None:
    """It may not have synced them yet, or have died before; once is enough for each process."""
    mailbox = tmp_path / "mail" / "e.org" / "a"
    for name in ("tmp", "new", "cur"):
        (mailbox / name).mkdir(parents=True)
    await store.deliver("e.org", "a", PREFIX, pieces([b"x"]))
    assert synced[:-2] == ["mail", "mail/e.org", *["mail/e.org/a"] * 3]
    synced.clear()
    await store.deliver("e.org", "a", PREFIX, pieces([b"x"]))
    assert len(synced) == 2


@pytest.mark.parametrize("gone", ["tmp", "new", "."])
async def test_folders_that_were_removed_are_made_anew(
    store: MaildirStore, synced: list[str], tmp_path: Path, gone: str
) -> None:
    await store.deliver("e.org", "a", PREFIX, pieces([b"x"]))
    synced.clear()
    mailbox = tmp_path / "mail" / "e.org" / "a"
    shutil.rmtree(mailbox / gone)
    result = await store.deliver("e.org", "a", PREFIX, pieces([b"x"]))
    assert isinstance(result, Delivered)
    assert "mail/e.org/a" in synced[:-2]
