"""The mail log: one event for each thing that happened.

What comes from outside is made harmless here, and nowhere else: no octet from a peer can end a line
or start a new one, and no address can pass for a field. The shapes of lines are in `log_forms`,
what is hidden in `redaction`, what happens when nobody takes them in `log_outbox`.
"""

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from select import PIPE_BUF
from threading import get_ident
from typing import Protocol, TextIO

from letterlock.base.clock import Clock
from letterlock.base.log_forms import JsonForm, LineForm, PostfixForm
from letterlock.base.log_outbox import Outbox, Sink
from letterlock.base.printable import make_printable
from letterlock.base.redaction import Redactor, list_addresses

MAX_TEXT_CHARACTERS = 8000
"""What a peer said is shorter; this bounds what one event costs."""

RETRY_SECONDS = 0.25
"""Between two tries when the sink took nothing."""
_PAUSE_SECONDS = 0.02
_PATIENT_TRIES = 5
_LAST_TRIES = 50

# What could begin or end a field of a line.
_STRUCTURE = re.compile(r"[<>()\[\],;:=]")


class Service(StrEnum):
    """Who speaks: Postfix's program names where ours does the same work."""

    SMTPD = "smtpd"
    PICKUP = "pickup"
    SMTP = "smtp"
    QUEUE = "qmgr"
    LOCAL = "local"
    BOUNCE = "bounce"
    NODE = "master"
    TLS = "tls"
    POLICY = "policy"
    CERTIFICATES = "certificates"
    TLSRPT = "tlsrpt"
    CA = "ca"
    INBOUND = "inbound"


class Log(Protocol):
    """Where events go."""

    def write(
        self,
        service: Service,
        text: str,
        *,
        queue_id: str | None = None,
        **fields: object,
    ) -> None:
        """Write one event: `text` follows the queue id; `fields` are for the JSON form.

        Addresses in the text are to be fields too (`redaction.ADDRESS_FIELDS`, `client`): by that
        they are known, made harmless and hidden.
        """


Soon = Callable[[Callable[[], None]], object]
Later = Callable[[float, Callable[[], None]], object]


class LineLog:
    """Gives events their form and a sink their lines. `complain` is told of a sink's faults.

    Any thread may write.
    """

    def __init__(
        self,
        form: LineForm,
        sink: Sink,
        redactor: Redactor | None = None,
        complain: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._form = form
        self._sink = sink
        self._redactor = redactor
        self._complain = complain
        self._fault = ""
        self._process = os.getpid()
        self._outbox = Outbox(sink, self._tell_loss)
        # Around the form, the outbox and the sink.
        self._lock = threading.Lock()
        self._soon: Soon | None = None
        self._later: Later | None = None
        self._loop_thread = 0
        """Whose `_soon` and `_is_planned` are."""
        self._is_planned = False

    def write(
        self,
        service: Service,
        text: str,
        *,
        queue_id: str | None = None,
        **fields: object,
    ) -> None:
        if len(text) > MAX_TEXT_CHARACTERS or not text.isprintable():
            text = make_printable(text[:MAX_TEXT_CHARACTERS])
        given: Mapping[str, object] = fields
        if self._redactor is not None:
            text, given = self._redactor.redact(text, fields)
        if '"' in text:
            # Behind the redactor, which knows addresses as they are.
            text = _make_harmless(text, given)
        soon = self._soon
        if soon is None:
            # It may be a child by now; within `gathered` it is known to be the same.
            self._note_process()
        with self._lock:
            self._outbox.add(self._form.format(service, text, queue_id, given))
        if soon is None or self._loop_thread != get_ident():
            self._send_patiently(_PATIENT_TRIES)
        elif not self._is_planned:
            self._is_planned = True
            soon(self._send)

    @contextmanager
    def gathered(self, soon: Soon, later: Later | None = None) -> Iterator[None]:
        """Write together what is logged in one turn of an event loop.

        `soon` is its `call_soon`; `later`, its `call_later`, tries again when the sink is busy.
        Outside of this, and in other threads, each line is written at once, and waited for a
        moment.
        """
        self._note_process()
        self._loop_thread = get_ident()
        self._soon, self._later = soon, later
        try:
            yield
        finally:
            self._soon = self._later = None
            self._is_planned = False
            self._send_patiently(_LAST_TRIES)
            if left := len(self._outbox) + self._outbox.lost:
                self._complain(f"{left} lines of the log are lost: nobody took them")

    def _send(self) -> None:
        is_done = self._try_sending()
        self._is_planned = not is_done and self._later is not None
        if self._is_planned and self._later is not None:
            self._later(RETRY_SECONDS, self._send)

    def _send_patiently(self, tries: int) -> None:
        for _ in range(tries):
            if self._try_sending():
                return
            time.sleep(_PAUSE_SECONDS)

    def _try_sending(self) -> bool:
        with self._lock:
            is_done = self._outbox.send()
            before, fault = self._fault, self._sink.fault
            self._fault = fault
        if fault and fault != before:
            self._complain(f"the log cannot be written, its lines wait: {fault}")
        return is_done

    def _note_process(self) -> None:
        """Begin anew after a fork: what waits is our parent's, and so may be who has the lock."""
        if (process := os.getpid()) != self._process:
            self._outbox.clear()
            self._lock = threading.Lock()
            self._process = process
        self._form.process = process

    def _tell_loss(self, count: int) -> bytes:
        text = f"warning: {count} lines of the log are lost: they came faster than it took them"
        return self._form.format(Service.NODE, text, None, {"lost": count})


def make_stream_log(
    clock: Clock, hostname: str, *, as_json: bool = False, stream: TextIO | None = None
) -> LineLog:
    """Make a log that writes to a stream, standard error by default, and waits for it."""
    form = JsonForm(clock) if as_json else PostfixForm(clock, hostname)
    return LineLog(form, _Stream(stream if stream is not None else sys.stderr))


class _Stream:
    fault = ""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def take(self, records: Sequence[bytes]) -> int:
        for piece, _ in join_lines(records):
            self._stream.write(piece.decode())
            self._stream.flush()
        return len(records)


def join_lines(lines: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """Join lines into pieces that a pipe takes whole: other processes write to it as well.

    Each piece comes with the number of its lines.
    """
    if lines and sum(map(len, lines)) <= PIPE_BUF:
        return [(b"".join(lines), len(lines))]
    pieces: list[tuple[bytes, int]] = []
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > PIPE_BUF:
            pieces.append((b"".join(piece), len(piece)))
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        pieces.append((b"".join(piece), len(piece)))
    return pieces


def make_value(text: str) -> str:
    """Make text from outside fit for a value of a line: it ends there, and is on that line."""
    return _STRUCTURE.sub("?", make_printable(text))


def _make_harmless(text: str, fields: Mapping[str, object]) -> str:
    """Take from quoted local parts (RFC 5321 §4.1.2) what could pass for the text around them."""
    for value in list_addresses(fields):
        if '"' in value:
            local, at, domain = make_printable(value).rpartition("@")
            shown = make_value(local) + at + domain
            text = text.replace(local + at + domain, shown)
    return text
