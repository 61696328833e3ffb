"""Sources of a release are kept, and unpacked where nothing else is."""

import io
import tarfile
from pathlib import Path

import pytest

from tools.keep_release import FOLDER, pack, read_version, unpack


def make_archive(*names: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
    return file.getvalue()


def test_what_was_packed_is_unpacked_and_nothing_leads_elsewhere(tmp_path: Path) -> None:
    packed = tmp_path / "1.0.0.tar.xz"
    packed.write_bytes(pack(make_archive("src/a/b.py", "src/../../c", "/etc/d", "e")))
    source = unpack(packed, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["b.py"]
    assert (source / "a" / "b.py").read_text() == "x"


def test_a_version_is_that_of_the_project() -> None:
    assert read_version(b'[project]\nversion = "1.2.3"\n') == "1.2.3"
    with pytest.raises(KeyError):
        read_version(b"[project]\n")


def test_a_release_is_there_to_upgrade_from() -> None:
    assert list(FOLDER.glob("*.tar.xz"))
