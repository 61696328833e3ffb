"""http-01 by files in another web server's folder: RFC 8555 §8.3."""

import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.services.certify.solvers import Proof
from letterlock.services.certify.solving.webroot import STALE_AFTER, WebrootSolver
from tests.fakes import START, FakeClock

TOKEN = "DGyRejmCefe7v4NfDGDKfA"
OTHER = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
THUMBPRINT = "nP1qzpXGymHBrUEepNY9HCsQk7K8KhOypzEt62jcerQ"
NAME = parse_identifier("mx1.example.org")


def proof(token: str = TOKEN, thumbprint: str = THUMBPRINT) -> Proof:
    return Proof(NAME, token, f"{token}.{thumbprint}")


def folder_of(root: Path) -> Path:
    return root / ".well-known" / "acme-challenge"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def leave(root: Path, name: str, content: str, age: timedelta) -> Path:
    """Leave a file behind, as old as that."""
    file = folder_of(root) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    moment = (START - age).timestamp()
    os.utime(file, (moment, moment))
    return file


async def test_a_proof_is_a_file_from_presenting_to_cleaning_up(tmp_path: Path) -> None:
    solver = WebrootSolver(tmp_path, FakeClock())
    assert await solver.present(proof()) is None
    (file,) = folder_of(tmp_path).iterdir()
    assert file.name == TOKEN
    assert file.read_bytes() == f"{TOKEN}.{THUMBPRINT}".encode()
    await solver.cleanup(proof())
    assert names_in(folder_of(tmp_path)) == set()


async def test_everybody_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    """The web server runs as somebody else."""
    before = os.umask(0o077)
    try:
        assert await WebrootSolver(tmp_path, FakeClock()).present(proof()) is None
    finally:
        os.umask(before)
    assert mode_of(folder_of(tmp_path) / TOKEN) == 0o644
    assert mode_of(folder_of(tmp_path)) == 0o755
    assert mode_of(folder_of(tmp_path).parent) == 0o755


async def test_folders_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    folder_of(tmp_path).mkdir(parents=True)
    folder_of(tmp_path).chmod(0o711)
    assert await WebrootSolver(tmp_path, FakeClock()).present(proof()) is None
    assert mode_of(folder_of(tmp_path)) == 0o711


async def test_a_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    root = tmp_path / "nowhere"
    told = await WebrootSolver(root, FakeClock()).present(proof())
    assert told == f"{root}: No such file or directory"
    assert not root.exists()
    await WebrootSolver(root, FakeClock()).cleanup(proof())


async def test_folders_are_made_only_where_that_is_allowed(tmp_path: Path) -> None:
    told = await WebrootSolver(tmp_path, FakeClock(), may_make_folders=False).present(proof())
    assert told == f"{folder_of(tmp_path)}: No such file or directory"
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("token", ["", "..", "../../etc/passwd", f"{TOKEN}/x", f".{TOKEN}", "a\0b"])
async def test_a_token_is_no_way_out_of_the_folder(tmp_path: Path, token: str) -> None:
    solver = WebrootSolver(tmp_path / "root", FakeClock())
    (tmp_path / "root").mkdir()
    assert await solver.present(proof(token)) == "the token is none"
    await solver.cleanup(proof(token))
    assert names_in(tmp_path / "root") == set()


async def test_a_link_in_the_way_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("as it was")
    folder_of(tmp_path).mkdir(parents=True)
    for name in (TOKEN, f".letterlock-{TOKEN}"):
        (folder_of(tmp_path) / name).symlink_to(target)
    assert await WebrootSolver(tmp_path, FakeClock()).present(proof()) is None
    assert target.read_text() == "as it was"
    file = folder_of(tmp_path) / TOKEN
    assert not file.is_symlink()
    assert file.read_text() == f"{TOKEN}.{THUMBPRINT}"


async def test_what_was_left_behind_is_removed_with_the_next_proof(tmp_path: Path) -> None:
    old = STALE_AFTER + timedelta(minutes=1)
    ours = [
        leave(tmp_path, OTHER, f"{OTHER}.{THUMBPRINT}", old),
        leave(tmp_path, f".letterlock-{OTHER}", OTHER[:5], old),
    ]
    others = [
        leave(tmp_path, OTHER[::-1], f"{OTHER[::-1]}.{THUMBPRINT}", timedelta(hours=1)),
        leave(tmp_path, OTHER.lower(), f"{OTHER.lower()}.{THUMBPRINT[::-1]}", old),
        leave(tmp_path, "index.html", f"index.html.{THUMBPRINT}", old),
    ]
    (folder_of(tmp_path) / ("f" * 22)).mkdir()
    assert await WebrootSolver(tmp_path, FakeClock()).present(proof()) is None
    assert not any(file.exists() for file in ours)
    assert all(file.exists() for file in others)


async def test_a_file_that_is_gone_already_is_no_fault(tmp_path: Path) -> None:
    solver = WebrootSolver(tmp_path, FakeClock())
    await solver.present(proof())
    (folder_of(tmp_path) / TOKEN).unlink()
    await solver.cleanup(proof())
