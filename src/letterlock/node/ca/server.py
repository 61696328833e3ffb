"""uvicorn as this program runs it: on our sockets, under our signals, with an application to swap.

Its bounds are those of `web.ca.connections`; docs/decisions/0009-asgi.md.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from socket import socket

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from letterlock.node.ca.own_certificate import Context, ServerFiles
from letterlock.web.ca.connections import IDLE_SECONDS, BoundedConnection

GRACE_SECONDS = 10
"""For answers that are under way when no more are taken."""
MAX_CONNECTIONS = 4096
BACKLOG = 2048
TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""RFC 9325 §4.2. TLS 1.3 has its own; older versions Python's `ssl` leaves out."""


class CurrentApplication:
    """The application as it is now: a request that has begun ends in the one it began in."""

    def __init__(self, application: ASGIApp) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.application(scope, receive, send)


class Server(uvicorn.Server):
    """Ends when `should_exit` is set; signals are the program's own."""

    @property
    def context(self) -> Context:
        """What TLS shows."""
        context = self.config.ssl
        assert context is not None
        return context

    async def answer(self, sockets: Sequence[socket]) -> None:
        """Answer until told to end, and then finish what is under way."""
        await self.serve(list(sockets))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them as they are."""
        yield


def make_server(application: ASGIApp, files: ServerFiles) -> Server:
    """Make it. Raises OSError for files that TLS cannot load."""
    config = uvicorn.Config(
        application,
        http=BoundedConnection,
        ws="none",
        loop="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        # What clients do wrong is not news, and whatever we do wrong is told by `web`.
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=files.certificate,
        ssl_keyfile=files.key,
        ssl_ciphers=TLS_1_2_CIPHERS,
    )
    config.load()
    return Server(config)
