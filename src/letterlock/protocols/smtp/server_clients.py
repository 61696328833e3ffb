"""How a server session is told of other clients than the one that it has: XCLIENT and XFORWARD.

Postfix's XCLIENT_README and XFORWARD_README. Who may is in the session's settings. XCLIENT asks:
when it is taken, the driver goes on with a new session, which is as after its greeting.
"""

from letterlock.protocols.smtp.client_attributes import (
    AttributesError,
    parse_xclient,
    parse_xforward,
)
from letterlock.protocols.smtp.commands import Xclient, Xforward
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.server_events import ClientNamed, OriginTold
from letterlock.protocols.smtp.server_messages import ServerMessages
from letterlock.protocols.smtp.server_replies import OK

IN_TRANSACTION = reply(503, "5.5.1", "A mail transaction is open")
NOT_FOR_YOU = reply(550, "5.7.0", "Not authorized for this command")


class ServerClients(ServerMessages):
    """The part of a server session that is about other clients."""

    def go_on_from(self, before: "ServerClients", *, has_login: bool) -> None:
        """Be the session after XCLIENT, before its greeting: what is not the client's stays.

        `has_login`: the client that was named is logged in, by its proxy's word.
        """
        del has_login
        self.is_tls = before.is_tls

    def take_client(self, command: Xclient) -> None:
        if (refusal := self._find_client_refusal(may=self.settings.may_name_clients)) is not None:
            self._fail(refusal, "XCLIENT")
            return
        try:
            attributes = parse_xclient(command.arguments)
        except AttributesError as fault:
            self._fail(fault.reply, "XCLIENT")
            return
        self._ask(ClientNamed(attributes), self._pass_on)

    def take_origin(self, command: Xforward) -> None:
        if (refusal := self._find_client_refusal(may=self.settings.may_tell_origins)) is not None:
            self._fail(refusal, "XFORWARD")
            return
        try:
            attributes = parse_xforward(command.arguments)
        except AttributesError as fault:
            self._fail(fault.reply, "XFORWARD")
            return
        self._events.append(OriginTold(attributes))
        self._send(OK)

    def _find_client_refusal(self, *, may: bool) -> Reply | None:
        if not may:
            return NOT_FOR_YOU
        return None if self._transaction is None else IN_TRANSACTION
