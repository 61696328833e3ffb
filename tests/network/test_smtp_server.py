"""The end of a server: who was accepted in its last moment hears of it too."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import cast

import pytest
import uvloop

from letterlock.network.proxy_gate import ProxyGate
from letterlock.network.server_limits import ServerLimits
from letterlock.network.smtp_connection import Connection
from letterlock.network.smtp_owner import Peer, SessionOwner
from letterlock.network.smtp_server import SmtpServer
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.server_session import (
    Aside,
    Quit,
    Reset,
    ServerSession,
    SessionSettings,
)
from tests.fakes import FakeClock

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class Owner:
    """Refuses nobody, and keeps why each connection ended: they say no more than QUIT."""

    def __init__(self, ends: list[str]) -> None:
        self._ends = ends

    def start_connection(self, *, is_crowded: bool = False) -> Reply | None:
        del is_crowded
        return None

    def note_command(self, event: Reset | Quit | Aside) -> None: ...

    def end_connection(self, reason: str) -> None:
        self._ends.append(reason)


class Server(SmtpServer):
    """Calls `at_accept` when a connection was accepted, before it is begun."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.at_accept: Callable[[], object] = lambda: None
        settings = SessionSettings(hostname="mx.example.org")

        def own(_: Peer) -> tuple[ServerSession, SessionOwner]:
            return ServerSession(settings), cast("SessionOwner", Owner(self.ends))

        super().__init__(own, None, ServerLimits(), FakeClock())

    def _accept(self) -> Connection | ProxyGate:
        self.at_accept()
        return super()._accept()


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_who_was_accepted_last_is_told_to_come_back(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """RFC 5321 §3.8: never the end of a connection without a word, after a greeting least."""

    async def call() -> tuple[bytes, list[str]]:
        server = Server()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            running = asyncio.ensure_future(server.run([listener]))
            server.at_accept = running.cancel
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            with contextlib.suppress(asyncio.CancelledError):
                await running
            # Nothing of it is left for later: the loop may end with the server.
            heard = await reader.read()
            writer.close()
            return heard, server.ends

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        heard, ends = runner.run(call())
    assert heard == b"421 4.3.2 mx.example.org Service shutting down\r\n"
    assert ends == ["shutting down"]


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_server_that_accepts_no_more_is_not_empty_before_the_last_has_left(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def call() -> tuple[bytes, list[str]]:
        server = Server()
        accepted = asyncio.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            running = asyncio.ensure_future(server.run([listener]))
            server.at_accept = accepted.set
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await accepted.wait()
            server.stop_accepting()
            emptied = asyncio.ensure_future(server.wait_empty())
            greeting = await reader.readline()
            assert not emptied.done()
            writer.write(b"QUIT\r\n")
            goodbye = await reader.read()
            await emptied
            running.cancel()
            writer.close()
            return greeting[:4] + goodbye[:4], server.ends

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        heard, ends = runner.run(call())
    assert heard == b"220 221 "
    assert len(ends) == 1
