"""Indexes of lists of serial numbers (letterlock.storage.serial_lists): whole, or made anew."""

import gzip
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.base.errors import LocalError
from letterlock.protocols.incidents.lists import ListForm
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from letterlock.storage.serial_lists import index as module
from letterlock.storage.serial_lists import layout, source
from letterlock.storage.serial_lists.building import Sorter
from letterlock.storage.serial_lists.index import ListUnusable, SerialIndex, open_list
from letterlock.storage.serial_lists.layout import Description, IndexUnusable
from letterlock.storage.serial_lists.source import ListDamaged, ListFile, Stamp
from tests.fakes import START
from tests.protocols.incidents.test_lists import line
from tests.revocations import make_crl

TOLD = Description(ListForm.LINES, 0, (), None, Stamp(1, 2, 3, 4), "00")


def silence(done: int, total: int) -> None:
    assert 0 < done <= total or total == 0


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make(path: Path, serials: Mapping[int, int]) -> SerialIndex:
    """Make an index of serial numbers and their places."""
    sorter = Sorter()
    sorter.add([(place, serial) for serial, place in serials.items()])
    with path.open("w+b") as file:
        sorter.write(file, TOLD)
        return SerialIndex(file)


SERIALS = st.one_of(
    st.integers(0, 300),
    st.integers(0, (1 << 160) - 1),
    # Those of one bucket, and those that differ in their first octets only.
    st.integers(0, 300).map(lambda number: number << 16 | 0xABCD),
    st.integers(0, 255).map(lambda number: number << 152 | 5),
)


FEW = 20 if settings().max_examples <= 100 else settings().max_examples
"""Each example writes and syncs a file. All in `proof`."""


