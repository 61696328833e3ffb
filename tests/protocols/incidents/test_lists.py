"""Lists of serial numbers: each form, what is wrong in them, and any cut."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.incidents import lists
from letterlock.protocols.incidents.crls import SerialListError
from letterlock.protocols.incidents.lists import Listed, ListForm, SerialListReader
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from tests.fakes import START
from tests.revocations import make_crl

HASH = "b8dc" * 16


def line(serial: str, account: str = "131") -> str:
    """A line of 2020."""
    return (
        f"serial {serial} {account} {HASH} names: [a.example b.example] missing CAA checking "
        "results for a.example at 2019-12-03 21:08:34.826011675 +0000 UTC\n"
    )


def read(*pieces: bytes) -> tuple[SerialListReader, list[Listed]]:
    reader = SerialListReader()
    listed = [each for piece in pieces for each in reader.receive(piece)]
    return reader, listed + reader.finish()


def test_the_text_of_2020_is_read() -> None:
    text = line("0362aabbccddeeff00112233445566778899") + line("04" + "00" * 17, "9999999")
    reader, listed = read(text.encode())
    assert reader.form is ListForm.LINES_OF_2020
    assert listed == [(1, 0x0362AABBCCDDEEFF00112233445566778899), (2, 4 << 136)]
    assert (reader.unreadable, reader.issuer) == (0, None)


def test_a_line_of_2020_without_its_serial_is_nobodys_and_never_its_accounts() -> None:
    """`look ""` matched all in 2020; and an account's number would read as a serial."""
    text = line("03ab") + line("") + f"serial 131 {HASH} names: [a]\n" + line("362aa") + "serial\n"
    reader, listed = read(text.encode())
    assert listed == [(1, 0x3AB), (4, 0x362AA)]
    assert reader.unreadable == 3
    assert [fault.line for fault in reader.faults] == [2, 3, 5]
    assert "no serial number" in reader.faults[0].reason


def test_a_list_that_begins_with_a_line_without_serial_is_the_text_of_2020_all_the_same() -> None:
    reader, listed = read((line("") + line("03ab")).encode())
    assert (reader.form, listed) == (ListForm.LINES_OF_2020, [(2, 0x3AB)])


def test_colons_and_upper_case_count_in_the_text_of_2020_too() -> None:
    _, listed = read((line("03:AB") + line("03CD") + line("03ef")).encode())
    assert [serial for _, serial in listed] == [0x3AB, 0x3CD, 0x3EF]


def test_one_a_line_with_comments_blanks_and_a_last_line_that_has_no_end() -> None:
    text = b"\xef\xbb\xbf# affected\r\n\r\nserial\r\n03AB\r\n\r\n03:cd\nserial=05\n0x6"
    reader, listed = read(text)
    assert reader.form is ListForm.LINES
    assert listed == [(4, 0x3AB), (6, 0x3CD), (7, 5), (8, 6)]
    assert reader.unreadable == 0


@pytest.mark.parametrize(
    ("text", "serials"),
    [
        ("name,serial,why\na.example,03AB,x\nb.example,04:cd,y\n", [0x3AB, 0x4CD]),
        ('"Certificate Serial Number";"name"\n"03AB";"a;b"\n', [0x3AB]),
        ("03ab,131\n04cd,132\n", [0x3AB, 0x4CD]),
        ("serial,03ab\n04,x\n", [4]),
        ("03ab,serial\n04,05\n", [5]),
        ("id\tserial_number\n7\t03ab\n", [0x3AB]),
        ("\n# why\nserial,order\n03ab,1\n", [0x3AB]),
    ],
)
def test_csv_has_a_heading_that_names_the_column_or_the_serial_first(
    text: str, serials: list[int]
) -> None:
    reader, listed = read(text.encode())
    assert reader.form is ListForm.CSV
    assert [serial for _, serial in listed] == serials
    assert reader.unreadable == 0


def test_rows_without_the_column_and_what_a_spreadsheet_made_are_told() -> None:
    text = b'name,serial\na,03ab\nb\nc,3.62E+41\nd,\ne,"04"\nf,05\ng,"\0\n'
    reader, listed = read(text)
    assert listed == [(2, 0x3AB), (6, 4), (7, 5)]
    assert reader.unreadable == 4
    reasons = [fault.reason for fault in reader.faults]
    assert len(reasons) == lists.MAX_FAULTS
    assert "3.62E+41" in reasons[1]


