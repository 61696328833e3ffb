"""The world that an authority is measured in: names that have an address, and their proofs.

`python -m benchmarks.acme_names DNS_PORT HTTP_PORT` runs until it is killed. Each name is
at 127.0.0.1 and has no other records; http-01 is answered for the account that the name's second
label numbers. It knows nothing but that, and so costs little beside what is measured.
"""

import asyncio
import re
import sys
from collections.abc import Callable
from functools import cache
from typing import cast

from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.protocols.acme.challenges import HTTP_FOLDER
from letterlock.protocols.acme.jws import AccountKey

DOMAIN = "load.example"
_HEADER_OCTETS = 12
_A = 1
_FLAGS = b"\x85\x80"
_ADDRESS = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01"
# Without it an empty answer is none (RFC 2308 §2.2). It is that of the zone `example`.
_SOA = b"\x07example\x00\x00\x06\x00\x01\x00\x00\x00\x3c\x00\x16\x00\x00" + b"\x00\x00\x00\x3c" * 5
_OPTIONS = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
_REQUEST = re.compile(
    rb"GET " + re.escape(HTTP_FOLDER.encode()) + rb"([\w-]+) HTTP/1\.[01]\r\n"
    rb"(?:[^\r\n]+\r\n)*?[Hh]ost: [\w-]+\.a(\d+)\."
)


def make_key(account: int) -> AccountKey:
    """Make the key of an account: the same one at each call, and nobody's secret."""
    return AccountKey(ec.derive_private_key(1_000_003 + account, ec.SECP256R1()))


def make_name(account: int, label: str) -> str:
    """Make a name that is proved for this account."""
    return f"{label}.a{account}.{DOMAIN}"


def answer_query(query: bytes) -> bytes:
    """Answer a question for any name: its address, or that there is no such record."""
    end = query.index(b"\0", _HEADER_OCTETS) + 5
    is_address = int.from_bytes(query[end - 4 : end - 2]) == _A
    has_options = query[_HEADER_OCTETS - 1] > 0
    counts = (1, int(is_address), int(not is_address), int(has_options))
    return b"".join(
        (
            query[:2],
            _FLAGS,
            *(number.to_bytes(2) for number in counts),
            query[_HEADER_OCTETS:end],
            _ADDRESS if is_address else _SOA,
            _OPTIONS if has_options else b"",
        )
    )


class NameServer(asyncio.DatagramProtocol):
    """DNS over UDP; whoever asks over TCP finds nobody, as no answer is cut."""

    _transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own transport for datagrams is none by its class.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(answer_query(data), addr)


class Proofs(asyncio.Protocol):
    """http-01, an answer for each connection."""

    _transport: asyncio.Transport

    def __init__(self, thumbprint: Callable[[int], str]) -> None:
        self._thumbprint = thumbprint
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" not in self._received:
            return
        found = _REQUEST.match(self._received)
        assert found is not None, self._received
        body = f"{found[1].decode()}.{self._thumbprint(int(found[2]))}"
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self._transport.write((head + body).encode())
        self._transport.close()


async def main(dns_port: int, http_port: int) -> None:
    """Answer until killed."""
    thumbprint = cache(lambda account: make_key(account).thumbprint)
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(NameServer, ("127.0.0.1", dns_port))
    server = await loop.create_server(lambda: Proofs(thumbprint), "127.0.0.1", http_port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
