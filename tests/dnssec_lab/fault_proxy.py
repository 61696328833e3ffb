"""A proxy in front of a name server, that can be told to drop, refuse, spoil or delay answers."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from tests.accepting import stop_accepting

UPSTREAM_SECONDS = 5.0


class Fault(StrEnum):
    """What happens to an answer."""

    DROP = "drop"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    NOTIMP = "notimp"
    NXDOMAIN = "nxdomain"
    """A forged one, without proof."""
    NO_SIGNATURES = "no-signatures"
    TRUNCATED = "truncated"
    """By UDP: the answer comes by TCP."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which questions a fault is for: a name and all below it, and a type (None: all)."""

    name: str
    rdtype: str | None
    fault: Fault

    def fits(self, name: str, rdtype: str) -> bool:
        is_below = name == self.name or name.endswith(f".{self.name}")
        return is_below and self.rdtype in (None, rdtype)


_CODES = {
    Fault.SERVFAIL: dns.rcode.SERVFAIL,
    Fault.REFUSED: dns.rcode.REFUSED,
    Fault.NOTIMP: dns.rcode.NOTIMP,
    Fault.NXDOMAIN: dns.rcode.NXDOMAIN,
}


@dataclass(slots=True)
class FaultProxy:
    """Passes questions on to a name server. `rules` may be replaced at any time."""

    upstream: tuple[str, int]
    rules: tuple[Rule, ...] = ()
    questions: list[tuple[str, str]] = field(default_factory=list)
    """What was asked: (name, type)."""
    _asked: threading.Condition = field(default_factory=threading.Condition)

    async def answer(self, wire: bytes, *, by_tcp: bool) -> bytes | None:
        """Answer a question; None: not at all."""
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text().lower()
        rdtype = dns.rdatatype.to_text(query.question[0].rdtype)
        with self._asked:
            self.questions.append((name, rdtype))
            self._asked.notify_all()
        fault = next((rule.fault for rule in self.rules if rule.fits(name, rdtype)), None)
        match fault:
            case Fault.DROP:
                return None
            case Fault.SERVFAIL | Fault.REFUSED | Fault.NOTIMP | Fault.NXDOMAIN:
                response = dns.message.make_response(query)
                response.set_rcode(_CODES[fault])
                return response.to_wire()
            case Fault.TRUNCATED if not by_tcp:
                response = dns.message.make_response(query)
                response.flags |= dns.flags.TC
                return response.to_wire()
        found = await (self._ask_tcp(wire) if by_tcp else self._ask_udp(wire))
        return _without_signatures(found) if fault is Fault.NO_SIGNATURES else found

    def wait_until_asked(self, name: str, rdtype: str, after: int, seconds: float = 20) -> bool:
        """Wait, in another thread, for a question beyond the first `after` ones."""
        question = (f"{name}.", rdtype)
        with self._asked:
            return self._asked.wait_for(lambda: question in self.questions[after:], seconds)

    @asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[None]:
        """Serve by UDP and TCP, on a port that is free for both, while the block runs."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            tcp = await asyncio.start_server(self._serve_tcp, host, port)
            udp, _ = await loop.create_datagram_endpoint(
                lambda: _UdpPort(self, tasks), local_addr=(host, port)
            )
            try:
                yield
            finally:
                udp.close()
                await stop_accepting(tcp)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                size = int.from_bytes(await reader.readexactly(2))
                response = await self.answer(await reader.readexactly(size), by_tcp=True)
                if response is not None:
                    writer.write(len(response).to_bytes(2) + response)
        writer.close()

    async def _ask_udp(self, wire: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        received: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Waiting(received), remote_addr=self.upstream
        )
        try:
            transport.sendto(wire)
            return await asyncio.wait_for(received, UPSTREAM_SECONDS)
        finally:
            transport.close()

    async def _ask_tcp(self, wire: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self.upstream)
        try:
            writer.write(len(wire).to_bytes(2) + wire)
            size = int.from_bytes(await reader.readexactly(2))
            return await reader.readexactly(size)
        finally:
            writer.close()


class _Waiting(asyncio.DatagramProtocol):
    def __init__(self, received: asyncio.Future[bytes]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        del addr
        if not self._received.done():
            self._received.set_result(data)


class _UdpPort(asyncio.DatagramProtocol):
    def __init__(self, proxy: FaultProxy, tasks: asyncio.TaskGroup) -> None:
        self._proxy = proxy
        self._tasks = tasks
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(
        self,
        transport: asyncio.DatagramTransport,  # type: ignore[override]  # it gets no other
    ) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._tasks.create_task(self._answer(data, addr))

    async def _answer(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        with contextlib.suppress(TimeoutError, OSError):
            response = await self._proxy.answer(data, by_tcp=False)
            if response is not None and self._transport is not None:
                self._transport.sendto(response, addr)


def _without_signatures(wire: bytes) -> bytes:
    message = dns.message.from_wire(wire)
    for section in (message.answer, message.authority):
        section[:] = [rrset for rrset in section if rrset.rdtype != dns.rdatatype.RRSIG]
    return message.to_wire()
