"""Before a session: a proxy tells who its client is, on ports that proxies connect to.

The PROXY protocol §2: who is listed must tell, within a time, before the greeting and before TLS;
of anybody else nothing is looked at. What was told becomes the session's `Peer`.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from letterlock.network.smtp_connection import Connection
from letterlock.network.smtp_owner import Peer, make_peer, may_have_rights
from letterlock.protocols.proxy.headers import HeaderFault, ProxiedTls, ProxyHeader
from letterlock.protocols.proxy.reader import HeaderReader

HEADER_SECONDS = 10.0
"""How long a header is waited for; §2 wants 3 at least, for a segment that was lost."""
_MAX_WORD_CHARACTERS = 64
# No name of a version or cipher has others, and a line of the log could be read in another way.
_NOT_IN_WORD = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Proxies:
    """Who is one, by the address, and who is told what was wrong with a header."""

    is_listed: Callable[[str], bool]
    note_fault: Callable[[str, str], None]
    """Called with the proxy's address and the fault."""


class GateHome(Protocol):
    """What a gate needs of its server."""

    def now(self) -> float: ...

    def begin_gate(self, gate: "ProxyGate") -> None: ...

    def end_gate(self, gate: "ProxyGate") -> None: ...


class ProxyGate(asyncio.Protocol):
    """One connection, until it is known who is behind it; then it is `connection`'s."""

    def __init__(self, server: GateHome, connection: Connection, proxies: Proxies) -> None:
        self._server = server
        self._connection = connection
        self._proxies = proxies
        self._reader = HeaderReader()
        self._transport: asyncio.BaseTransport
        self._proxy: Peer
        self._until = server.now() + HEADER_SECONDS
        self._is_over = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._proxy = make_peer(transport)
        if self._proxies.is_listed(self._proxy.ip):
            self._server.begin_gate(self)
        else:
            self._hand_over(self._proxy)

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        found = self._reader.receive(data)
        if isinstance(found, HeaderFault):
            self._refuse(found.value)
        elif found is not None:
            self._hand_over(name_client(self._proxy, found, self._proxies.is_listed))
            # Not sooner: the server is not empty in between.
            self._server.end_gate(self)
            if self._reader.rest:
                self._connection.data_received(self._reader.rest)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        # Who says nothing at all has only looked whether the port is open.
        if self._reader.has_octets and not self._is_over:
            self._refuse("the connection was lost within the PROXY header")
        self._is_over = True
        self._server.end_gate(self)

    # the server's side

    def check_time(self, now: float) -> None:
        if now > self._until and not self._is_over:
            self._refuse(f"no PROXY header came within {HEADER_SECONDS:.0f} s")

    def shut_down(self) -> None:
        self._is_over = True
        self._transport.close()

    # ours

    def _hand_over(self, peer: Peer) -> None:
        self._transport.set_protocol(self._connection)
        self._connection.start(self._transport, peer)

    def _refuse(self, fault: str) -> None:
        """Close without a word, as §2.1 asks: nobody knows what the other side speaks."""
        self._is_over = True
        self._proxies.note_fault(self._proxy.ip, fault)
        self._transport.close()


def name_client(proxy: Peer, header: ProxyHeader, is_listed: Callable[[str], bool]) -> Peer:
    """Give the client that a proxy told of.

    Where it told of none, or of a proxy, it is the proxy itself. A proxy's own address, and that of
    its own machine, never give rights: by a mistake in its settings, all its clients could have it.
    """
    source = header.source
    if header.is_local or source is None:
        return Peer(proxy.ip, proxy.port, has_rights=False, is_proxy=True)
    is_proxy = is_listed(source.ip)
    return Peer(
        source.ip,
        source.port,
        via=proxy.ip,
        told="" if header.tls is None else _describe(header.tls),
        has_rights=not is_proxy and may_have_rights(source.ip),
        is_proxy=is_proxy,
    )


def _describe(tls: ProxiedTls) -> str:
    version, cipher = (
        _NOT_IN_WORD.sub("?", each[:_MAX_WORD_CHARACTERS]) for each in (tls.version, tls.cipher)
    )
    return (version or "TLS") + (f" with cipher {cipher}" if cipher else "")
