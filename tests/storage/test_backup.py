"""The archive of a backup (`letterlock.storage.backup`): written whole, and read with suspicion."""

import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from letterlock.storage.backup.manifest import (
    MANIFEST,
    ArchiveError,
    Manifest,
    Part,
    format_manifest,
    parse_manifest,
    require_safe_name,
)
from letterlock.storage.backup.reading import (
    BLOCK,
    check_archive,
    list_members,
    load_manifest,
    pair_members,
    read_checked,
)
from letterlock.storage.backup.writing import ArchiveWriter, written_whole
from tests.fuzz.backups import EMPTY, make_archive

LONG = "settings/" + "/".join(["a" * 90, "ä" * 60, "b"])


def check(octets: bytes) -> Manifest:
    return check_archive(io.BytesIO(octets))


def tar(*members: tuple[tarfile.TarInfo, bytes], format_: int = tarfile.PAX_FORMAT) -> bytes:
    """Make an archive that is not ours, with a manifest that lists its files as they are."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format_) as archive:
        for member, octets in members:
            member.size = len(octets)
            archive.addfile(member, io.BytesIO(octets))
        manifest = format_manifest(EMPTY)
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(manifest)
        archive.addfile(info, io.BytesIO(manifest))
    return file.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


class TestWhole:
    def test_what_was_written_is_read(self) -> None:
        octets = make_archive("node.sqlite", LONG, "drop/msg.1")
        manifest = check(octets)
        assert [part.name for part in manifest.parts] == ["node.sqlite", LONG, "drop/msg.1"]
        file = io.BytesIO(octets)
        for part, found in pair_members(file, manifest):
            assert b"".join(read_checked(part, found)) == part.name.encode()

    def test_any_tar_can_read_it(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(make_archive("node.sqlite", LONG))
        done = subprocess.run(
            ["tar", "tf", str(tmp_path / "a.tar"), "--quoting-style=literal"],
            check=True, capture_output=True, text=True, env={"LC_ALL": "C.UTF-8", **os.environ},
        )  # fmt: skip
        assert done.stdout.split() == ["node.sqlite", LONG, MANIFEST]

    def test_a_file_that_shrinks_ends_the_backup(self, tmp_path: Path) -> None:
        path = tmp_path / "table"
        path.write_bytes(b"x" * 100)

        writer = ArchiveWriter(io.BytesIO(), lambda *_: os.truncate(path, 0))
        path.write_bytes(b"x" * 40_000_000)
        with pytest.raises(OSError, match="end of data"):
            writer.add_file("settings/table", path)

    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("/etc/passwd")
        with pytest.raises(OSError, match="symbolic links"):
            ArchiveWriter(io.BytesIO()).add_file("dkim/link", tmp_path / "link")

    def test_it_has_its_name_when_all_went_well_and_is_private(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tar"
        with written_whole(path) as file:
            assert not path.exists()
            file.write(b"x")
        assert path.stat().st_mode & 0o777 == 0o600
        with suppress(ZeroDivisionError), written_whole(path) as file:
            file.write(b"other")
            raise ZeroDivisionError
        assert path.read_bytes() == b"x"
        assert [each.name for each in tmp_path.iterdir()] == ["a.tar"]

    def test_what_a_killed_backup_left_is_removed_and_not_what_lives(self, tmp_path: Path) -> None:
        code = (
            "from letterlock.storage.backup.writing import written_whole; import sys\n"
            f"from pathlib import Path\nwith written_whole(Path({str(tmp_path)!r}) / 'a.tar'):\n"
            "    print('begun', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", code]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, **pipes) as other:  # type: ignore[call-overload]
            other.stdout.readline()
            with written_whole(tmp_path / "b.tar"):
                assert len(list(tmp_path.glob(".a.tar.*"))) == 1
            other.send_signal(signal.SIGKILL)
            other.wait(30)
        with written_whole(tmp_path / "b.tar"):
            assert list(tmp_path.glob(".a.tar.*")) == []


class TestDamaged:
    @pytest.mark.parametrize("step", [1, 7])
    def test_one_octet_that_changed_is_found_or_meant_nothing(self, step: int) -> None:
        """Padding, times and modes are not looked at: nothing of them is restored."""
        octets = make_archive("node.sqlite", "drop/msg.1")
        whole = check(octets)
        end = octets.rindex(b"}") + 1
        for at in range(0, end, step * 11):
            changed = bytearray(octets)
            changed[at] ^= 1
            try:
                assert check(bytes(changed)) == whole or at > end - 900
            except ArchiveError:
                continue

    def test_what_is_cut_off_anywhere_is_named_so(self) -> None:
        octets = make_archive("node.sqlite", "drop/msg.1")
        end = octets.rindex(b"}") + 1
        for at in range(0, end, 97):
            with pytest.raises(ArchiveError, match=r"cut off|no backup"):
                check(octets[:at])

    def test_a_part_that_was_changed_is_named(self) -> None:
        octets = make_archive("node.sqlite", "drop/msg.1")
        at = 3 * BLOCK  # its octets, after two headers and the octets of the first
        assert octets[at:].startswith(b"drop/msg.1")
        changed = octets[:at] + b"X" + octets[at + 1 :]
        with pytest.raises(ArchiveError, match=r"drop/msg\.1: it is damaged, its SHA-256"):
            check(changed)

    def test_a_part_that_is_missing_or_was_put_in_is_named(self) -> None:
        with pytest.raises(ArchiveError, match=r"node\.sqlite: the manifest does not have it"):
            check(tar((member("node.sqlite"), b"x")))
        whole = make_archive("node.sqlite", "drop/msg.1")
        with pytest.raises(ArchiveError, match=r"msg\.1: the manifest does not have it"):
            check(whole[2 * BLOCK :])


class TestHostile:
    @pytest.mark.parametrize(
        "kind",
        [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE,
         tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, tarfile.XGLTYPE],
    )  # fmt: skip
    def test_links_devices_folders_and_sparse_files_are_refused(self, kind: bytes) -> None:
        with pytest.raises(ArchiveError, match="plain files only"):
            check(tar((member("dkim/a", kind, "/etc/passwd"), b"")))

    @pytest.mark.parametrize(
        "name",
        ["/etc/passwd", "../a", "dkim/../../a", "dkim/./a", "dkim//a", "dkim/", "a", "dkim",
         "queue/x", "queue/shard-000.db-wal", "queue/bodies/shard-000/../x", "node.lock",
         "postgres/queue/messages", "postgres/queue/Messages/000000", "mail/" + "a" * 256,
         "mail/" + "/".join("a" * 2100), "dkim/a\0b"],
    )  # fmt: skip
    def test_names_that_lead_elsewhere_are_refused(self, name: str) -> None:
        with pytest.raises(ArchiveError, match=r"name|leads elsewhere"):
            require_safe_name(name)
        with pytest.raises(ArchiveError):
            check(tar((member(name), b"x")))
        with pytest.raises(ArchiveError):
            parse_manifest(format_manifest(replace(EMPTY, parts=(Part(name, 1, "0" * 64),))))

    def test_a_size_beyond_the_archive_is_refused_before_it_is_read(self) -> None:
        octets = bytearray(make_archive("node.sqlite"))
        octets[124:136] = b"77777777777\0"
        octets[148:156] = b" " * 8
        octets[148:156] = b"%06o\0 " % sum(octets[:BLOCK])
        with pytest.raises(ArchiveError, match=r"node\.sqlite: it is cut off there"):
            check(bytes(octets))

    def test_a_header_of_a_header_is_bounded(self) -> None:
        info = member("dkim/a")
        info.pax_headers = {"comment": "x" * 70_000}
        with pytest.raises(ArchiveError, match="plain files only"):
            check(tar((info, b"x")))

    def test_gnu_forms_are_refused(self) -> None:
        with pytest.raises(ArchiveError, match="not one of tar"):
            check(tar((member("dkim/" + "a" * 150), b"x"), format_=tarfile.GNU_FORMAT))

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            (lambda: replace(EMPTY, format=2), "of form 2, which release 1 writes"),
            (lambda: replace(EMPTY, engine="mongo"), "no queue has the engine 'mongo'"),
            (lambda: replace(EMPTY, parts=(Part("node.sqlite", 1, "0" * 64),) * 2), "twice"),
            (lambda: replace(EMPTY, parts=(Part("node.sqlite", -1, "0" * 64),)), "can't be"),
            (lambda: replace(EMPTY, parts=(Part("node.sqlite", 1, "x"),)), "can't be"),
            (lambda: replace(EMPTY, parts=(Part("node.sqlite", 1, "0" * 64, 5),)), "an owner"),
            (lambda: replace(EMPTY, parts=(Part("drop/a", 1, "0" * 64, -1),)), "an owner"),
        ],
    )
    def test_a_manifest_that_cannot_be_is_refused(
        self, change: Callable[[], Manifest], text: str
    ) -> None:
        with pytest.raises(ArchiveError, match=text):
            parse_manifest(format_manifest(change()))

    @pytest.mark.parametrize("octets", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
    def test_what_is_no_manifest_is_refused(self, octets: bytes) -> None:
        with pytest.raises(ArchiveError, match="not that of a backup"):
            parse_manifest(octets)

    def test_an_empty_file_and_one_of_zeros_are_no_backups(self) -> None:
        with pytest.raises(ArchiveError, match="cut off"):
            load_manifest(io.BytesIO())
        with pytest.raises(ArchiveError, match="cut off"):
            load_manifest(io.BytesIO(bytes(10240)))
        assert list(list_members(io.BytesIO(bytes(10240)))) == []
