"""PROXY headers: both forms, what is none, and where the client's own octets begin."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.proxy.binary_form import (
    MAX_OCTETS,
    MAX_TLVS,
    SIGNATURE,
    format_binary_header,
)
from letterlock.protocols.proxy.crc32c import crc32c
from letterlock.protocols.proxy.headers import Endpoint, HeaderFault, ProxiedTls, ProxyHeader
from letterlock.protocols.proxy.reader import HeaderReader
from letterlock.protocols.proxy.text_form import format_text_header

HOSTS = (Endpoint("192.0.2.7", 56324), Endpoint("198.51.100.25", 25))
HOSTS_6 = (Endpoint("2001:db8::7", 56324), Endpoint("2001:db8::25", 25))
PROXY_4 = 0x21, 0x11
ENDS = bytes((192, 0, 2, 7, 198, 51, 100, 25)) + struct.pack(">HH", 56324, 25)


def read(octets: bytes) -> tuple[ProxyHeader | HeaderFault | None, bytes]:
    reader = HeaderReader()
    return reader.receive(octets), reader.rest


def block(command: int, family: int, octets: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(octets).to_bytes(2, "big") + octets


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


@pytest.mark.parametrize(
    ("line", "header"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.25 56324 25", ProxyHeader(*HOSTS)),
        (b"PROXY TCP6 2001:DB8::7 2001:db8:0::25 56324 25", ProxyHeader(*HOSTS_6)),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:c633:6419 56324 25", ProxyHeader(*HOSTS)),
        (
            b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535",
            ProxyHeader(Endpoint("0.0.0.0", 0), Endpoint("255.255.255.255", 65535)),
        ),
        (b"PROXY UNKNOWN", ProxyHeader()),
        (b"PROXY UNKNOWN any\nthing\r at all \xff", ProxyHeader()),
        (b"PROXY UNKNOWN " + b"f" * 91, ProxyHeader()),
    ],
)
def test_a_line_gives_both_ends(line: bytes, header: ProxyHeader) -> None:
    """The PROXY protocol §2.1."""
    assert read(line + b"\r\nEHLO x\r\n") == (header, b"EHLO x\r\n")


@pytest.mark.parametrize(
    "line",
    [
        *(b"PROXY ", b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2", b"PROXY TCP4 1.2.3.4 1.2.3.4 1"),
        *(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 ", b"PROXY TCP4 1.2.3.4 1.2.3.4  1 2"),
        *(b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2", b"PROXY TCP4 1.2.3 1.2.3.4 1 2"),
        *(b"PROXY TCP4 1.2.3.4 1.2.3.256 1 2", b"PROXY TCP4 ::1 ::1 1 2"),
        *(b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2", b"PROXY TCP6 ::1%lo ::1 1 2"),
        *(b"PROXY TCP6 1::2::3 ::1 1 2", b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2"),
        *(b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999"),
        *(b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2", b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2"),
        *(b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2", b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2"),
        *(b"PROXY UNKNOWNX", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", b"PROXY TCP4\r1.2.3.4 1 1 2"),
    ],
)
def test_a_line_that_is_not_exactly_so_is_none(line: bytes) -> None:
    """The PROXY protocol §2.1: any sequence that does not exactly match the protocol."""
    assert read(line + b"\r\n")[0] is HeaderFault.MALFORMED


def test_a_line_has_107_octets_at_most() -> None:
    """The PROXY protocol §2.1."""
    assert read(b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n")[0] is HeaderFault.TOO_LONG
    assert read(b"PROXY UNKNOWN" + b" " * 93)[0] is None
    assert read(b"PROXY UNKNOWN" + b" " * 94)[0] is HeaderFault.TOO_LONG


@pytest.mark.parametrize("octets", [b"E", b"EHLO x\r\n", b"proxy ", b"PROXYX", b"\r\n\r\nQ", b"\n"])
def test_what_begins_otherwise_is_known_at_once(octets: bytes) -> None:
    """The PROXY protocol §2: a receiver does not guess whether there is a header."""
    assert read(octets)[0] is HeaderFault.NOT_A_HEADER


def test_a_block_gives_both_ends_and_what_is_told() -> None:
    """The PROXY protocol §2.2: what is not known is skipped."""
    told = tlv(0x04, b"\0\0") + tlv(0xE1, b"?") + tlv(0x01, b"smtp") + tlv(0x02, b"mx.example")
    found, rest = read(block(*PROXY_4, ENDS + told) + b"EHLO")
    assert found == ProxyHeader(*HOSTS, alpn=b"smtp", authority="mx.example")
    assert rest == b"EHLO"


@pytest.mark.parametrize("command", [0x20])
@pytest.mark.parametrize("rest", [b"", b"whatever", ENDS])
def test_local_has_no_client(command: int, rest: bytes) -> None:
    """The PROXY protocol §2.2: whatever stands in the block is discarded."""
    for family in (0, 0x11, 0xFF):
        assert read(block(command, family, rest))[0] == ProxyHeader(is_local=True)


@pytest.mark.parametrize(
    ("family", "octets"),
    [(0x00, b""), (0x00, b"\1"), (0x10, b""), (0x01, ENDS), (0x30, b""), (0x31, bytes(216))],
)
def test_a_client_without_an_address_is_unknown(family: int, octets: bytes) -> None:
    """The PROXY protocol §2.2: AF_UNSPEC, and AF_UNIX, which has no address that we know."""
    assert read(block(0x21, family, octets))[0] == ProxyHeader()


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (block(0x11, 0x11, ENDS), HeaderFault.UNKNOWN_VERSION),
        (block(0x31, 0x11, ENDS), HeaderFault.UNKNOWN_VERSION),
        (block(0x22, 0x11, ENDS), HeaderFault.UNKNOWN_COMMAND),
        (block(0x2F, 0x11, ENDS), HeaderFault.UNKNOWN_COMMAND),
        (block(0x21, 0x12, ENDS), HeaderFault.UNKNOWN_FAMILY),
        (block(0x21, 0x13, ENDS), HeaderFault.UNKNOWN_FAMILY),
        (block(0x21, 0x41, ENDS), HeaderFault.UNKNOWN_FAMILY),
        (block(0x21, 0x11, ENDS[:-1]), HeaderFault.MALFORMED),
        (block(0x21, 0x21, ENDS), HeaderFault.MALFORMED),
        (block(0x21, 0x31, ENDS), HeaderFault.MALFORMED),
        (block(0x21, 0x11, ENDS + b"\4\0"), HeaderFault.MALFORMED),
        (block(0x21, 0x11, ENDS + b"\4\0\2x"), HeaderFault.MALFORMED),
        (block(0x21, 0x11, ENDS + tlv(0x03, b"abc")), HeaderFault.MALFORMED),
        (block(0x21, 0x11, ENDS + tlv(0x03, b"abcd")), HeaderFault.WRONG_CHECKSUM),
        (block(0x21, 0x11, ENDS + tlv(0x20, b"\1\0\0\0")), HeaderFault.MALFORMED),
        (block(0x21, 0x11, ENDS + tlv(0x20, b"\1\0\0\0\0!\0\1")), HeaderFault.MALFORMED),
        (block(0x21, 0x11, ENDS + tlv(4, b"") * (MAX_TLVS + 1)), HeaderFault.MALFORMED),
        (block(0x20, 0x00, bytes(MAX_OCTETS)), HeaderFault.TOO_LONG),
    ],
)
def test_a_block_that_breaks_the_rules_is_none(octets: bytes, fault: HeaderFault) -> None:
    """The PROXY protocol §2.2."""
    assert read(octets)[0] is fault


def test_a_block_is_whole_when_all_of_its_length_is_there() -> None:
    whole = block(*PROXY_4, ENDS + tlv(4, bytes(40)))
    assert read(whole[:-1]) == (None, b"")
    assert read(whole)[0] == ProxyHeader(*HOSTS)


def test_the_checksum_is_that_of_the_standard() -> None:
    """RFC 4960 §B; the values are those that iSCSI's standard gives."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_a_changed_octet_is_seen_by_the_checksum() -> None:
    """The PROXY protocol §2.2.3."""
    whole = format_binary_header(ProxyHeader(*HOSTS, authority="mx.example"), has_checksum=True)
    for place in range(16, len(whole) - 7):
        if chr(whole[place]).isalpha():  # not a length or a type
            changed = whole[:place] + bytes((whole[place] ^ 1,)) + whole[place + 1 :]
            assert read(changed)[0] is HeaderFault.WRONG_CHECKSUM


