"""What a run has finished is there after any end of it."""

from pathlib import Path

import pytest

from letterlock.storage import check_progress
from letterlock.storage.check_progress import CheckProgress, Finished

FIRST, SECOND = (
    Finished(name, "2026-03-01T12:00:00Z", {"domain": name, "text": "\u2028ü\n"})
    for name in ("a.example", "b.example")
)
THIRD = Finished("c", "", {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "run.jsonl"


def begin(path: Path) -> CheckProgress:
    progress = CheckProgress(path)
    assert progress.open()
    return progress


def keep(path: Path, *finished: Finished) -> None:
    progress = begin(path)
    for each in finished:
        progress.add(each)
    progress.close(is_complete=False)


def read(path: Path) -> list[Finished]:
    progress = begin(path)
    found = list(progress.read())
    progress.close(is_complete=False)
    return found


def test_what_was_kept_is_read_and_added_to(path: Path) -> None:
    keep(path, FIRST, SECOND)
    assert path.stat().st_mode & 0o777 == 0o600
    progress = begin(path)
    assert list(progress.read()) == [FIRST, SECOND]
    progress.add(THIRD)
    progress.close(is_complete=False)
    again = begin(path)
    assert list(again.read()) == [FIRST, SECOND, THIRD]
    again.close(is_complete=True)
    assert not path.exists()
    again.close(is_complete=True)


def test_a_run_from_the_beginning_forgets_the_earlier_one_when_it_has_something(path: Path) -> None:
    keep(path, FIRST, SECOND)
    begin(path).close(is_complete=False)
    assert read(path) == [FIRST, SECOND]
    keep(path, THIRD)
    assert read(path) == [THIRD]


def test_half_a_line_is_cut_off_wherever_it_ends(path: Path) -> None:
    keep(path, FIRST)
    whole = path.read_bytes()
    keep(path, FIRST, SECOND)
    both = path.read_bytes()
    for end in range(len(whole), len(both)):
        path.write_bytes(both[:end])
        progress = begin(path)
        assert list(progress.read()) == [FIRST]
        progress.add(THIRD)
        progress.close(is_complete=False)
        assert read(path) == [FIRST, THIRD]


@pytest.mark.parametrize("line", ["[]", "7", '{"name": 1}', "[" * 100_000, '{"name": "a"}'])
def test_what_is_no_answer_ends_what_is_read(path: Path, line: str) -> None:
    keep(path, FIRST)
    path.write_bytes(path.read_bytes() + line.encode() + b"\n" + path.read_bytes())
    assert read(path) == [FIRST]


def test_a_line_without_an_end_is_not_taken_into_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(path, FIRST)
    monkeypatch.setattr(check_progress, "MAX_LINE_OCTETS", 20)
    assert read(path) == []


def test_two_runs_over_one_list_do_not_mix(path: Path) -> None:
    first = begin(path)
    assert not CheckProgress(path).open()
    first.close(is_complete=False)
    begin(path).close(is_complete=False)
