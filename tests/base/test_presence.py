"""That nothing is at a path is only said where it is sure."""

from pathlib import Path

import pytest

from letterlock.base.presence import is_absent


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("nothing", True),
        ("nothing/below", True),
        ("file/below", True),
        ("dangling", True),
        ("file", False),
        (".", False),
        ("link", False),
        # What root cannot follow either stands for what another user may not search.
        ("loop", False),
        ("loop/below", False),
    ],
)
def test_what_cannot_be_told_is_not_absent(tmp_path: Path, name: str, *, absent: bool) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    assert is_absent(tmp_path / name) is absent
