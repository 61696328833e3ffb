"""Trust anchors from files that change."""

import os
from pathlib import Path

import pytest

from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.services.deliver.anchors import NO_ANCHORS, AnchorFiles, AnchorsUnusable
from tests.network.certificates import authority


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "anchors.pem"
    path.write_bytes(authority().pem)
    return path


def test_a_file_is_read_once_while_it_does_not_change(file: Path) -> None:
    files = AnchorFiles()
    first = files.load([str(file)])
    assert isinstance(first, TrustAnchors)
    assert first.is_tafile
    assert files.load([str(file)]) is first
    file.write_bytes(authority().pem * 2)
    os.utime(file, ns=(1, 1))
    again = files.load([str(file)])
    assert isinstance(again, TrustAnchors)
    assert len(again.certificates) == 2


def test_the_operators_defaults_come_before_the_systems(file: Path) -> None:
    anchors = AnchorFiles((file,)).load()
    assert isinstance(anchors, TrustAnchors)
    assert not anchors.is_tafile
    assert len(anchors.certificates) == 1


def test_without_any_file_nobody_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letterlock.services.deliver.anchors.system_trust_file", lambda: None)
    assert AnchorFiles().load() is NO_ANCHORS


def test_a_file_that_cannot_be_read_is_named(file: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    unusable = AnchorFiles().load([str(file), str(missing)])
    assert unusable == AnchorsUnusable(f"{missing}: No such file or directory")


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing here\n")
    unusable = AnchorFiles().load([str(empty)])
    assert unusable == AnchorsUnusable(f"{empty}: there is no PEM certificate in it")
