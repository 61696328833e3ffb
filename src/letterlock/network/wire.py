"""One connection, with TLS when it has begun: octets in, octets out, every wait bounded.

The client side of SMTP stands on it, over TCP (`network.smtp_client`), and that of LMTP, over a
unix socket too (`network.lmtp_client`). TLS goes through `network.tls`, so an alert reaches the
peer before the socket is closed, and octets that came before TLS stay visible to the caller
(RFC 3207 §4.2). What the peer does is a value: `Lost`.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from letterlock.network.tls import TlsDriver
from letterlock.protocols.sasl.channel_binding import NO_BINDINGS, ChannelBindings
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed

MAX_BUFFERED_OCTETS = 256 * 1024
"""Reading stops while the peer has sent more than we have looked at."""
LINGER_SECONDS = 10.0
"""For how long a closed connection may take to hand over what was written."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is gone, or nothing came in time. `detail` is one line for people."""

    detail: str
    is_timeout: bool = False


class Wire(asyncio.Protocol):
    """A connection's octets. Methods that wait take the seconds they may take."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._plain = b""
        self._is_eof = False
        self._error: Exception | None = None
        self._tls: TlsDriver | None = None
        self._reader: asyncio.Future[None] | None = None
        self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._late_at = 0.0
        self._is_late = False
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def tls_failure(self) -> HandshakeFailed | None:
        """An alert or fault of TLS that came after the handshake, as TLS 1.3's servers refuse."""
        return self._tls.failure if self._tls is not None else None

    async def read(self, seconds: float) -> bytes | Lost:
        """Give the octets that came, at least one."""
        if self._has_news() and (found := self._take() or self._lost()):
            return found
        self._is_late = False
        self._set_timer(seconds)
        while True:
            await self._wait()
            if found := self._take() or self._lost():
                return found
            if self._is_late:
                return Lost("timed out", is_timeout=True)

    async def write(self, data: bytes, seconds: float) -> Lost | None:
        """Send octets; waits while the peer does not take what was sent before."""
        if self._transport is None or self._transport.is_closing():
            return self._lost() or Lost("connection closed")
        if self._tls is not None:
            self._tls.write(data)
            data = self._tls.bytes_to_send()
        self._transport.write(data)
        if self._writable.is_set():
            return None
        try:
            async with asyncio.timeout(seconds):
                await self._writable.wait()
        except TimeoutError:
            return Lost("timed out", is_timeout=True)
        return self._lost() if self._error is not None else None

    def write_now(self, data: bytes) -> None:
        """Send octets without waiting for anything; nothing happens when it is closed."""
        if self._tls is not None:
            self._tls.write(data)
            data = self._tls.bytes_to_send()
        self._send(data)

    async def start_tls(self, driver: TlsDriver, seconds: float) -> Handshake | HandshakeFailed:
        """Do the handshake on a connection from which nothing unread is left."""
        try:
            async with asyncio.timeout(seconds):
                return await self._handshake(driver)
        except TimeoutError:
            failed = driver.time_out()
            self._send(driver.bytes_to_send())
            return failed

    def find_channel_bindings(self) -> ChannelBindings:
        """Give what SASL can tie a login to; nothing in clear."""
        return NO_BINDINGS if self._tls is None else self._tls.find_channel_bindings()

    @property
    def is_open(self) -> bool:
        """Neither side has closed it, as far as we know."""
        if self._transport is None or self._transport.is_closing() or self._is_eof:
            return False
        return self._tls is None or not self._tls.is_closed

    def find_own_ip(self) -> str | None:
        """Give the address that we come from; None once the connection is gone."""
        name = None if self._transport is None else self._transport.get_extra_info("sockname")
        return name[0] if isinstance(name, tuple) else None

    def find_peer_ip(self) -> str | None:
        """Give the peer's address; None where it is not known any more, or there is none."""
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        return name[0] if isinstance(name, tuple) else None

    def has_unread(self) -> bool:
        """Octets are here that nobody asked for: before TLS they are an injection (RFC 3207 §6).

        Under TLS only plaintext counts: a session ticket is no answer to anything.
        """
        if self._tls is None:
            return bool(self._received)
        self._plain += self._decrypt(self._tls)
        return bool(self._plain)

    def finish_writing(self) -> None:
        """Say that nothing more will be written; what the peer still sends can be read."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._tls is not None:
            self._tls.close()
            self._send(self._tls.bytes_to_send())
        else:
            self._transport.write_eof()

    def close(self) -> None:
        """Close; TLS says so first (RFC 8446 §6.1). What was written is still sent."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._tls is not None:
            self._tls.close()
            self._send(self._tls.bytes_to_send())
        transport = self._transport
        transport.close()
        if transport.get_write_buffer_size():
            # A peer that reads nothing would keep the socket for ever.
            self._loop.call_later(LINGER_SECONDS, transport.abort)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Asked for once: up to Python 3.11 each look costs a system call.
        self._loop = asyncio.get_running_loop()
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = transport = cast("asyncio.Transport", transport)
        if sock := transport.get_extra_info("socket"):
            # asyncio sets it only for sockets made with proto=IPPROTO_TCP.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > MAX_BUFFERED_OCTETS and self._transport is not None:
            self._transport.pause_reading()
            self._is_paused = True
        self._wake()

    def eof_received(self) -> bool:
        self._is_eof = True
        self._wake()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_eof = True
        self._error = exc
        self._wake()
        self._writable.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # ours

    async def _handshake(self, driver: TlsDriver) -> Handshake | HandshakeFailed:
        while True:
            outcome = driver.do_handshake()
            self._send(driver.bytes_to_send())
            if outcome is not None:
                if isinstance(outcome, Handshake):
                    self._tls = driver
                return outcome
            if not self._received and not self._is_eof:
                await self._wait()
            if octets := self._take_raw():
                driver.receive(octets)
            elif self._is_eof:
                driver.receive_eof(is_reset=isinstance(self._error, ConnectionResetError))

    async def _wait(self) -> None:
        """Wait until something happens to the connection, or `_be_late` does."""
        self._reader = self._loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _set_timer(self, seconds: float) -> None:
        """Let a read be late after so many seconds.

        One timer serves the reads of a connection: it looks, when its time comes, if the read of
        then is late already. asyncio.timeout costs more than the read itself.
        """
        self._late_at = self._loop.time() + seconds
        if self._timer is None or self._timer_at > self._late_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = self._late_at
            self._timer = self._loop.call_later(seconds, self._look_at_time)

    def _look_at_time(self) -> None:
        self._timer = None
        if self._reader is None:
            return
        left = self._late_at - self._loop.time()
        if left > 0:
            self._timer_at = self._late_at
            self._timer = self._loop.call_later(left, self._look_at_time)
            return
        self._is_late = True
        self._wake()

    def _has_news(self) -> bool:
        """Say if there may be something to read, or why there will be nothing.

        Mostly there is not: who reads has just answered what came. To look closer costs more.
        """
        if self._received or self._plain or self._is_eof or self._error is not None:
            return True
        return self._tls is not None and self._tls.has_news

    def _take(self) -> bytes:
        if self._tls is None:
            return self._take_raw()
        plain, self._plain = self._plain, b""
        return plain or self._decrypt(self._tls)

    def _decrypt(self, tls: TlsDriver) -> bytes:
        if octets := self._take_raw():
            tls.receive(octets)
        plain = tls.read()
        if not plain:
            # What TLS itself has to say goes before the answer, or here when nothing is left.
            self._send(tls.bytes_to_send())
        return plain

    def _take_raw(self) -> bytes:
        if not self._received:
            return b""
        octets = bytes(self._received)
        self._received.clear()
        if self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._is_paused = False
        return octets

    def _lost(self) -> Lost | None:
        if self._tls is not None and self._tls.error:
            return Lost(f"TLS: {self._tls.error}")
        if isinstance(self._error, ConnectionResetError):
            return Lost("connection reset by peer")
        if self._error is not None:
            return Lost(f"connection lost: {self._error}")
        if self._is_eof or (self._tls is not None and self._tls.is_closed):
            return Lost("connection closed by peer")
        return None

    def _send(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def connect(ip: str, port: int, seconds: float, *, source: str | None = None) -> Wire | Lost:
    """Open a connection to an address, from `source` if given."""
    factory: Callable[[], Wire] = Wire
    local = (source, 0) if source else None
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, wire = await loop.create_connection(factory, ip, port, local_addr=local)
    except TimeoutError:
        return Lost("Connection timed out", is_timeout=True)
    except OSError as error:
        return Lost(_explain(error))
    return wire


async def connect_socket(path: str, seconds: float) -> Wire | Lost:
    """Open a connection to a unix socket."""
    factory: Callable[[], Wire] = Wire
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, wire = await loop.create_unix_connection(factory, path)
    except TimeoutError:
        return Lost("Connection timed out", is_timeout=True)
    except OSError as error:
        return Lost(_explain(error))
    return wire


def _explain(error: OSError) -> str:
    """Give the reason: asyncio's own text has the address in its place."""
    is_name = isinstance(error, socket.gaierror)
    return os.strerror(error.errno) if error.errno and not is_name else str(error.strerror or error)
