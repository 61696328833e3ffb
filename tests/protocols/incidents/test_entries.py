"""What a list says of a place, found again."""

import pytest
from cryptography import x509

from letterlock.protocols.incidents.crls import SerialListError
from letterlock.protocols.incidents.entries import MAX_ENTRY_CHARACTERS, EntryReader
from letterlock.protocols.incidents.lists import ListForm
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from tests.fakes import START
from tests.revocations import make_crl

TEXT = b"first\nsecond \x00 line\r\n\n" + b"x" * 3000 + b"\nlast"


def find(form: ListForm, octets: bytes, *places: int, size: int = 7) -> dict[int, str]:
    reader = EntryReader(form, places)
    for at in range(0, len(octets), size):
        reader.receive(octets[at : at + size])
    return reader.finish()


@pytest.mark.parametrize("size", [1, 2, 5, 100, 10_000])
def test_lines_are_found_by_their_numbers(size: int) -> None:
    found = find(ListForm.LINES, TEXT, 5, 2, 4, size=size)
    assert found == {
        2: "second \x00 line",
        4: "x" * MAX_ENTRY_CHARACTERS + "...",
        5: "last",
    }
    assert find(ListForm.CSV, TEXT, 1, 9, size=size) == {1: "first"}


def test_reading_may_stop_when_all_are_found() -> None:
    reader = EntryReader(ListForm.LINES, [1])
    done = [reader.is_done]
    reader.receive(b"one\ntwo\n")
    done.append(reader.is_done)
    assert done == [False, True]
    reader.receive(b"three\n")
    assert reader.finish() == {1: "one"}


def test_entries_of_a_crl_say_when_and_why() -> None:
    """RFC 5280 §5.1.2.6, §5.3.1."""
    crl = make_crl(ThrowawayCa("Ca", START), {7: None, 8: x509.ReasonFlags.superseded, 9: None})
    when = f"{START:%Y-%m-%dT%H:%M:%SZ}"
    assert find(ListForm.CRL, crl, 1, 2) == {
        1: f"revoked {when}, unspecified",
        2: f"revoked {when}, superseded",
    }
    with pytest.raises(SerialListError):
        find(ListForm.CRL, crl[:-9], 1)