def test_what_is_told_of_tls_is_in_a_block_of_its_own() -> None:
    """The PROXY protocol §2.2.6: without its flag there was no TLS."""
    told = b"\0\0\0\0" + tlv(0x21, b"TLSv1.3") + tlv(0x25, b"RSA2048") + tlv(0x22, b"a\xff")
    for flags, tls in (
        (b"\0", None),
        (b"\1", ProxiedTls("TLSv1.3", common_name="a\ufffd")),
        (b"\7", ProxiedTls("TLSv1.3", common_name="a\ufffd", is_verified=True)),
    ):
        found = read(block(*PROXY_4, ENDS + tlv(0x20, flags + told)))[0]
        assert found == ProxyHeader(*HOSTS, tls=tls)


ports = st.integers(0, 65535)
ends = st.one_of(
    st.tuples(*(st.builds(Endpoint, st.ip_addresses(v=4).map(str), ports),) * 2),
    st.tuples(
        *(
            st.builds(
                Endpoint,
                st.ip_addresses(v=6, network="2000::/3").map(str),
                ports,
            ),
        )
        * 2
    ),
    st.just((None, None)),
)
words = st.text(st.characters(codec="utf-8"), max_size=20)


@st.composite
def headers(draw: st.DrawFn) -> ProxyHeader:
    source, destination = draw(ends)
    if source is None:
        return ProxyHeader(is_local=draw(st.booleans()))
    tls = st.builds(ProxiedTls, words, words, words, is_verified=st.booleans())
    return ProxyHeader(
        source,
        destination,
        tls=draw(st.none() | tls),
        alpn=draw(st.none() | st.binary(max_size=9)),
        authority=draw(st.none() | words),
    )


