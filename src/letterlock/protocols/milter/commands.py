"""What we tell a filter: connection, HELO, sender, recipients, the message in pieces, macros.

SMFIC_* of libmilter. Texts end with NUL; what they have of NULs becomes spaces.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address

from letterlock.protocols.milter.packets import format_packet, join_strings

ABORT = format_packet(b"A")
QUIT = format_packet(b"Q")
DATA = format_packet(b"T")
END_OF_HEADER = format_packet(b"N")
END_OF_MESSAGE = format_packet(b"E")

CONNECT_KIND = b"C"
HELO_KIND = b"H"
MAIL_KIND = b"M"
RCPT_KIND = b"R"
DATA_KIND = b"T"
END_OF_HEADER_KIND = b"N"
END_OF_MESSAGE_KIND = b"E"


def format_macros(kind: bytes, macros: Mapping[str, str]) -> bytes:
    """Give the macros that belong to a command, which follows: names as `i` and `{mail_addr}`."""
    texts = [_encode(text) for pair in macros.items() for text in pair]
    return format_packet(b"D", kind + join_strings(*texts))


def format_connect(name: str | None, ip: str, port: int) -> bytes:
    """Tell who the client is; one without a name is known by its address, in brackets."""
    try:
        address = ip_address(ip)
    except ValueError:
        return format_packet(CONNECT_KIND, join_strings(_encode(name or "localhost")) + b"U")
    is_v6 = isinstance(address, IPv6Address)
    # Postfix's form: filters that know no IPv6 then see that it is no address of theirs.
    shown = f"IPv6:{address}" if is_v6 else str(address)
    host = join_strings(_encode(name or f"[{shown}]"))
    end = (b"6" if is_v6 else b"4") + port.to_bytes(2, "big") + join_strings(shown.encode())
    return format_packet(CONNECT_KIND, host + end)


def format_helo(name: str) -> bytes:
    return format_packet(HELO_KIND, join_strings(_encode(name)))


def format_mail(sender: str, parameters: Iterable[str]) -> bytes:
    """Tell of a transaction's MAIL; `sender` without angle brackets, "" for the null one."""
    texts = (f"<{sender}>", *parameters)
    return format_packet(MAIL_KIND, join_strings(*map(_encode, texts)))


def format_rcpt(recipient: str, parameters: Iterable[str]) -> bytes:
    texts = (f"<{recipient}>", *parameters)
    return format_packet(RCPT_KIND, join_strings(*map(_encode, texts)))


def format_header_field(name: bytes, value: bytes, *, has_leading_space: bool) -> bytes:
    """Tell of a field; `value` is all behind the colon, without the CRLF at its end.

    Its lines are parted by LF, as sendmail and Postfix have them. Without `has_leading_space` the
    one space that it usually begins with is left out.
    """
    text = value.replace(b"\r\n", b"\n")
    if not has_leading_space:
        text = text.removeprefix(b" ")
    return format_packet(b"L", join_strings(name, text))


def format_body(chunk: bytes) -> bytes:
    """Tell a piece of the body, of at most MAX_CHUNK_OCTETS."""
    return format_packet(b"B", chunk)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
