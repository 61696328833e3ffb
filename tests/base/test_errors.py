"""What is said of what is wrong on our own side."""

import os
from pathlib import Path

import pytest

from letterlock.base.errors import describe_defect, explain_unreadable_code


def test_who_can_read_python_has_defects() -> None:
    assert explain_unreadable_code() == ""
    text = describe_defect(ModuleNotFoundError("No module named 'x'"))
    assert text == "a defect of letterlock, ModuleNotFoundError: No module named 'x'"


def test_who_cannot_read_python_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `letterlock status` by root with Python in /root: it goes on as the owner of the data."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    file = tmp_path / "closed" / "os.py"
    file.parent.mkdir(mode=0o700)
    file.touch()
    monkeypatch.setattr(os, "__file__", str(file))
    assert explain_unreadable_code() == ""
    os.seteuid(65534)
    try:
        texts = [describe_defect(ModuleNotFoundError("asyncio")), describe_defect(ValueError("x"))]
    finally:
        os.seteuid(0)
    assert texts[0].startswith(f"{file}: Permission denied for user 65534, who needs Python")
    assert "make venv PYTHON=/usr/bin/python3" in texts[0]
    assert texts[1] == "a defect of letterlock, ValueError: x"
