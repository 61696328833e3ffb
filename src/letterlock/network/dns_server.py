"""Listen for DNS questions by UDP and TCP, for the small servers of the demo and of tests.

RFC 1035 §4.2 (transports), RFC 6891 §6.2.3 (sizes). What the answers are is `zone_server` and
`validating_server`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import dns.exception
import dns.flags
import dns.message

MAX_CONNECTIONS = 50
IDLE_SECONDS = 10.0

_MIN_UDP_OCTETS = 512
_MAX_OCTETS = 0xFFFF
_PORT_TRIES = 10

Answerer = Callable[[dns.message.Message], dns.message.Message | None]
"""Answers one query that has one question; None: not at all."""


class DnsServer:
    """Reads queries, has them answered, and writes what comes back: short enough, or truncated."""

    def __init__(self, answer: Answerer) -> None:
        self._answer = answer
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Listen; gives the address. Port 0: one that is free for TCP and UDP both."""
        for _ in range(_PORT_TRIES - 1 if port == 0 else 0):
            try:
                return await self._listen(host, port)
            except OSError:
                continue
        return await self._listen(host, port)

    async def close(self) -> None:
        """Stop listening."""
        if self._udp:
            self._udp.close()
        if self._tcp:
            self._tcp.close()
            await asyncio.sleep(0)

    def answer(self, wire: bytes, *, is_datagram: bool) -> bytes | None:
        """Answer one message; None: with nothing."""
        try:
            query = dns.message.from_wire(wire)
            if query.flags & dns.flags.QR or len(query.question) != 1:
                return None
            response = self._answer(query)
        except (dns.exception.DNSException, ValueError):
            return None
        if response is None:
            return None
        return _to_wire(response, max(query.payload, _MIN_UDP_OCTETS) if is_datagram else None)

    async def _listen(self, host: str, port: int) -> tuple[str, int]:
        self._tcp = await asyncio.start_server(self._serve_tcp, host, port)
        address: tuple[str, int] = self._tcp.sockets[0].getsockname()[:2]
        loop = asyncio.get_running_loop()
        try:
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: _UdpPort(self), local_addr=address
            )
        except OSError:
            self._tcp.close()
            raise
        return address

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= MAX_CONNECTIONS:
                await self._converse(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass  # the client went away or said nothing
        finally:
            self._connections -= 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                size = int.from_bytes(await reader.readexactly(2))
                wire = await reader.readexactly(size)
                response = self.answer(wire, is_datagram=False)
                if response is None:
                    return
                writer.write(len(response).to_bytes(2) + response)
                await writer.drain()


class _UdpPort(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(
        self,
        transport: asyncio.DatagramTransport,  # type: ignore[override]  # it gets no other
    ) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        response = self._server.answer(data, is_datagram=True)
        if response is not None and self._transport is not None:
            self._transport.sendto(response, addr)


def _to_wire(response: dns.message.Message, limit: int | None) -> bytes:
    try:
        return response.to_wire(max_size=limit or _MAX_OCTETS)
    except dns.exception.TooBig:
        response.answer.clear()
        response.authority.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()
