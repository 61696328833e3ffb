"""What Postfix and we are told of clients, and what each makes of it.

The PROXY protocol §2; Postfix's XCLIENT_README and XFORWARD_README.
"""

from letterlock.protocols.proxy.binary_form import SIGNATURE

_ENDS = bytes((192, 0, 2, 7, 198, 51, 100, 25, 0, 1, 0, 25))


def _text(words: str) -> bytes:
    return f"PROXY {words}\r\n".encode()


def _block(command: int, family: int, octets: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(octets).to_bytes(2, "big") + octets


# Each a session of its own: its lines, and the codes that both give.
SCRIPTS: dict[str, list[tuple[str, int]]] = {
    "usual": [
        ("EHLO proxy.example", 250),
        ("XCLIENT ADDR=192.0.2.7 NAME=client.example", 220),
        ("EHLO client.example", 250),
        ("MAIL FROM:<a@writer.example>", 250),
    ],
    "before EHLO": [("XCLIENT ADDR=IPV6:2001:db8::7 PORT=25 PROTO=ESMTP", 220), ("NOOP", 250)],
    "unknown": [("xclient name=[unavailable] addr=[UNAVAILABLE]", 220), ("QUIT", 221)],
    "temporary": [("XCLIENT NAME=[TEMPUNAVAIL] HELO=client.example PROTO=SMTP", 220)],
    "destination": [("XCLIENT DESTADDR=192.0.2.25 DESTPORT=25", 220)],
    "no attributes": [("XCLIENT", 501), ("XCLIENT ADDR", 501), ("XCLIENT ADDR=", 501)],
    "bad attributes": [
        ("XCLIENT ADDR=192.0.2", 501),
        ("XCLIENT ADDR=2001:db8::7", 501),
        ("XCLIENT PROTO=UUCP", 501),
        ("XCLIENT COLOUR=blue", 501),
        (f"XCLIENT HELO={'x' * 256}", 501),
        ("NOOP", 250),
    ],
    "in a transaction": [
        ("EHLO proxy.example", 250),
        ("MAIL FROM:<a@writer.example>", 250),
        ("XCLIENT ADDR=192.0.2.7", 503),
        ("XFORWARD ADDR=192.0.2.7", 503),
        ("RSET", 250),
        ("XCLIENT ADDR=192.0.2.7", 220),
    ],
    "twice": [
        ("XCLIENT ADDR=192.0.2.7", 220),
        ("EHLO client.example", 250),
        ("XCLIENT ADDR=127.0.0.1", 550),
    ],
    "one after the other": [("XCLIENT NAME=client.example", 220), ("XCLIENT ADDR=192.0.2.7", 220)],
    "origin": [
        ("EHLO hub.example", 250),
        ("XFORWARD NAME=client.example ADDR=192.0.2.7", 250),
        ("XFORWARD IDENT=4F SOURCE=REMOTE PROTO=ESMTP HELO=[UNAVAILABLE]", 250),
        ("MAIL FROM:<a@writer.example>", 250),
    ],
    "bad origin": [("XFORWARD", 501), ("XFORWARD LOGIN=a", 501), ("XFORWARD SOURCE=here", 501)],
}


# What each gives: Postfix's codes, ours, and why.
DIFFERENT: dict[str, tuple[list[str], list[int], list[int]]] = {
    "a port is less than 65536": (["XCLIENT PORT=70000"], [220], [501]),
    "the name as DNS has it is not offered": (["XCLIENT REVERSE_NAME=c.example"], [220], [501]),
    "a login is for accounts, and they are on other ports": (
        ["XCLIENT ADDR=192.0.2.7 LOGIN=alice"],
        [220],
        [550],
    ),
    "EHLO comes first, whatever XCLIENT says (RFC 5321 §4.1.4)": (
        ["XCLIENT HELO=client.example PROTO=ESMTP", "MAIL FROM:<a@writer.example>"],
        [220, 250],
        [220, 503],
    ),
    "a name that was told goes on, and what names it does not": (
        ["XCLIENT ADDR=127.0.0.1", "XCLIENT ADDR=192.0.2.7"],
        [220, 220],
        [220, 550],
    ),
}


# Each with whether Postfix takes it, and whether we do.
HEADERS: dict[str, tuple[bytes, bool, bool]] = {
    "TCP4": (_text("TCP4 192.0.2.7 198.51.100.25 56324 25"), True, True),
    "TCP6": (_text("TCP6 2001:db8::7 2001:db8::25 56324 25"), True, True),
    "port 0": (_text("TCP4 192.0.2.7 198.51.100.25 0 25"), True, True),
    "both families": (_text("TCP4 2001:db8::7 198.51.100.25 1 25"), False, False),
    "port 70000": (_text("TCP4 192.0.2.7 198.51.100.25 70000 25"), False, False),
    "port 025": (_text("TCP4 192.0.2.7 198.51.100.25 025 25"), False, False),
    "lower case": (_text("tcp4 192.0.2.7 198.51.100.25 1 25").lower(), False, False),
    "none": (b"EHLO client.example\r\n", False, False),
    "version 2": (_block(0x21, 0x11, _ENDS), True, True),
    "unknown TLV": (_block(0x21, 0x11, _ENDS + b"\xe0\0\2xx"), True, True),
    "LOCAL": (_block(0x20, 0, b""), True, True),
    "LOCAL with addresses": (_block(0x20, 0x11, _ENDS), True, True),
    "UDP": (_block(0x21, 0x12, _ENDS), False, False),
    "version 3": (_block(0x31, 0x11, _ENDS), False, False),
    "command 2": (_block(0x22, 0x11, _ENDS), False, False),
    "too short": (_block(0x21, 0x11, _ENDS[:-1]), False, False),
    "family 4": (_block(0x21, 0x41, _ENDS), False, False),
    # §2.1: "exactly one space", no leading zeros, CRLF and nothing else before it.
    "two spaces": (_text(" TCP4 192.0.2.7 198.51.100.25 1 25"), True, False),
    "leading zeros": (_text("TCP4 192.0.02.7 198.51.100.25 1 25"), True, False),
    "LF alone": (_text("TCP4 192.0.2.7 198.51.100.25 1 25")[:-2] + b"\n", True, False),
    "one more word": (_text("TCP4 192.0.2.7 198.51.100.25 1 25 26"), True, False),
    # §2.2.3: a wrong checksum makes the connection invalid.
    "wrong checksum": (_block(0x21, 0x11, _ENDS + b"\3\0\4abcd"), True, False),
    "broken TLV": (_block(0x21, 0x11, _ENDS + b"\xe0\0\x09xx"), True, False),
    # §2.1 (should be accepted), §2.2 (may be): here without any rights.
    "UNKNOWN": (_text("UNKNOWN"), False, True),
    "unspecified": (_block(0x21, 0, b""), False, True),
    "unix socket": (_block(0x21, 0x31, bytes(216)), False, True),
}
