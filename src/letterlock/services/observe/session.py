"""Answers one session at a host of an inbound test: what it does is noted, and no mail is kept.

RFC 5321 §3.3, §4.2.5: a recipient is taken only where its address names a test that is open and a
host of the place that was connected to; nothing is relayed. Postmaster is not taken either, unlike
RFC 5321 §4.5.1: nobody reads mail here, and `letterlock inbound records` names no such address.
The 250 comes when what was seen is on the disk.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.network.server_certificates import Choice
from letterlock.network.smtp_owner import Peer
from letterlock.protocols.inbound.cases import CASES_BY_PLACE, Case, HostNames, Place
from letterlock.protocols.inbound.facts import MAX_TEXT, SessionSeen, TlsSeen
from letterlock.protocols.smtp.envelope import TlsDemand
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
from letterlock.services.observe.register import Register

if TYPE_CHECKING:
    from asyncio import TaskGroup

MAX_PER_CLIENT = 10
"""Connections at a time of one client."""

_OK = Reply(250, ("OK",), "2.1.0")
_RCPT_OK = Reply(250, ("OK",), "2.1.5")
_GO_ON = Reply(354, ("Go on, nothing of it is kept",))
_NOTED = Reply(250, ("Noted, and the message was dropped",), "2.0.0")
_BUSY = Reply(421, ("Too many connections, come back later",), "4.7.0")
_NO_RELAY = Reply(550, ("No mail is taken here but that of tests",), "5.7.1")
_NO_TEST = Reply(550, ("There is no such test, or its time is over",), "5.1.1")
_FULL = Reply(452, ("This test has seen enough",), "4.5.3")
_NOT_KEPT = Reply(452, ("What was seen cannot be kept now, come back later",), "4.3.1")
_IN_VAIN = Reply(502, ("Not here",), "5.5.1")


@dataclass(frozen=True, slots=True)
class Observer:
    """What the sessions of a process have in common. `make_key` names a session."""

    names: HostNames
    register: Register
    clock: Clock
    log: Log
    make_key: Callable[[], str]
    tasks: "TaskGroup"
    clients: dict[str, int]
    """Open connections by address."""


class ObservedSession:
    """Fulfils `network.smtp_owner.SessionOwner`."""

    def __init__(self, observer: Observer, peer: Peer, place: Place) -> None:
        self._observer = observer
        self._place = place
        self._seen = SessionSeen(
            key=observer.make_key(), started=observer.clock.now(), ip=peer.ip, place=place
        )
        self._sender = ""
        self._named: dict[str, dict[Case, None]] = {}
        self._delivered: dict[str, dict[Case, None]] = {}
        self._wanted: dict[str, dict[Case, None]] = {}
        self._is_counted = False

    def start_connection(self, *, is_crowded: bool) -> Reply | None:
        clients, ip = self._observer.clients, self._seen.ip
        if is_crowded or clients.get(ip, 0) >= MAX_PER_CLIENT:
            return _BUSY
        clients[ip] = clients.get(ip, 0) + 1
        self._is_counted = True
        return None

    def answer_hello(self, event: Hello) -> None:
        self._seen = replace(self._seen, hello=event.name[:MAX_TEXT])

    def answer_mail(self, event: MailFrom) -> Reply:
        self._sender = "" if event.sender is None else event.sender.format()
        return _OK

    def answer_rcpt(self, event: RcptTo) -> Reply:
        names = self._observer.names
        case = names.find_case(event.mailbox.domain)
        if case is None or case not in CASES_BY_PLACE[self._place]:
            return _NO_RELAY
        test = self._observer.register.find(event.mailbox.local)
        if test is None:
            return _NO_TEST
        if test.is_full:
            return _FULL
        self._named.setdefault(test.token, {})[case] = None
        return _RCPT_OK

    def name_client(self, event: ClientNamed) -> Peer:
        raise AssertionError(f"nobody may name clients here: {event}")

    async def log_in(self, name: str) -> Reply | None:
        del name
        return _IN_VAIN

    def note_origin(self, event: OriginTold) -> None:
        del event

    def answer_message(self, event: MessageStart) -> Reply:
        if event.envelope.tls_demand is TlsDemand.REQUIRETLS:
            self._seen = replace(self._seen, requiretls=True)
        self._wanted = {}
        for each in event.envelope.recipients:
            local, _, domain = each.address.rpartition("@")
            if (case := self._observer.names.find_case(domain)) is not None:
                self._wanted.setdefault(local.lower(), {})[case] = None
        return _GO_ON

    def take_octets(self, data: bytes) -> Awaitable[None] | None:
        del data
        return None

    async def answer_end(self) -> Reply:
        register = self._observer.register
        for token, cases in self._wanted.items():
            self._delivered.setdefault(token, {}).update(cases)
            try:
                await register.keep(token, self._complete(token), self._sender)
            except OSError as error:
                self._tell_fault(error)
                return _NOT_KEPT
        hosts = "+".join(case for cases in self._wanted.values() for case in cases)
        self._observer.log.write(
            Service.INBOUND,
            f"noted: from=<{self._sender}>, client=[{self._seen.ip}], "
            f"hosts={hosts}, tls={_describe(self._seen.tls)}",
            sender=self._sender,
            client=self._seen.ip,
        )
        return _NOTED

    def drop_message(self, violation: Reply | None = None) -> None:
        del violation

    def note_tls(self, handshake: Handshake, choice: Choice | None) -> None:
        del choice
        sni = handshake.sni[:MAX_TEXT] if handshake.sni is not None else None
        tls = TlsSeen(handshake.version, handshake.cipher, handshake.group, sni)
        self._seen = replace(self._seen, tls=tls)

    def note_tls_failure(self, failure: HandshakeFailed) -> None:
        if self._seen.tls is not None:
            return
        sni = failure.sni[:MAX_TEXT] if failure.sni is not None else None
        text = failure.detail[:MAX_TEXT]
        self._seen = replace(self._seen, failure=text, failed_sni=sni)

    def note_error(self, event: ProtocolError) -> None:
        del event

    def note_command(self, event: Reset | Quit | Aside) -> None:
        del event

    def end_connection(self, reason: str) -> None:
        del reason
        if not self._is_counted:
            return
        self._is_counted = False
        clients, ip = self._observer.clients, self._seen.ip
        clients[ip] -= 1
        if not clients[ip]:
            del clients[ip]
        if self._seen.hello or self._seen.has_handshake:
            self._observer.tasks.create_task(self._keep_left())

    async def _keep_left(self) -> None:
        """Keep what is known of a session that delivered nothing."""
        register = self._observer.register
        try:
            for token in self._named.keys() - self._delivered.keys():
                await register.keep(token, self._complete(token))
            if not self._named:
                await register.note_left(self._complete(None))
        except OSError as error:
            self._tell_fault(error)

    def _complete(self, token: str | None) -> SessionSeen:
        """Add what is a test's: hosts by recipients, by name, or because there is one only."""
        cases: Sequence[Case] = tuple(self._named.get(token, ())) if token is not None else ()
        if not cases:
            named = self._observer.names.find_case_of_host(self._seen.sni)
            cases = (named,) if named is not None else CASES_BY_PLACE[self._place]
            cases = cases if len(cases) == 1 else ()
        delivered = tuple(self._delivered.get(token, ())) if token is not None else ()
        return replace(self._seen, cases=tuple(cases), delivered=delivered)

    def _tell_fault(self, error: OSError) -> None:
        self._observer.log.write(Service.INBOUND, f"warning: a session cannot be kept: {error}")


def _describe(tls: TlsSeen | None) -> str:
    return "none" if tls is None else f"{tls.version}/{tls.cipher}/sni={tls.sni or 'none'}"