@pytest.mark.parametrize("many", [1, 1 << 16])
@settings(max_examples=FEW)
@given(
    serials=st.dictionaries(SERIALS, st.integers(1, (1 << 32) - 1), max_size=200),
    others=st.lists(SERIALS),
)
def test_all_that_is_in_it_is_found_and_nothing_else(
    many: int,
    serials: dict[int, int],
    others: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    ordered = dict(sorted(serials.items(), key=lambda item: item[1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("letterlock.storage.serial_lists.building.MANY_ENTRIES", many)
        index = make(tmp_path_factory.getbasetemp() / "one.index", ordered)
    with index:
        assert index.entries == len(serials)
        assert {serial: index.find(serial) for serial in serials} == serials
        for other in others:
            assert index.find(other) == serials.get(other)
        assert index.find(-1) is None


def test_a_bucket_of_thousands_is_searched_step_by_step(tmp_path: Path) -> None:
    """Whoever chooses serial numbers that end alike makes it slower, and not wrong."""
    serials = {number << 16 | 7: number + 1 for number in range(0, 6000, 2)}
    with make(tmp_path / "one.index", serials) as index:
        assert all(index.find(serial) == place for serial, place in serials.items())
        assert all(index.find(number << 16 | 7) is None for number in range(1, 6000, 2))


def test_of_a_serial_that_comes_twice_the_first_place_counts(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("03ab\n04\n3AB\n")
    opened = open_list(tmp_path / "list", None, silence)
    with opened.index as index:
        assert (index.entries, index.find(0x3AB)) == (2, 1)


def test_a_small_list_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(line("03ab") + line("04cd"))
    opened = open_list(tmp_path / "list", None, silence)
    with opened.index as index:
        assert index.find(0x4CD) == 2
        assert opened.read_entries([2])[2].startswith("serial 04cd 131")
        assert opened.read_entries([]) == {}
    assert list_names(tmp_path) == ["list"]


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A packed list that is large enough to keep an index of, and was there for some time."""
    monkeypatch.setattr(module, "SMALL_OCTETS", 10)
    monkeypatch.setattr(module, "_SURE_NS", -(1 << 62))
    path = tmp_path / "list.gz"
    path.write_bytes(gzip.compress("".join(map(line, ("03ab", "04cd", "05ef"))).encode()))
    return path


def look(path: Path, serial: int, kept: Path | None = None) -> tuple[int | None, str | None, bool]:
    """Give the place, the note, and whether the list was read."""
    told: list[int] = []
    opened = open_list(path, kept, lambda done, _total: told.append(done))
    with opened.index as index:
        return index.find(serial), opened.note, bool(told)


def test_an_index_is_made_once_beside_the_list(packed: Path) -> None:
    assert look(packed, 0x4CD) == (2, None, True)
    beside = packed.with_name("list.gz.index")
    assert list_names(packed.parent) == ["list.gz", "list.gz.index"]
    assert beside.stat().st_mode & 0o777 == 0o600 | packed.stat().st_mode & 0o044
    assert look(packed, 0x4CD) == (2, None, False)


def test_an_index_is_kept_where_the_operator_says(packed: Path, tmp_path: Path) -> None:
    kept = tmp_path / "elsewhere"
    assert look(packed, 0x4CD, kept) == (2, None, True)
    assert look(packed, 0x4CD, kept) == (2, None, False)
    with pytest.raises(LocalError, match="cannot be written"):
        look(packed, 0x4CD, tmp_path / "none" / "index")


def test_a_list_that_changed_is_indexed_anew(packed: Path) -> None:
    look(packed, 1)
    text = gzip.compress("".join(map(line, ("03ab", "04cd", "05ee"))).encode())
    status = packed.stat()
    packed.write_bytes(text)
    os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert look(packed, 0x5EE) == (3, None, True)
    packed.write_bytes(gzip.compress(line("06").encode()))
    assert look(packed, 6) == (1, None, True)


def test_a_list_that_was_only_touched_is_not_indexed_anew(packed: Path) -> None:
    look(packed, 1)
    os.utime(packed, (5, 5))
    assert look(packed, 0x3AB) == (1, None, False)


def test_a_list_that_is_as_young_as_its_index_is_compared(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two changes within one tick of the file system's clock have one time."""
    look(packed, 1)
    monkeypatch.setattr(module, "_SURE_NS", 1 << 62)
    assert look(packed, 0x3AB) == (1, None, False)
    monkeypatch.setattr(ListFile, "find_digest", lambda _self: "another")
    assert look(packed, 0x3AB) == (1, None, True)


@pytest.mark.parametrize("at", [0, 9, 60, 4096, -1])
def test_a_damaged_index_is_made_anew(packed: Path, at: int) -> None:
    look(packed, 1)
    beside = packed.with_name("list.gz.index")
    octets = bytearray(beside.read_bytes())
    octets[at] ^= 1
    beside.write_bytes(octets)
    assert look(packed, 0x3AB) == (1, None, True)
    beside.write_bytes(octets[:-1])
    assert look(packed, 0x3AB) == (1, None, True)
    beside.write_bytes(b"")
    assert look(packed, 0x3AB) == (1, None, True)
    assert look(packed, 0x3AB) == (1, None, False)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to somebody else")
def test_an_index_that_a_stranger_left_is_not_believed(packed: Path) -> None:
    """Beside a list in /tmp, anybody can leave one."""
    look(packed, 1)
    beside = packed.with_name("list.gz.index")
    os.chown(packed, 65534, 65534)
    os.chown(beside, 65533, 65533)
    assert look(packed, 0x3AB) == (1, None, True)
    beside.chmod(0o666)
    assert look(packed, 0x3AB) == (1, None, True)


def test_where_the_index_cannot_be_kept_there_is_a_note(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> tuple[int, str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", fail)
    place, note, _ = look(packed, 0x3AB)
    assert place == 1
    assert note is not None
    assert "--index" in note
    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    with pytest.raises(LocalError, match="TMPDIR"):
        look(packed, 0x3AB)


def test_a_run_that_fails_leaves_no_half_index(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed.write_bytes(packed.read_bytes()[:-3])
    with pytest.raises(ListUnusable, match="cut off"):
        look(packed, 1)
    assert list_names(packed.parent) == ["list.gz"]
    monkeypatch.setattr(ListFile, "has_changed", lambda _self: True)
    packed.write_bytes(gzip.compress(line("06").encode()))
    with pytest.raises(ListUnusable, match="changed while it was read"):
        look(packed, 1)
    assert list_names(packed.parent) == ["list.gz"]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (gzip.compress(b"03ab\n")[:-1], "cut off"),
        (gzip.compress(b"03ab\n")[:9], "cut off"),
        (gzip.compress(b"03ab\n")[:-6] + b"\0\0\0\0\0\0", "damaged: gzip says"),
        (gzip.compress(b"03ab\n") + b"xxxxxxxxxxxxxxxxxxxx", "damaged: gzip says"),
        (b"\x1f\x8b\x08", "cut off"),
        (b"<html>404</html>", "no serial number is in it"),
    ],
)
def test_what_is_no_whole_list_is_refused(tmp_path: Path, octets: bytes, reason: str) -> None:
    """RFC 1952 §2.3.1: a shorter list would make somebody look unaffected."""
    (tmp_path / "list").write_bytes(octets)
    with pytest.raises(ListUnusable, match=reason):
        open_list(tmp_path / "list", None, silence)


def test_packed_lists_may_be_of_several_parts_with_padding(tmp_path: Path) -> None:
    """RFC 1952 §2.2."""
    text = gzip.compress(b"03ab\n04") + gzip.compress(b"cd\n") + b"\0" * 600
    (tmp_path / "list").write_bytes(text)
    opened = open_list(tmp_path / "list", None, silence)
    with opened.index as index:
        assert (index.find(0x3AB), index.find(0x4CD)) == (1, 2)


def test_what_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_OCTETS", 100)
    (tmp_path / "list").write_bytes(gzip.compress(b"\n" * 101))
    with ListFile(tmp_path / "list") as file, pytest.raises(ListDamaged, match="more than 100"):
        list(file.read_unpacked())


def test_a_packed_crl_has_an_issuer_and_its_entries_are_found(packed: Path) -> None:
    """RFC 5280 §5.1.2.6."""
    ca = ThrowawayCa("Ca", START)
    packed.write_bytes(gzip.compress(make_crl(ca, {7: None, 9: None})))
    opened = open_list(packed, None, lambda *_: None)
    for each in (opened, open_list(packed, None, lambda *_: None)):
        with each.index as index:
            assert index.description.issuer == ca.issued.certificate.subject.public_bytes()
            assert index.find(9) == 2
            assert "unspecified" in each.read_entries([2])[2]
    packed.write_bytes(b"\x1f\x8b")
    with pytest.raises(LocalError, match="cut off"):
        opened.read_entries([2])


def test_a_list_that_comes_through_a_pipe_is_read_once(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"03ab\n04cd\n")
    os.close(writer)
    opened = open_list(Path(f"/dev/fd/{reader}"), tmp_path / "index", lambda *_: None)
    os.close(reader)
    with opened.index as index:
        assert index.find(0x4CD) == 2
        assert opened.read_entries([2]) == {}
    assert list_names(tmp_path) == []


def test_what_cannot_be_opened_or_read_is_an_error_of_ours(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(LocalError, match=reason):
            open_list(path, None, silence)


@pytest.mark.parametrize(
    "change",
    [
        (b'"version": 1', b'"version": 2'),
        (b'"entries": 3', b'"entries": -3'),
        (b'"entries": 3', b'"entries": null'),
        (b'"faults": []', b'"faults": 7'),
        (b'"form"', b'"from"'),
        (b'"bucket_octets": 1', b'"bucket_octets": 9'),
    ],
)
def test_a_header_that_says_what_cannot_be_is_refused(
    packed: Path, change: tuple[bytes, bytes]
) -> None:
    look(packed, 1)
    octets = packed.with_name("list.gz.index").read_bytes()
    assert change[0] in octets
    length = int.from_bytes(octets[40:44])
    text = octets[44 : 44 + length].replace(*change)
    head = len(text).to_bytes(4) + text
    digest = hashlib.sha256(head).digest()
    with pytest.raises(IndexUnusable):
        layout.read_header(layout.MAGIC + digest + head)
