"""Records of a day: whole ones are there after any end, each once, and torn ones are left out."""

import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.storage import day_files
from letterlock.storage.day_files import (
    MAGIC,
    DamagedCounts,
    DayFiles,
    DayJournal,
    FolderInUse,
    StoredDay,
)

DAY = date(2026, 3, 1)
NEXT_DAY = date(2026, 3, 2)


def write(folder: Path, *records: bytes, day: date = DAY) -> DayJournal:
    _, journal = DayFiles(folder).open_day(day)
    for record in records:
        journal.append(record)
    return journal


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_records_come_back_in_their_order(tmp_path: Path) -> None:
    write(tmp_path, b"one", b"", b"two").close()
    write(tmp_path, b"three").close()
    assert DayFiles(tmp_path).load(DAY) == StoredDay(journal=(b"one", b"", b"two", b"three"))


def test_a_day_of_which_nothing_is_kept_is_empty(tmp_path: Path) -> None:
    assert DayFiles(tmp_path).load(DAY) == StoredDay()
    assert DayFiles(tmp_path).list_days() == []


def test_wherever_a_journal_is_torn_the_whole_records_before_are_there(tmp_path: Path) -> None:
    """Rule 244: at each octet."""
    write(tmp_path, b"first", b"second").close()
    path = tmp_path / f"{DAY}.0.journal"
    octets = path.read_bytes()
    ends = {len(MAGIC): (), len(octets) - 8 - 6: (b"first",), len(octets): (b"first", b"second")}
    for at in range(len(octets) + 1):
        path.write_bytes(octets[:at])
        end = max((each for each in ends if each <= at), default=0)
        stored = DayFiles(tmp_path).load(DAY)
        assert stored == StoredDay(journal=ends.get(end, ()), torn=at - end)
        # The one who writes cuts it off, and goes on.
        write(tmp_path, b"more").close()
        again = DayFiles(tmp_path).load(DAY)
        assert again == StoredDay(journal=(*ends.get(end, ()), b"more"))


@given(st.binary(max_size=80))
def test_any_octets_behind_whole_records_are_left_out(more: bytes) -> None:
    record = day_files._frame(b"whole")
    records, torn = day_files._split(MAGIC + record + more)
    assert records[0] == b"whole"
    assert torn <= len(more)


def test_a_whole_takes_the_place_of_all_before(tmp_path: Path) -> None:
    journal = write(tmp_path, b"one", b"two")
    journal.replace([b"sum", b"more"])
    journal.append(b"three")
    journal.sync()
    journal.sync()
    journal.close()
    stored = StoredDay((b"sum", b"more"), (b"three",))
    assert DayFiles(tmp_path).load(DAY) == stored
    assert names(tmp_path) == {f"{DAY}.1.counts", f"{DAY}.1.journal"}
    assert DayFiles(tmp_path).open_day(DAY)[0] == stored


@pytest.mark.parametrize("step", ["rename", "after"])
def test_an_end_amid_a_replacement_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Rule 244: before the rename the old generation counts, after it the new one."""
    journal = write(tmp_path, b"one")

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    if step == "rename":
        monkeypatch.setattr(Path, "rename", die)
    else:
        monkeypatch.setattr(day_files, "sync_folder", die)
    with pytest.raises(Killed):
        journal.replace([b"sum"])
    monkeypatch.undo()
    expected = StoredDay((), (b"one",)) if step == "rename" else StoredDay((b"sum",))
    assert DayFiles(tmp_path).load(DAY) == expected
    stored, again = DayFiles(tmp_path).open_day(DAY)
    assert stored == expected
    again.append(b"two")
    again.replace([b"sum of all"])
    again.close()
    assert DayFiles(tmp_path).load(DAY) == StoredDay((b"sum of all",))


def test_a_full_disk_takes_nothing_of_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = write(tmp_path, b"one")
    real = os.write

    def fill(descriptor: int, octets: bytes) -> int:
        if len(octets) < 5:
            raise OSError(28, "No space left on device")
        return real(descriptor, octets[:5])

    monkeypatch.setattr(os, "write", fill)
    with pytest.raises(OSError, match="No space"):
        journal.append(b"two")
    monkeypatch.undo()
    assert DayFiles(tmp_path).load(DAY) == StoredDay(journal=(b"one",))
    journal.append(b"three")
    journal.close()
    assert DayFiles(tmp_path).load(DAY) == StoredDay(journal=(b"one", b"three"))


def test_a_whole_for_which_there_is_no_room_leaves_what_there_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = write(tmp_path, b"one")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        journal.replace([b"sum"])
    monkeypatch.undo()
    journal.append(b"two")
    journal.close()
    assert DayFiles(tmp_path).load(DAY) == StoredDay(journal=(b"one", b"two"))


def test_a_whole_that_is_not_as_it_was_written_is_told_of(tmp_path: Path) -> None:
    journal = write(tmp_path)
    journal.replace([b"sum"])
    journal.close()
    path = tmp_path / f"{DAY}.1.counts"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedCounts, match=r"2026-03-01\.1\.counts: not as it was written"):
        DayFiles(tmp_path).load(DAY)


def test_a_day_is_forgotten_whole(tmp_path: Path) -> None:
    journal = write(tmp_path, b"one")
    journal.replace([b"sum"])
    journal.append(b"two")
    journal.close()
    write(tmp_path, b"of the next day", day=NEXT_DAY).close()
    files = DayFiles(tmp_path)
    assert files.list_days() == [DAY, NEXT_DAY]
    files.remove(DAY)
    assert files.list_days() == [NEXT_DAY]


def test_a_removal_that_is_cut_short_brings_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 244: after each file that it takes away."""
    real = Path.unlink
    for steps in range(4):
        journal = write(tmp_path, b"one")
        journal.replace([b"sum"])
        journal.append(b"two")
        journal.close()
        # What an end amid a replacement leaves behind.
        (tmp_path / f"{DAY}.0.journal").write_bytes(MAGIC + day_files._frame(b"one"))
        left = [steps]

        def unlink(path: Path, *, missing_ok: bool = False, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(5, "Input/output error")
            real(path, missing_ok=missing_ok)

        monkeypatch.setattr(Path, "unlink", unlink)
        if steps < 3:
            with pytest.raises(OSError, match="Input"):
                DayFiles(tmp_path).remove(DAY)
        else:
            DayFiles(tmp_path).remove(DAY)
        monkeypatch.undo()
        stored = DayFiles(tmp_path).load(DAY)
        assert stored in (StoredDay((b"sum",), (b"two",)), StoredDay())
        DayFiles(tmp_path).remove(DAY)


def test_one_process_writes(tmp_path: Path) -> None:
    first, second = DayFiles(tmp_path), DayFiles(tmp_path)
    first.lock()
    with pytest.raises(FolderInUse, match="another process counts there"):
        second.lock()
    first.close()
    first.close()
    second.lock()
    second.close()


def test_a_reader_follows_to_the_next_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = write(tmp_path, b"one")
    journal.replace([b"sum"])
    real = Path.read_bytes
    is_done: list[bool] = []

    def read(path: Path) -> bytes:
        if not is_done:
            is_done.append(True)
            journal.replace([b"sum of sums"])
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    assert DayFiles(tmp_path).load(DAY) == StoredDay((b"sum of sums",))
    journal.close()


def test_what_is_no_file_of_ours_is_passed_over(tmp_path: Path) -> None:
    for name in ("2026-02-30.0.journal", "notes.txt", "2026-03-01.x.counts", "lock"):
        (tmp_path / name).write_text("x")
    assert DayFiles(tmp_path).list_days() == []
