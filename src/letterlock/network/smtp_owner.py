"""Who answers a session's events: what `network.smtp_connection` asks of `services.receive`.

Also the client as both know it.
"""

import asyncio
from collections.abc import Awaitable
from ipaddress import ip_address
from typing import Protocol

from msgspec import Struct

from letterlock.network.server_certificates import Choice
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.server_session import (
    Aside,
    ClientNamed,
    Hello,
    MailFrom,
    MessageStart,
    OriginTold,
    ProtocolError,
    Quit,
    RcptTo,
    Reset,
)
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed


class Peer(Struct, frozen=True):
    """The client's address and port, as text without brackets."""

    ip: str
    port: int
    via: str | None = None
    """The address of the proxy that told of it. None: nobody did, it is the connection's own."""
    told: str = ""
    """What the proxy told of TLS between the two, for the log: it says nothing of our own wire."""
    has_rights: bool = True
    """False: what lists say of its address counts for nothing, it may no more than anybody."""
    name: str | None = None
    """Its name as a proxy told it, "" for none. None: it is to be looked up."""
    tls: Handshake | None = None
    """The handshake that was done before a proxy named it."""
    is_named: bool = False
    """By XCLIENT: what it says now comes from the client, who may name nobody."""
    is_proxy: bool = False
    """A proxy itself, and no client of its: it looks whether we are well, or tells nothing."""

    @property
    def is_this_machine(self) -> bool:
        """Whether a program on this machine is meant, and nobody behind a proxy."""
        return self.via is None and (self.ip.startswith("127.") or self.ip == "::1")


def make_peer(transport: asyncio.BaseTransport) -> Peer:
    """Give the connection's own other end."""
    name = transport.get_extra_info("peername") or ("unknown", 0)
    return Peer(str(name[0]).partition("%")[0].removeprefix("::ffff:"), int(name[1]))


def may_have_rights(ip: str) -> bool:
    """Say whether an address that a proxy told can be one machine's, and not any machine's own."""
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)


class SessionOwner(Protocol):
    """Answers one session's events. They return at once, but for those that give an awaitable."""

    def start_connection(self, *, is_crowded: bool) -> Reply | None:
        """Give None to go on, or the reply that refuses the connection.

        `is_crowded`: this process has no room for it.
        """

    def answer_hello(self, event: Hello) -> None: ...

    def answer_mail(self, event: MailFrom) -> Reply | Awaitable[Reply]:
        """Give the reply at once, or where others are asked, what gives it."""

    def answer_rcpt(self, event: RcptTo) -> Reply | Awaitable[Reply]:
        """Give the reply, as `answer_mail`."""

    def name_client(self, event: ClientNamed) -> Peer:
        """Give the client that a proxy names."""

    async def log_in(self, name: str) -> Reply | None:
        """Let a client in that its proxy has let in; a reply refuses it.

        Called before the connection starts.
        """

    def note_origin(self, event: OriginTold) -> None: ...

    def answer_message(self, event: MessageStart) -> Reply: ...

    def take_octets(self, data: bytes) -> Awaitable[None] | None:
        """Take a piece of the message; an awaitable says to read no more until it is done."""

    async def answer_end(self) -> Reply:
        """Store the message; the reply goes out when this returns."""

    def drop_message(self, violation: Reply | None = None) -> None:
        """Discard the message; `violation` is the reply that the session gave, if it did."""

    def note_tls(self, handshake: Handshake, choice: Choice | None) -> None: ...

    def note_tls_failure(self, failure: HandshakeFailed) -> None: ...

    def note_error(self, event: ProtocolError) -> None: ...

    def note_command(self, event: Reset | Quit | Aside) -> None: ...

    def end_connection(self, reason: str) -> None: ...
