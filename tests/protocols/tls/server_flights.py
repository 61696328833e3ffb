"""A server's first messages, made by hand."""

from collections.abc import Mapping

from letterlock.protocols.tls.vectors import make_numbers, make_vector

RETRY = bytes.fromhex("CF21AD74E59A6111BE1D8C021E65B891C2A211167ABB8C5E079E09E2C8A8339C")
"""RFC 8446 §4.1.3."""


def message(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + make_vector(body, 3)


DONE = message(14, b"")


def hello(
    version: int,
    suite: int,
    extensions: Mapping[int, bytes] | None = None,
    *,
    random: bytes = bytes(32),
    compression: int = 0,
) -> bytes:
    body = make_numbers((version,)) + random + make_vector(b"", 1) + make_numbers((suite,))
    body += bytes((compression,))
    if extensions is not None:
        listed = (make_numbers((kind,)) + make_vector(it, 2) for kind, it in extensions.items())
        body += make_vector(b"".join(listed), 2)
    return message(2, body)


def prime(bits: int) -> bytes:
    """Give a ServerKeyExchange with a number of so many bits for a prime."""
    number = (2 ** (bits - 1) + 1).to_bytes(bits // 8 + 1, "big")
    return message(12, make_vector(number, 2) + make_vector(b"\x02", 2) + make_vector(b"\x05", 2))


def curve(group: int) -> bytes:
    return message(12, b"\x03" + make_numbers((group,)) + make_vector(b"\x04" + bytes(64), 1))


def records(data: bytes, *, kind: int = 22, version: int = 0x0303, size: int = 2**14) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    head = bytes((kind,)) + make_numbers((version,))
    return b"".join(head + make_vector(piece, 2) for piece in pieces)
