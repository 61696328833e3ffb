"""Backups, which may come from anywhere: tar headers, pax records, the manifest, and the whole."""

import contextlib
from io import BytesIO

from letterlock.storage.backup.manifest import (
    MANIFEST,
    ArchiveError,
    Manifest,
    format_manifest,
    parse_manifest,
    require_safe_name,
)
from letterlock.storage.backup.reading import check_archive, parse_pax, parse_tar_header
from letterlock.storage.backup.writing import ArchiveWriter
from tests.fuzz.target import Target

EMPTY = Manifest(
    format=1, release="1", hostname="h", moment="", ended="", engine="sqlite", queue_schema=3,
    node_schema=5, messages=0, data_dir="/d", folders={}, settings="/s", has_mailboxes=False,
)  # fmt: skip


def make_archive(*names: str) -> bytes:
    file = BytesIO()
    writer = ArchiveWriter(file)
    for name in names:
        writer.add_octets(name, name.encode())
    writer.finish(EMPTY)
    return file.getvalue()


def check_backup(octets: bytes) -> None:
    """What is taken has safe names, and its parts are no larger than the archive."""
    with contextlib.suppress(ArchiveError):
        manifest = check_archive(BytesIO(octets))
        assert manifest.size <= len(octets)
        for part in manifest.parts:
            assert not part.name.startswith("/")
            assert ".." not in part.name.split("/")


def check_pieces(octets: bytes) -> None:
    """Each reader gives a value or says what is wrong."""
    with contextlib.suppress(ArchiveError):
        header = parse_tar_header(octets[:512])
        assert header is None or header.size >= 0
    with contextlib.suppress(ArchiveError):
        parse_pax(octets)
    with contextlib.suppress(ArchiveError):
        manifest = parse_manifest(octets)
        assert parse_manifest(format_manifest(manifest)) == manifest
    with contextlib.suppress(ArchiveError):
        require_safe_name(octets.decode("utf-8", "surrogateescape"))


_ARCHIVE = make_archive("node.sqlite", "dkim/" + "x" * 120)
TARGETS = (
    Target(
        "backup", check_backup, (_ARCHIVE,),
        (bytes(512), b"ustar\0", MANIFEST.encode(), b"../", b"30 path=/etc/passwd\n"),
        max_octets=8192, runs=400,
    ),
    Target(
        "backup-pieces", check_pieces,
        (_ARCHIVE[:512], b"11 path=ab\n12 size=123\n", format_manifest(EMPTY)),
        (b"path=", b"size=", b"\n", b"9", b"/../", b"ustar\0", b"parts"),
        runs=1000,
    ),
)  # fmt: skip
