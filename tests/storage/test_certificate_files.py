"""Certificates as files: names of folders, and what a reader can see at any moment."""

import itertools
import os
import stat
from datetime import UTC, datetime
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from letterlock.base.errors import LocalError
from letterlock.protocols.pki.throwaway_ca import Issued, ThrowawayCa
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage import certificate_files
from letterlock.storage.certificate_files import (
    MAX_FOLDER_OCTETS,
    CertificateFiles,
    PairListing,
    format_folder,
    make_export_access,
)
from letterlock.storage.certificates import CertificateId, KeptPair

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem")
MX = CertificateId("mx.example.org", KeyType.ECDSA)
OTHER = CertificateId("*.example.org", KeyType.RSA)
AUTHORITY = ThrowawayCa("Root", NOW).intermediate("Above", now=NOW)


def make_pair(name: str = "mx.example.org") -> tuple[KeptPair, Issued]:
    issued = AUTHORITY.issue([name], now=NOW)
    return KeptPair(issued.chain_pem, issued.key_pem), issued


PAIR, ISSUED = make_pair()
NEXT, _ = make_pair()

LABELS = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", fullmatch=True)
DOMAINS = st.lists(LABELS, min_size=1, max_size=8).map(".".join).filter(lambda t: len(t) <= 253)
IDS = st.builds(
    CertificateId,
    DOMAINS
    | DOMAINS.filter(lambda text: len(text) < 252).map("*.{}".format)
    | st.ip_addresses().map(str),
    st.sampled_from(KeyType),
)