@given(header=headers(), has_checksum=st.booleans(), rest=st.binary(max_size=20))
def test_a_block_says_what_was_written(
    header: ProxyHeader, has_checksum: bool, rest: bytes
) -> None:
    assert read(format_binary_header(header, has_checksum=has_checksum) + rest) == (header, rest)


@given(header=headers(), rest=st.binary(max_size=20))
def test_a_line_says_the_addresses_that_were_written(header: ProxyHeader, rest: bytes) -> None:
    line = format_text_header(header)
    assert read(line + rest) == (ProxyHeader(header.source, header.destination), rest)


def test_both_ends_are_of_one_family() -> None:
    mixed = ProxyHeader(HOSTS[0], HOSTS_6[1])
    for write in (format_text_header, format_binary_header):
        with pytest.raises(ValueError, match="one family"):
            write(mixed)


@given(
    header=headers(),
    rest=st.binary(max_size=8),
    damage=st.none() | st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=1)),
    is_text=st.booleans(),
)
def test_how_a_header_was_cut_does_not_matter(
    header: ProxyHeader, rest: bytes, damage: tuple[int, bytes] | None, is_text: bool
) -> None:
    octets = (format_text_header if is_text else format_binary_header)(header) + rest
    if damage is not None:
        octets = octets[: damage[0]] + damage[1] + octets[damage[0] + 1 :]
    whole = read(octets)
    for cut in range(len(octets)):
        reader = HeaderReader()
        found = reader.receive(octets[:cut]) if cut else None
        left = octets[cut:]
        if found is None:
            assert reader.has_octets == (cut > 0)
            found, left = reader.receive(octets[cut:]), b""
        assert (found, reader.rest + left) == whole or isinstance(whole[0], HeaderFault)
        assert found == whole[0]


def test_an_end_is_shown_as_one_writes_it() -> None:
    assert [str(each) for each in (HOSTS[0], HOSTS_6[0])] == [
        "192.0.2.7:56324",
        "[2001:db8::7]:56324",
    ]
