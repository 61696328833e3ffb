"""Files with secrets."""

from pathlib import Path

import pytest

from letterlock.base.errors import LocalError
from letterlock.base.secret_files import MAX_SECRET_OCTETS, load_secret


def write(path: Path, octets: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(octets)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640])
def test_a_secret_is_read(tmp_path: Path, mode: int) -> None:
    """A group may be meant to have it; systemd's credentials are 0440."""
    assert load_secret(write(tmp_path / "key", b"a\xffb\n", mode)) == "a\ufffdb\n"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644])
def test_one_that_everybody_has_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(LocalError, match=r"key: everyone on this machine can read"):
        load_secret(write(tmp_path / "key", b"a", mode))


def test_what_can_not_be_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"key: cannot be read: No such file"):
        load_secret(tmp_path / "key")
    with pytest.raises(LocalError, match="cannot be read: Is a directory"):
        load_secret(tmp_path)
    load_secret(write(tmp_path / "key", b"a" * MAX_SECRET_OCTETS))
    with pytest.raises(LocalError, match=r"key: it has more than 40000 octets"):
        load_secret(write(tmp_path / "key", b"a" * (MAX_SECRET_OCTETS + 1)))
