"""Incidents: lists of serial numbers in all their forms, our index, certificate files, hosts."""

import tempfile
from contextlib import suppress

from cryptography import x509

from letterlock.protocols.incidents.crls import SerialListError, read_crl_list
from letterlock.protocols.incidents.entries import MAX_ENTRY_CHARACTERS, EntryReader
from letterlock.protocols.incidents.lists import Listed, ListForm, SerialListReader
from letterlock.protocols.incidents.places import PlaceError, parse_place
from letterlock.protocols.incidents.serials import (
    MAX_SERIAL_OCTETS,
    SerialError,
    format_serial,
    parse_serial,
)
from letterlock.protocols.pki.bundles import read_bundle
from letterlock.protocols.pki.certificate import (
    CertificateFacts,
    Unreadable,
    format_pem,
    read_certificate,
    read_issuer_and_serial,
)
from letterlock.storage.serial_lists.building import Sorter
from letterlock.storage.serial_lists.layout import (
    HEADER_OCTETS,
    Description,
    IndexUnusable,
    format_header,
    read_header,
)
from letterlock.storage.serial_lists.source import Stamp
from tests.fuzz.target import Target, split_ways, take_choices
from tests.fuzz.tls import _authority, _leaf
from tests.revocations import make_crl

Read = tuple[list[Listed], ListForm | None, int] | str


def check_list(octets: bytes) -> None:
    """However a list is cut, it is the same list; each serial is one, each place has its text."""
    choices, octets = take_choices(octets, 1)
    whole = read_list([octets])
    for pieces in split_ways(octets, choices[0]):
        assert read_list(pieces) == whole
    if isinstance(whole, str):
        assert whole
        assert len(whole.splitlines()) == 1
        return
    listed, form, _ = whole
    assert form is not None
    places = [place for place, _ in listed]
    assert places == sorted(set(places))
    assert all(0 <= serial < 1 << (8 * MAX_SERIAL_OCTETS) for _, serial in listed)
    texts = read_texts(form, places, [octets])
    assert sorted(texts) == places
    assert all(len(text) <= MAX_ENTRY_CHARACTERS + 3 for text in texts.values())
    for pieces in split_ways(octets, choices[0]):
        assert read_texts(form, places, pieces) == texts


def read_list(pieces: list[bytes]) -> Read:
    reader = SerialListReader()
    listed: list[Listed] = []
    try:
        for piece in pieces:
            listed += reader.receive(piece)
        listed += reader.finish()
    except SerialListError as error:
        return str(error)
    assert (reader.issuer is None) == (reader.form is not ListForm.CRL)
    return listed, reader.form, reader.unreadable


def read_texts(form: ListForm, places: list[int], pieces: list[bytes]) -> dict[int, str]:
    reader = EntryReader(form, places)
    for piece in pieces:
        reader.receive(piece)
    return reader.finish()


def check_serial(octets: bytes) -> None:
    """A serial number that is understood can be written, and is the same then."""
    try:
        serial = parse_serial(octets)
    except SerialError as error:
        assert str(error)
        return
    text = format_serial(serial)
    assert len(text) % 2 == 0
    for same in (text, text.upper(), f"0x{text}", f"serial={text}", text.removeprefix("0") or "0"):
        assert parse_serial(same.encode()) == serial


def check_bundle(octets: bytes) -> None:
    """A file gives something; what cryptography reads has the serial that we read."""
    found = read_bundle(octets)
    assert found
    for each in found:
        if isinstance(each, Unreadable):
            assert each.reason.isprintable()
            continue
        identity, facts = read_issuer_and_serial(each), read_certificate(each)
        if isinstance(facts, CertificateFacts):
            assert identity is not None
            assert f"{identity.serial:x}" == facts.serial
            assert x509.load_der_x509_certificate(each).issuer.public_bytes() == identity.issuer
    read_issuer_and_serial(octets)