def test_a_first_row_that_cannot_be_read_is_a_row_like_others() -> None:
    """Found by fuzzing."""
    reader, listed = read(b'"a,b\n03ab,x\n04,y\n')
    assert (reader.form, listed) == (ListForm.CSV, [(2, 0x3AB), (3, 4)])
    assert [fault.line for fault in reader.faults] == [1]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "no serial number is in it"),
        (b"\n\n# nothing\n", "no serial number is in it"),
        (b"<html>\n<title>404</title>\n", "no serial number is in it"),
        (b"03ab\n" + b"what\n" * 11, "11 of its lines have no serial number, line 2"),
        (b"\xff\xfe0\x003\x00", "UTF-16"),
        (b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "--cert"),
        (b"-----BEGIN X509 CRL-----\nAA", "does not end"),
        (b"\x30\x82\x01\x00abc", "not a CRL"),
    ],
)
def test_what_is_no_list_is_refused(octets: bytes, reason: str) -> None:
    with pytest.raises(SerialListError, match=reason):
        read(octets)


@pytest.mark.parametrize(
    "head", ["", "# from the authority\n\n", "Certificate Revocation List (CRL):\n"]
)
def test_crls_are_lists_der_and_pem(head: str) -> None:
    """RFC 5280 §5; places are those of the entries."""
    ca = ThrowawayCa("Ca", START)
    der = make_crl(ca, {7: None, 0xABCDEF: None})
    pem = to_pem(der)
    for pieces in ([der], [der[:1], der[1:50], der[50:]], [head.encode() + pem], [pem.rstrip()]):
        reader, listed = read(*pieces)
        assert reader.form is ListForm.CRL
        assert listed == [(1, 7), (2, 0xABCDEF)]
        assert reader.issuer == ca.issued.certificate.subject.public_bytes()


def test_an_empty_crl_is_a_list_of_nobody() -> None:
    assert read(make_crl(ThrowawayCa("Ca", START)))[1] == []


def to_pem(der: bytes) -> bytes:
    from base64 import encodebytes  # noqa: PLC0415 - here only

    return b"-----BEGIN X509 CRL-----\n" + encodebytes(der) + b"-----END X509 CRL-----\n"


def test_what_goes_beyond_the_limits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_LINE_OCTETS", 50)
    with pytest.raises(SerialListError, match="line 2 has more than 50 octets"):
        read(b"03ab\n", b"0" * 51)
    monkeypatch.setattr(lists, "MAX_ENTRIES", 2)
    with pytest.raises(SerialListError, match="more than 2 entries"):
        read(b"1\n2\n3\n")
    with pytest.raises(SerialListError, match="more than 2 entries"):
        read(line("1").encode() * 3)
    monkeypatch.setattr(lists, "MAX_CRL_OCTETS", 100)
    with pytest.raises(SerialListError, match="a CRL of more than 100 octets"):
        read(make_crl(ThrowawayCa("Ca", START)))


LISTS = st.one_of(
    st.lists(st.integers(0, (1 << 160) - 1).map(lambda n: line(f"{n:036x}")), min_size=1),
    st.lists(st.integers(0, (1 << 160) - 1).map(lambda n: f"{n:x}\r\n"), min_size=1),
    st.lists(st.integers(0, 255).map(lambda n: f"a,{n:02x}\n"), min_size=1).map(
        lambda rows: ["name,serial\n", *rows]
    ),
).map(lambda rows: "".join(rows).encode())


@given(LISTS, st.lists(st.integers(0, 3000), max_size=6))
def test_how_a_list_is_cut_does_not_matter(octets: bytes, cuts: list[int]) -> None:
    def pieces() -> Iterator[bytes]:
        ends = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
        for start, end in pairwise(ends):
            yield octets[start:end]

    whole, cut = read(octets), read(*pieces())
    assert cut[1] == whole[1]
    assert cut[0].form == whole[0].form
    assert len(whole[1]) == octets.count(b"\n") - octets.startswith(b"name")
