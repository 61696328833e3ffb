"""RFC 8460 §5.2, RFC 1952: what is packed is unpacked within bounds, or is the one error."""

import gzip
import io
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tlsrpt.limits import (
    MAX_GZIP_MEMBERS,
    MAX_PACKED_LAYERS,
    MAX_REPORT_OCTETS,
    MAX_REPORTS,
    MAX_ZIP_ENTRIES,
)
from letterlock.protocols.tlsrpt.mail import pack
from letterlock.protocols.tlsrpt.report import Fault, ReportError
from letterlock.protocols.tlsrpt.unpacking import is_packed, unpack
from letterlock.protocols.tlsrpt.zip_files import read_zip

TEXT = b'{"a": 1}'


def make_zip(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", method) as opened:
        for name, octets in files:
            opened.writestr(name, octets)
    return archive.getvalue()


def refuse(octets: bytes) -> Fault:
    with pytest.raises(ReportError) as caught:
        unpack(octets)
    assert str(caught.value).isprintable()
    return caught.value.fault


@given(st.binary(max_size=2000).filter(lambda octets: not is_packed(octets)))
def test_what_is_packed_is_unpacked_as_it_was(octets: bytes) -> None:
    assert unpack(pack(octets)) == [(octets, ())]
    assert pack(octets) == pack(octets)
    assert unpack(octets) == [(octets, ())]


@pytest.mark.parametrize(
    ("octets", "notes"),
    [
        (gzip.compress(TEXT[:3]) + gzip.compress(TEXT[3:]), ()),
        (gzip.compress(TEXT) + b"\0\0\0", ()),
        (gzip.compress(TEXT) + b"more", ("octets behind the gzip data are left out",)),
        (zlib.compress(TEXT), ("zlib, not gzip",)),
        (gzip.compress(gzip.compress(TEXT)), ("packed twice",)),
        (make_zip(("a.json", TEXT)), ("in a zip archive, not gzip",)),
        (
            make_zip(("a.json", TEXT), method=zipfile.ZIP_STORED),
            ("in a zip archive, not gzip",),
        ),
        (
            make_zip(("a.json.gz", gzip.compress(TEXT))),
            ("in a zip archive, not gzip", "packed twice"),
        ),
    ],
)
def test_other_ways_of_packing_are_understood_and_named(
    octets: bytes, notes: tuple[str, ...]
) -> None:
    """Rule 195."""
    assert unpack(octets) == [(TEXT, notes)]


def test_the_files_of_an_archive_are_all_given_and_folders_are_not() -> None:
    archive = make_zip(("a/", b""), ("a/b.json", b"1"), ("__MACOSX/b", b"2"), ("c", b"3"))
    assert [octets for octets, _ in unpack(archive)] == [b"1", b"3"]


def test_a_large_report_is_unpacked_whole() -> None:
    octets = bytes(range(256)) * (MAX_REPORT_OCTETS // 256)
    assert unpack(gzip.compress(octets, 1)) == [(octets, ())]
    assert refuse(gzip.compress(octets + b"x", 1)) is Fault.TOO_LARGE


def test_a_bomb_is_refused_in_little_memory() -> None:
    """50 MB in 51 kB; rule 193."""
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 52_000
    tracemalloc.start()
    try:
        assert refuse(bomb) is Fault.TOO_LARGE
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_bombs_in_archives_and_in_many_members_are_refused() -> None:
    large = bytes(MAX_REPORT_OCTETS // 3)
    assert refuse(make_zip(*((str(number), large) for number in range(4)))) is Fault.TOO_LARGE
    assert refuse(gzip.compress(large) * 4) is Fault.TOO_LARGE
    assert refuse(gzip.compress(b"x") * (MAX_GZIP_MEMBERS + 1)) is Fault.TOO_LARGE
    assert refuse(bytes(MAX_REPORT_OCTETS + 1)) is Fault.TOO_LARGE


def test_packed_too_often_is_refused() -> None:
    octets = TEXT
    for _ in range(MAX_PACKED_LAYERS):
        octets = gzip.compress(octets)
    assert unpack(octets)[0][0] == TEXT
    assert refuse(gzip.compress(octets)) is Fault.TOO_LARGE


def test_too_many_files_are_refused() -> None:
    files = [(str(number), b"x") for number in range(MAX_ZIP_ENTRIES + 1)]
    assert refuse(make_zip(*files)) is Fault.TOO_LARGE
    assert refuse(make_zip(*files[: MAX_REPORTS + 1])) is Fault.TOO_LARGE


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_damage_is_told(size: int) -> None:
    """Cut off, and with a wrong checksum, in small ones and large ones."""
    packed = gzip.compress(b"ab" * size)
    assert refuse(packed[:-9]) is Fault.DAMAGED
    assert refuse(packed[:-8] + bytes(8)) is Fault.DAMAGED
    assert refuse(packed[:10] + b"\xff" * 20) is Fault.DAMAGED


def test_an_encrypted_archive_is_refused_as_that() -> None:
    archive = bytearray(make_zip(("a.json", TEXT)))
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    assert refuse(bytes(archive)) is Fault.ENCRYPTED


def test_an_archive_without_files_has_no_report() -> None:
    assert refuse(make_zip()) is Fault.NO_REPORT


def change(octets: bytes, signature: bytes, offset: int, new: bytes) -> bytes:
    at = octets.index(signature) + offset
    return octets[:at] + new + octets[at + len(new) :]


@pytest.mark.parametrize(
    ("signature", "offset", "new"),
    [
        (b"PK\x05\x06", 0, b"PK\0\0"),
        (b"PK\x05\x06", 16, b"\xff\xff\0\0"),
        (b"PK\x01\x02", 0, b"PK\0\0"),
        (b"PK\x01\x02", 10, b"\x63\0"),
        (b"PK\x01\x02", 16, b"\0\0\0\0"),
        (b"PK\x01\x02", 24, b"\xff\0\0\0"),
        (b"PK\x01\x02", 24, b"\1\0\0\0"),
        (b"PK\x01\x02", 42, b"\xff\xff\xff\xff"),
        (b"PK\x01\x02", 42, b"\4\0\0\0"),
        (b"PK\x03\x04", 36, b"\xff" * 3),
    ],
)
def test_a_damaged_archive_is_refused(signature: bytes, offset: int, new: bytes) -> None:
    archive = make_zip(("a.json", TEXT * 20))
    assert refuse(change(archive, signature, offset, new)) is Fault.DAMAGED


def test_an_archive_that_claims_too_much_is_refused_before_it_is_unpacked() -> None:
    archive = make_zip(("a.json", TEXT))
    claimed = change(archive, b"PK\x01\x02", 24, (MAX_REPORT_OCTETS + 1).to_bytes(4, "little"))
    assert refuse(claimed) is Fault.TOO_LARGE


def test_a_name_of_great_length_is_not_looked_at() -> None:
    assert read_zip(make_zip(("x" * 2000 + "/", b"1"))) == [b"1"]


@given(st.binary(max_size=400), st.integers(0, 400), st.sampled_from([b"", b"\xff", b"PK"]))
def test_any_octets_are_unpacked_or_refused(octets: bytes, at: int, added: bytes) -> None:
    for packed in (make_zip(("a", octets)), gzip.compress(octets), b"\x1f\x8b" + octets):
        try:
            unpack(packed[:at] + added + packed[at:])
        except ReportError as error:
            assert str(error).isprintable()  # noqa: PT017 - any of them
