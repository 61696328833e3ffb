"""A driver for server sessions: says what a client says, answers what is asked, keeps the rest."""

from collections.abc import Callable, Iterable

from letterlock.protocols.smtp.envelope import Envelope
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.server_session import (
    Authenticate,
    ClientNamed,
    Closed,
    Event,
    MailFrom,
    MessageAborted,
    MessageEnd,
    MessageOctets,
    MessageStart,
    RcptTo,
    ServerSession,
    SessionSettings,
)

SETTINGS = SessionSettings("mx.example.org")
OK = reply(250, "2.0.0", "Ok")
Asking = Authenticate | ClientNamed | MailFrom | RcptTo | MessageStart | MessageEnd


class Dialogue:
    """One session that was greeted. `answer` gives the reply to each event that asks."""

    def __init__(
        self,
        settings: SessionSettings = SETTINGS,
        answer: Callable[[Asking], Reply] = lambda _: OK,
        *,
        is_greeted: bool = True,
        make: Callable[[SessionSettings], ServerSession] = ServerSession,
    ) -> None:
        self.session = make(settings)
        self.events: list[Event] = []
        self.messages: list[tuple[Envelope, bytes]] = []
        """Those that were accepted."""
        self._answer = answer
        self._envelope: Envelope | None = None
        self._text = b""
        if is_greeted:
            self.session.greet()
            self.pump()

    def say(self, *pieces: bytes) -> list[str]:
        """Send pieces, one after the other; gives the last line of each reply."""
        sent = b""
        for piece in pieces:
            self.session.receive(piece)
            sent += self.pump()
        return last_lines(sent)

    def codes(self, *pieces: bytes) -> list[int]:
        """Send pieces; gives the replies' codes."""
        return [int(line[:3]) for line in self.say(*pieces)]

    def start_tls(self) -> None:
        assert self.codes(b"STARTTLS\r\n") == [220]
        self.session.tls_started()

    def pump(self) -> bytes:
        while (event := self.session.next_event()) is not None:
            self._take(event)
        return self.session.bytes_to_send()

    def take_events(self) -> list[Event]:
        """Give the events since the last call."""
        events, self.events = self.events, []
        return events

    @property
    def reason(self) -> str | None:
        """Why the session was closed; None: it is open."""
        closed = [event.reason for event in self.events if isinstance(event, Closed)]
        assert self.session.is_closed == bool(closed)
        return closed[0] if closed else None

    def _take(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case MessageStart(envelope=envelope):
                self._envelope, self._text = envelope, b""
            case MessageOctets(octets):
                assert octets
                assert self._envelope is not None
                self._text += octets
            case MessageAborted():
                assert self._envelope is not None
                self._envelope = None
            case _:
                pass
        if isinstance(event, Authenticate | ClientNamed | MailFrom | RcptTo | MessageStart):
            self._give(event)
        elif isinstance(event, MessageEnd):
            assert self._envelope is not None
            envelope, self._envelope = self._envelope, None
            if event.violation is None and self._give(event).is_positive:
                self.messages.append((envelope, self._text))

    def _give(self, event: Asking) -> Reply:
        answer = self._answer(event)
        self.session.answer(answer)
        return answer


def answering(kind: type, *replies: Reply) -> Callable[[Asking], Reply]:
    """Answer events of a kind with replies in turn, and all others with 250."""
    left = list(replies)

    def answer(event: Asking) -> Reply:
        return left.pop(0) if isinstance(event, kind) and left else OK

    return answer


def last_lines(sent: bytes) -> list[str]:
    lines = sent.decode("ascii").split("\r\n")
    assert lines.pop() == "", "every reply ends with CRLF"
    return [line for line in lines if line[3:4] != "-"]


def joined(events: Iterable[Event]) -> list[Event]:
    """Put pieces of a message together: how they are cut is not part of what happened."""
    result: list[Event] = []
    for event in events:
        if isinstance(event, MessageOctets) and result and isinstance(result[-1], MessageOctets):
            result[-1] = MessageOctets(result[-1].data + event.data)
        else:
            result.append(event)
    return result
