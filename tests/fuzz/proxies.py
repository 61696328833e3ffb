"""What a proxy says of its client, before the client says anything: PROXY headers."""

from letterlock.protocols.proxy import binary_form, text_form
from letterlock.protocols.proxy.binary_form import (
    FIXED_OCTETS,
    MAX_OCTETS,
    SIGNATURE,
    format_binary_header,
    parse_binary_header,
)
from letterlock.protocols.proxy.headers import (
    MAX_PORT,
    Endpoint,
    HeaderError,
    HeaderFault,
    ProxiedTls,
    ProxyHeader,
    make_endpoint,
)
from letterlock.protocols.proxy.reader import HeaderReader
from letterlock.protocols.proxy.text_form import format_text_header, parse_text_header
from tests.fuzz.target import Target, split_ways, take_choices

_ENDS = Endpoint("192.0.2.7", 56324), Endpoint("198.51.100.25", 25)
_ENDS_6 = Endpoint("2001:db8::7", 1), Endpoint("2001:db8::25", 465)
_TOLD = ProxyHeader(
    *_ENDS, tls=ProxiedTls("TLSv1.3", "X", "a", is_verified=True), alpn=b"smtp", authority="mx"
)
_BLOCKS = (
    format_binary_header(_TOLD, has_checksum=True),
    format_binary_header(ProxyHeader(*_ENDS_6)),
    format_binary_header(ProxyHeader(is_local=True)),
    SIGNATURE + b"\x21\x31\0\xd8" + bytes(216),
)
_LINES = (
    format_text_header(_TOLD),
    format_text_header(ProxyHeader(*_ENDS_6)),
    b"PROXY UNKNOWN\r\n",
)
_WORDS = (
    b"PROXY ",
    b"TCP4",
    b"TCP6",
    b"UNKNOWN",
    b"\r\n",
    b" 1.2.3.4",
    b" ::1",
    b"65535",
    b"01",
    SIGNATURE,
)


def check_header(octets: bytes) -> None:
    """A connection's start gives one header or one fault, however it came; the rest is kept."""
    (choice,), wire = take_choices(octets, 1)
    found, rest = _read([wire])
    assert found is None or isinstance(found, ProxyHeader | HeaderFault)
    if found is None:
        assert len(wire) < MAX_OCTETS
        assert rest == b""
    if isinstance(found, ProxyHeader):
        assert wire.endswith(rest)
        _check_ends(found)
    for pieces in split_ways(wire, choice):
        assert _read(pieces)[0] == found
        assert isinstance(found, HeaderFault) or _read(pieces)[1] == rest


def check_forms(octets: bytes) -> None:
    """Either form is read or refused with a reason, and what was read can be written again."""
    try:
        header = parse_text_header(octets)
    except HeaderError as error:
        assert error.fault is HeaderFault.MALFORMED
    else:
        line = format_text_header(header)
        assert parse_text_header(line.removesuffix(b"\r\n")) == header
        assert len(line) <= text_form.MAX_OCTETS
    whole = SIGNATURE + octets.ljust(FIXED_OCTETS - len(SIGNATURE), b"\0")
    try:
        header = parse_binary_header(whole)
    except HeaderError:
        return
    _check_ends(header)
    is_unset = header.source is None and not header.is_local
    if not is_unset and "\ufffd" not in repr(header) and _is_of_one_family(header):
        again = parse_binary_header(format_binary_header(header))
        assert (again.source, again.destination) == (header.source, header.destination)
        assert (again.alpn, again.authority) == (header.alpn, header.authority)


def _read(pieces: list[bytes]) -> tuple[ProxyHeader | HeaderFault | None, bytes]:
    reader = HeaderReader()
    found: ProxyHeader | HeaderFault | None = None
    rest = b""
    for piece in pieces:
        if found is None:
            found = reader.receive(piece)
            rest = reader.rest
        else:
            rest += piece
    return found, rest


def _check_ends(header: ProxyHeader) -> None:
    assert (header.source is None) == (header.destination is None)
    for end in (header.source, header.destination):
        if end is not None:
            assert make_endpoint(end.ip, end.port) == end
            assert 0 <= end.port <= MAX_PORT
            assert not end.ip.startswith("::ffff:")


def _is_of_one_family(header: ProxyHeader) -> bool:
    """Else an IPv4 address was written as an IPv6 one at one of its ends."""
    ends = (header.source, header.destination)
    return len({":" in end.ip for end in ends if end is not None}) < 2


TARGETS = (
    Target(
        "proxy-header",
        check_header,
        tuple(b"\x40" + octets + b"EHLO x\r\n" for octets in (*_BLOCKS, *_LINES)),
        _WORDS,
        runs=300,
    ),
    Target(
        "proxy-forms",
        check_forms,
        (
            *(line.removesuffix(b"\r\n") for line in _LINES),
            *(block.removeprefix(binary_form.SIGNATURE) for block in _BLOCKS),
        ),
        _WORDS,
    ),
)
