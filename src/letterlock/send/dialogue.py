"""`sendmail -bs`: a program speaks SMTP on standard input and output, and its messages are dropped.

RFC 5321 §3, by the session that the node has for its clients. As with other sendmails, lines may
end in LF, and a whole dialogue may come at once from a file. ORCPT (RFC 3461 §4.2) is not kept.
Loads what the rest of this package does without: few programs ask for it.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

from letterlock.protocols.smtp.envelope import Envelope, Notify
from letterlock.protocols.smtp.message_data import BareNewline
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.server_events import (
    Closed,
    Event,
    MailFrom,
    MessageAborted,
    MessageEnd,
    MessageOctets,
    MessageStart,
    RcptTo,
)
from letterlock.protocols.smtp.server_session import ServerSession, SessionSettings
from letterlock.protocols.smtp.xtext import XtextError, decode_xtext
from letterlock.send.dropping import Drop, DropPlace
from letterlock.send.failures import TRY_LATER, SendError
from letterlock.storage.drop import DropEnvelope, DropError, format_envelope

PIECE_OCTETS = 64 * 1024
MAX_MESSAGE_OCTETS = 50 * 1024 * 1024
"""Where the node has not said what it takes."""

_SENDER_OK = reply(250, "2.1.0", "Ok")
_RECIPIENT_OK = reply(250, "2.1.5", "Ok")
_GO_ON = reply(250, "2.0.0", "Ok")


def speak(place: DropPlace) -> int:
    """Talk until the program says QUIT or ends; gives the exit code."""
    return _Dialogue(place).run()


class _Dialogue:
    """One program's session."""

    def __init__(self, place: DropPlace) -> None:
        self._place = place
        settings = SessionSettings(
            hostname=os.uname().nodename,
            max_message_bytes=place.max_octets or MAX_MESSAGE_OCTETS,
            max_recipients=place.max_recipients or 1000,
            bare_newline=BareNewline.NORMALIZE,
            offer_starttls=False,
        )
        self._session = ServerSession(settings)
        self._drops: list[Drop] = []
        self._trouble: SendError | None = None
        self._is_lf_enough: bool | None = None

    def run(self) -> int:
        try:
            self._session.greet()
            is_open = self._go_on()
            # A line at a time: what a program writes ahead of our replies is no intrusion here.
            for line in _read_lines():
                if not is_open:
                    break
                self._session.receive(self._mend(line))
                is_open = self._go_on()
            if is_open:
                self._session.receive_eof()
                self._go_on()
        finally:
            self._discard()
        return 0

    def _mend(self, line: bytes) -> bytes:
        """Give a line its CR where the program writes none, as its first line shows.

        Where it does, an LF alone stays what it is: whoever wrote the text may have put there what
        looks like the end of the message. Chunks have octets, and not lines.
        """
        if self._is_lf_enough is None:
            self._is_lf_enough = not line.endswith(b"\r\n")
        if line[:5].upper() == b"BDAT " and not self._drops:
            self._is_lf_enough = False
        is_bare = line.endswith(b"\n") and not line.endswith(b"\r\n")
        return line[:-1] + b"\r\n" if is_bare and self._is_lf_enough else line

    def _go_on(self) -> bool:
        """Carry out what was asked, and answer; False when the session is over."""
        is_open = True
        while (event := self._session.next_event()) is not None:
            is_open = is_open and not isinstance(event, Closed)
            self._take(event)
        if octets := self._session.bytes_to_send():
            sys.stdout.buffer.write(octets)
            sys.stdout.buffer.flush()
        return is_open

    def _take(self, event: Event) -> None:
        match event:
            case MailFrom():
                self._session.answer(_SENDER_OK)
            case RcptTo():
                self._session.answer(_RECIPIENT_OK)
            case MessageStart(envelope=envelope):
                self._session.answer(self._begin(envelope))
            case MessageOctets(data):
                self._write(data)
            case MessageEnd(violation=None):
                self._session.answer(self._finish())
            case MessageEnd() | MessageAborted():
                self._discard()
            case _:
                return

    def _begin(self, envelope: Envelope) -> Reply:
        self._trouble = None
        try:
            for octets in _format_envelopes(envelope):
                drop = self._place.begin()
                self._drops.append(drop)
                drop.write_envelope(octets)
        except DropError as error:
            self._discard()
            return reply(553, "5.1.3", f"an address cannot be sent to: {error}")
        except SendError as error:
            self._discard()
            return _refuse(error)
        return _GO_ON

    def _write(self, data: bytes) -> None:
        try:
            for drop in self._drops:
                drop.write(data)
        except SendError as error:
            self._trouble = error
            self._discard()

    def _finish(self) -> Reply:
        if self._trouble is not None:
            return _refuse(self._trouble)
        try:
            names = [drop.finish() for drop in self._drops]
        except SendError as error:
            return _refuse(error)
        finally:
            self._discard()
        self._place.ring()
        return reply(250, "2.0.0", f"Ok: taken as {' '.join(names)}")

    def _discard(self) -> None:
        """Remove what was not finished."""
        for drop in self._drops:
            drop.discard()
        self._drops.clear()


def _format_envelopes(envelope: Envelope) -> Iterator[bytes]:
    """Give one for all recipients for whom the same was asked."""
    groups: dict[frozenset[Notify], list[str]] = {}
    for recipient in envelope.recipients:
        groups.setdefault(recipient.notify, []).append(recipient.address)
    facts = {"sender": envelope.sender}
    if envelope.ret is not None:
        facts["ret"] = envelope.ret.value
    if envelope.envid is not None:
        with contextlib.suppress(XtextError):
            facts["envid"] = decode_xtext(envelope.envid)
    for notify, recipients in groups.items():
        asked = {"notify": ",".join(sorted(each.value for each in notify))} if notify else {}
        yield format_envelope(DropEnvelope(tuple(recipients), facts | asked))


def _refuse(error: SendError) -> Reply:
    if error.code == TRY_LATER:
        return reply(452, "4.3.1", str(error))
    return reply(451, "4.3.0", str(error))


def _read_lines() -> Iterator[bytes]:
    """Give lines with their ends as they come, and long ones in pieces."""
    held = b""
    while octets := os.read(0, PIECE_OCTETS):
        *lines, held = (held + octets).split(b"\n")
        for line in lines:
            yield line + b"\n"
        if len(held) > PIECE_OCTETS:
            yield held
            held = b""
    if held:
        yield held
