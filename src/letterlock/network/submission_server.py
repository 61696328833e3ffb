"""The connections that come in for submission: as those of `smtp_server`, with logins.

RFC 4954 §4; RFC 5056 §2 (channel bindings); RFC 8314 §3.3. With implicit TLS the session asks for
the handshake before it greets.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from letterlock.network.smtp_connection import Connection, ConnectionHome
from letterlock.network.smtp_owner import SessionOwner
from letterlock.network.smtp_server import SmtpServer
from letterlock.protocols.sasl.channel_binding import NO_BINDINGS, ChannelBindings
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.server_session import Authenticate


class SubmissionOwner(SessionOwner, Protocol):
    """Answers one session's events, logins too."""

    async def answer_auth(
        self, event: Authenticate, find_bindings: Callable[[], ChannelBindings]
    ) -> Reply: ...


class SubmissionConnection(Connection):
    """One client. Its owner is a SubmissionOwner."""

    def __init__(self, server: ConnectionHome, tasks: asyncio.TaskGroup) -> None:
        super().__init__(server, tasks)
        self._owner: SubmissionOwner

    async def _authenticate(self, event: Authenticate) -> None:
        answer = await self._owner.answer_auth(event, self._find_channel_bindings)
        self._session.answer(answer)

    def _find_channel_bindings(self) -> ChannelBindings:
        return NO_BINDINGS if self._tls is None else self._tls.find_channel_bindings()

    # Any: as in Connection.
    _ACTIONS: ClassVar[Mapping[type, Callable[[Any, Any], None]]] = {
        **Connection._ACTIONS,  # noqa: SLF001 - the base class's
        Authenticate: lambda self, event: self._wait(self._authenticate(event)),
    }


class SubmissionServer(SmtpServer):
    """All connections of one process, on the ports for submission."""

    def _connection(self) -> Connection:
        assert self._tasks is not None
        return SubmissionConnection(self, self._tasks)