def check_crl(octets: bytes) -> None:
    """Serial numbers of one issuer, or the one error."""
    with suppress(SerialListError):
        crl = read_crl_list(octets)
        assert all(0 <= serial < 1 << (8 * MAX_SERIAL_OCTETS) for serial in crl.serials)


def check_header(octets: bytes) -> None:
    """A header is what we wrote, or refused."""
    try:
        header = read_header(octets)
    except IndexUnusable as error:
        assert str(error)
        return
    assert header.layout.total_octets > HEADER_OCTETS
    assert read_header(format_header(header)) == header


def check_place(octets: bytes) -> None:
    """A host and its port, or refused in a line; what was understood reads as the same."""
    try:
        place = parse_place(octets.decode("utf-8", "replace"))
    except PlaceError as error:
        assert len(str(error)) < 1000
        return
    assert all(0 < port <= 0xFFFF for port in place.ports)
    host = f"[{place.host}]" if ":" in str(place.host) else str(place.host)
    assert parse_place(host if place.port is None else f"{host}:{place.port}") == place


LINE = (
    b"serial 0362aabbccddeeff00112233445566778899 131 "
    + b"b8dc" * 16
    + b" names: [a.example b.example] missing CAA checking results for a.example at "
    b"2019-12-03 21:08:34.826011675 +0000 UTC\n"
)
_CRL = make_crl(_authority(), {1: None, 0xABCDEF: x509.ReasonFlags.key_compromise})
_LEAF = _leaf().der
_NEXT = _authority().der


def _make_header() -> bytes:
    sorter = Sorter()
    sorter.add([(1, 5), (2, 7)])
    told = Description(ListForm.LINES, 0, (), None, Stamp(1, 2, 3, 4), "00")
    with tempfile.TemporaryFile() as output:
        return format_header(sorter.write(output, told))


TARGETS = (
    Target(
        "incident-list",
        check_list,
        (
            b"\x07" + LINE + LINE.replace(b"0362", b"362") + LINE.replace(b"0362aa", b"", 1),
            b'\x10serial,reason\r\n03:AB,x\r\n"04cd",y\r\n\r\n',
            b"\x20# affected\n03ab\n0x04CD\nserial=05EF\n4660 (0x1234)\nnone\n",
            b"\x30" + _CRL,
        ),
        (
            *(
                b"serial ",
                b"\n",
                b"\r\n",
                b",",
                b";",
                b'"',
                b":",
                b" ",
                b"#",
                b"0x",
                b"\xef\xbb\xbf",
            ),
            *(b"names: [", b"131 ", b"-----BEGIN X509 CRL-----", b"\xff\xfe", LINE, b"0" * 50),
        ),
        3000,
        runs=400,
    ),
    Target(
        "incident-serial",
        check_serial,
        (b"0362aabb", b"03:AB:cd", b"serial=03AB", b"Serial Number: 4660 (0x1234)", b"03 ab"),
        (b"serial", b":", b" ", b"=", b"0x", b"(", b")", b"-", b"_", b"+", b"0" * 40),
        300,
        runs=2000,
    ),
    Target(
        "certificate-file",
        check_bundle,
        (_LEAF + _NEXT, format_pem(_LEAF).encode() + b"text\n" + format_pem(_NEXT).encode()),
        (b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----", b"TRUSTED ", b"\x30\x82"),
        4000,
        runs=600,
    ),
    Target("incident-crl", check_crl, (_CRL,), (b"\x30", b"\x02\x01", b"\x80"), 2000, runs=1000),
    Target(
        "incident-index",
        check_header,
        (_make_header(),),
        (b'"entries": ', b"-1", b"null", b"1e9", b"[", b"]"),
        5000,
        runs=500,
    ),
    Target(
        "incident-place",
        check_place,
        (b"mail.example.org:25", b"192.0.2.1", b"[2001:db8::1]:993", b"2001:db8::1"),
        (b":", b"[", b"]", b".", b"%", b"::", b"0", b"65536", b"xn--"),
        400,
        runs=2000,
    ),
)
