"""The last answers of checks, in files."""

from pathlib import Path

import pytest

from letterlock.storage import check_runs
from letterlock.storage.check_runs import CheckRuns


def test_the_last_answer_is_kept_for_each_name(tmp_path: Path) -> None:
    runs = CheckRuns(tmp_path / "state" / "check")
    assert runs.load("example.org") is None
    for number in range(2):
        runs.save("example.org", {"number": number})
    runs.save("../../etc/passwd", {"number": 7})
    assert runs.load("example.org") == {"number": 1}
    assert runs.load("../../etc/passwd") == {"number": 7}
    files = list((tmp_path / "state" / "check").iterdir())
    assert len(files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


@pytest.mark.parametrize(
    "octets", [b"", b"[1]", b"{", b"[" * 100_000, b"\xff", b'{"a": 1}' + b" " * 99]
)
def test_what_cannot_be_read_is_not_there(
    octets: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = CheckRuns(tmp_path)
    runs.save("x", {})
    (file,) = tmp_path.iterdir()
    file.write_bytes(octets)
    monkeypatch.setattr(check_runs, "MAX_OCTETS", 50 if octets.startswith(b"{") else 10**6)
    assert runs.load("x") is None