def is_safe(folder: str) -> bool:
    return (
        0 < len(folder.encode()) <= MAX_FOLDER_OCTETS
        and folder[0] not in ".-~"
        and set(folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-+")
    )


class TestFolderNames:
    @pytest.mark.parametrize(
        ("name", "key_type", "folder"),
        [
            ("mx.example.org", KeyType.ECDSA, "mx.example.org"),
            ("mx.example.org", KeyType.RSA, "mx.example.org+rsa"),
            ("mx.example.org", KeyType.ED25519, "mx.example.org+ed25519"),
            ("*.example.org", KeyType.ECDSA, "+.example.org"),
            ("192.0.2.1", KeyType.RSA, "192.0.2.1+rsa"),
            ("2001:db8::1", KeyType.ECDSA, "2001+db8++1"),
            ("MX.Bücher.Example.", KeyType.ECDSA, "mx.xn--bcher-kva.example"),
        ],
    )
    def test_a_folder_is_called_like_its_certificate(
        self, name: str, key_type: KeyType, folder: str
    ) -> None:
        assert format_folder(CertificateId(name, key_type)) == folder

    @given(IDS, IDS)
    def test_no_two_certificates_share_a_folder(
        self, one: CertificateId, other: CertificateId
    ) -> None:
        assert (format_folder(one) == format_folder(other)) is (one == other)

    @given(st.text() | IDS.map(lambda each: each.name), st.sampled_from(KeyType))
    @example("../../etc/passwd", KeyType.RSA)
    @example("fe80::1%../../x", KeyType.ECDSA)
    @example("*./x", KeyType.ECDSA)
    @example("*.*.example", KeyType.ECDSA)
    @example("..", KeyType.ECDSA)
    @example(".versions", KeyType.ECDSA)
    @example("a\0b", KeyType.ECDSA)
    @example(f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 60}", KeyType.ED25519)
    def test_no_text_leads_out_of_the_folder(self, text: str, key_type: KeyType) -> None:
        try:
            folder = format_folder(CertificateId(text, key_type))
        except ValueError:
            return
        assert is_safe(folder)

    @given(st.integers(0, 2**128 - 1).map(IPv6Address), LABELS)
    def test_an_address_is_no_domain(self, address: IPv6Address, label: str) -> None:
        one = format_folder(CertificateId(str(address), KeyType.ECDSA))
        assert one != format_folder(CertificateId(label, KeyType.ECDSA))
        assert "+" in one


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return CertificateFiles(tmp_path / "certificates")


class TestWriting:
    def test_the_layout_is_certbots(self, files: CertificateFiles, tmp_path: Path) -> None:
        assert files.write(MX, PAIR)
        folder = tmp_path / "certificates" / "mx.example.org"
        assert sorted(path.name for path in folder.iterdir()) == list(NAMES)
        assert (folder / "privkey.pem").read_bytes() == PAIR.key
        assert (folder / "fullchain.pem").read_bytes() == PAIR.chain
        certificate = (folder / "cert.pem").read_bytes()
        assert certificate == ISSUED.certificate_pem
        assert certificate + (folder / "chain.pem").read_bytes() == PAIR.chain
        assert files.paths(MX) == (folder / "fullchain.pem", folder / "privkey.pem")

    def test_a_certificate_that_nothing_is_above_has_an_empty_chain(
        self, files: CertificateFiles
    ) -> None:
        files.write(MX, KeptPair(ISSUED.certificate_pem, PAIR.key))
        assert files.paths(MX)[0].with_name("chain.pem").read_bytes() == b""

    def test_what_is_ours_is_for_us_alone(self, files: CertificateFiles, tmp_path: Path) -> None:
        umask = os.umask(0)
        try:
            files.write(MX, PAIR)
        finally:
            os.umask(umask)
        for path in (tmp_path / "certificates").rglob("*"):
            if not path.is_symlink():
                assert mode_of(path) == (0o700 if path.is_dir() else 0o600), path

    @pytest.mark.parametrize("link", [".versions", f".versions/{MX.name}"])
    def test_a_link_that_others_put_there_leads_nowhere(self, tmp_path: Path, link: str) -> None:
        """Who may write in the folder could have had our own mail removed as an old version."""
        root, ours = tmp_path / "export", tmp_path / "ours"
        for folder in (root, ours / MX.name):
            folder.mkdir(parents=True)
        for folder in (ours, ours / MX.name):
            (folder / "mail").write_text("queued")
        (root / link).parent.mkdir(exist_ok=True)
        (root / link).symlink_to(ours)
        with pytest.raises(LocalError, match="was not made by us"):
            CertificateFiles(root).write(MX, PAIR)
        found = [path for path in ours.rglob("*") if path.is_file()]
        assert [path.name for path in found] == ["mail", "mail"]

    def test_an_export_can_be_read_but_for_its_key(self, tmp_path: Path) -> None:
        umask = os.umask(0o077)
        group = os.getgid()
        try:
            files = CertificateFiles(tmp_path / "a" / "b", make_export_access(0o640, group=group))
            files.write(MX, PAIR)
        finally:
            os.umask(umask)
        for path in (tmp_path / "a").rglob("*"):
            if not path.is_symlink():
                expected = 0o640 if path.name in {"privkey.pem", "combined.pem"} else 0o644
                assert mode_of(path) == (0o755 if path.is_dir() else expected), path
                assert path.stat().st_gid == group

    def test_the_same_pair_is_not_written_twice(self, files: CertificateFiles) -> None:
        assert files.write(MX, PAIR)
        inode = files.paths(MX)[1].stat().st_ino
        assert not files.write(MX, PAIR)
        assert files.paths(MX)[1].stat().st_ino == inode

    def test_another_mode_is_another_pair(self, tmp_path: Path) -> None:
        for mode in (0o600, 0o640):
            files = CertificateFiles(tmp_path / "export", make_export_access(mode))
            assert files.write(MX, PAIR)
            assert mode_of(files.paths(MX)[1]) == mode

    def test_the_version_before_stays_for_whoever_reads_it_now(
        self, files: CertificateFiles, tmp_path: Path
    ) -> None:
        files.write(MX, PAIR)
        first = files.paths(MX)[0].resolve()
        files.write(MX, NEXT)
        second = files.paths(MX)[0].resolve()
        assert first.read_bytes() == PAIR.chain
        files.write(MX, make_pair()[0])
        assert second.exists()
        assert not first.exists()
        assert len(list((tmp_path / "certificates/.versions/mx.example.org").iterdir())) == 2

    def test_one_can_go_back(self, files: CertificateFiles) -> None:
        for pair in (PAIR, NEXT, PAIR, NEXT):
            assert files.write(MX, pair)
            assert files.paths(MX)[1].read_bytes() == pair.key

    def test_what_others_made_is_not_touched(self, files: CertificateFiles, tmp_path: Path) -> None:
        folder = tmp_path / "certificates" / "mx.example.org"
        folder.mkdir(parents=True)
        with pytest.raises(LocalError, match="was not made by us"):
            files.write(MX, PAIR)
        folder.rmdir()
        folder.symlink_to(tmp_path)
        with pytest.raises(LocalError, match="was not made by us"):
            files.write(MX, PAIR)
        assert not files.remove(MX)
        assert folder.is_symlink()

    def test_a_fault_names_the_file(self, tmp_path: Path) -> None:
        blocked = tmp_path / "file"
        blocked.touch()
        with pytest.raises(LocalError, match=str(blocked)):
            CertificateFiles(blocked / "certificates").write(MX, PAIR)


class Died(Exception):  # noqa: N818 - a crash, not an error
    pass


STEPS = ("open", "fsync", "rename", "symlink", "mkdir", "rmdir", "unlink", "chmod")


def die_at(patch: pytest.MonkeyPatch, number: int) -> None:
    """Let the process die before its nth call that changes something."""
    calls = itertools.count(1)

    def watch(name: str) -> None:
        real = getattr(os, name)

        def step(*arguments: object, **options: object) -> object:
            if next(calls) == number:
                raise Died
            return real(*arguments, **options)

        patch.setattr(os, name, step)

    for name in STEPS:
        watch(name)


def read_through(folder: Path) -> tuple[bytes, ...]:
    return tuple((folder / name).read_bytes() for name in NAMES)


def test_a_crash_at_any_step_leaves_one_whole_pair_and_the_next_try_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is ever seen half: all four files are of one pair, the old or the new."""
    whole = []
    for pair in (PAIR, NEXT):
        files = CertificateFiles(tmp_path / "whole")
        files.write(MX, pair)
        whole.append(read_through(files.paths(MX)[0].parent))
    seen = set()
    for number in range(1, 100):
        files = CertificateFiles(tmp_path / str(number))
        files.write(MX, PAIR)
        with monkeypatch.context() as patch:
            die_at(patch, number)
            try:
                files.write(MX, NEXT)
            except Died:
                is_done = False
            else:
                is_done = True
        found = read_through(files.paths(MX)[0].parent)
        assert found in whole
        seen.add(whole.index(found))
        files.write(MX, NEXT)
        assert read_through(files.paths(MX)[0].parent) == whole[1]
        versions = tmp_path / str(number) / ".versions" / "mx.example.org"
        assert len(list(versions.iterdir())) <= 2
        if is_done:
            break
    else:
        pytest.fail("it never ended")
    assert seen == {0, 1}
    assert number > 10


class TestRemoving:
    def test_a_certificate_goes_with_its_keys(
        self, files: CertificateFiles, tmp_path: Path
    ) -> None:
        files.write(MX, PAIR)
        files.write(OTHER, NEXT)
        assert files.remove(MX)
        assert not files.remove(MX)
        left = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        assert PAIR.key not in left
        assert NEXT.key in left

    def test_all_but_some_can_be_removed(self, files: CertificateFiles, tmp_path: Path) -> None:
        assert files.remove_others([MX]) == []
        for which in (MX, OTHER, CertificateId("192.0.2.1", KeyType.ECDSA)):
            files.write(which, PAIR)
        files.write_self_signed(NEXT)
        # What a crash in the middle of a removal leaves: a key that no link leads to.
        (tmp_path / "certificates" / "192.0.2.1").unlink()
        assert files.remove_others([MX]) == ["+.example.org+rsa", "192.0.2.1"]
        assert files.remove_others([MX]) == []
        assert files.paths(MX)[1].exists()
        assert files.load_self_signed() == NEXT

    def test_what_cannot_be_reached_is_not_taken_for_removed(
        self, files: CertificateFiles, tmp_path: Path
    ) -> None:
        """Else a key would stay behind, and the command say that it is gone."""
        files.write(MX, PAIR)
        home = next((tmp_path / "certificates").glob(".*/mx.example.org")).parent
        home.rename(tmp_path / "away")
        home.symlink_to(home.name)
        with pytest.raises(LocalError, match="Too many levels"):
            files.remove(MX)
        with pytest.raises(LocalError, match="Too many levels"):
            files.remove_others([])


class TestListing:
    @pytest.fixture
    def listing(self, tmp_path: Path) -> PairListing:
        return PairListing(tmp_path / "certificates")

    def test_changes_are_told_once(self, files: CertificateFiles, listing: PairListing) -> None:
        assert listing.find_pairs() is None
        files.write(MX, PAIR)
        first = listing.find_pairs()
        assert first is not None
        assert list(first) == ["mx.example.org"]
        chain, key = first["mx.example.org"]
        assert (chain.read_bytes(), key.read_bytes()) == (PAIR.chain, PAIR.key)
        assert [listing.find_pairs() for _ in range(3)] == [None] * 3
        files.write(MX, NEXT)
        second = listing.find_pairs()
        assert second is not None
        assert second["mx.example.org"] != first["mx.example.org"]
        assert key.read_bytes() == PAIR.key
        files.remove(MX)
        assert listing.find_pairs() == {}

    def test_a_change_within_the_same_tick_is_seen_at_the_next_look(
        self, files: CertificateFiles, listing: PairListing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file system's clock may stand still for 10 ms."""
        files.write(MX, PAIR)
        stamp = (1, 1, 1)
        monkeypatch.setattr(certificate_files, "_find_stamp", lambda _path: stamp)
        assert listing.find_pairs() is not None
        files.write(MX, NEXT)
        found = listing.find_pairs()
        assert found is not None
        assert found["mx.example.org"][1].read_bytes() == NEXT.key

    def test_nothing_is_read_while_nothing_changes(
        self, files: CertificateFiles, listing: PairListing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files.write(MX, PAIR)
        for _ in range(2):
            listing.find_pairs()
        monkeypatch.setattr(os, "scandir", None)
        assert listing.find_pairs() is None

    def test_what_is_not_ours_is_not_listed(
        self, files: CertificateFiles, listing: PairListing, tmp_path: Path
    ) -> None:
        files.write_self_signed(PAIR)
        folder = tmp_path / "certificates"
        (folder / "by.hand").mkdir()
        (folder / "linked").symlink_to("/etc")
        (folder / "up").symlink_to(".versions/../" + "0" * 32)
        (folder / "out").symlink_to(".versions/a/b/../" + "0" * 32)
        assert listing.find_pairs() is None

    def test_a_folder_that_is_gone_changes_nothing(
        self, files: CertificateFiles, listing: PairListing, tmp_path: Path
    ) -> None:
        """A file system that is not mounted any more is no wish to serve nothing."""
        files.write(MX, PAIR)
        assert listing.find_pairs()
        (tmp_path / "certificates").rename(tmp_path / "elsewhere")
        assert listing.find_pairs() is None


class TestTelling:
    def test_they_are_to_be_told_of_each_new_pair(self, files: CertificateFiles) -> None:
        for pair in (PAIR, NEXT):
            files.write(MX, pair)
            assert not files.is_told(MX)
            for _ in range(2):
                files.note_told(MX)
                assert files.is_told(MX)
            assert not files.write(MX, pair)
            assert files.is_told(MX)


class TestSelfSigned:
    def test_it_is_kept_apart(self, files: CertificateFiles) -> None:
        assert files.load_self_signed() is None
        files.write_self_signed(PAIR)
        assert files.load_self_signed() == PAIR
        chain, key = files.self_signed
        assert (chain.read_bytes(), key.read_bytes()) == (PAIR.chain, PAIR.key)
        assert mode_of(key) == 0o600
        files.write_self_signed(NEXT)
        assert files.load_self_signed() == NEXT
