"""The mail log: one line for each thing that happened, in Postfix's shape or as JSON.

The shape is `Nov 22 02:39:05 mx1 letterlock/smtp[123]: QUEUEID: to=<...>, relay=...`, so that
fingers and scripts made for Postfix's log carry over. What comes from outside is made printable
here, and nowhere else: no octet from a peer can end a line or start a new one.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from select import PIPE_BUF
from typing import Protocol, TextIO

from letterlock.base.clock import Clock, format_time

_NEVER = datetime.min.replace(tzinfo=UTC)


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
        """Write one event: `text` follows the queue id; `fields` are for the JSON form."""


class LineLog:
    """Writes lines to a stream: in Postfix's shape, or one JSON document a line."""

    def __init__(
        self,
        clock: Clock,
        hostname: str,
        *,
        as_json: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        self._clock = clock
        self._host = hostname.partition(".")[0]
        self._stream = stream if stream is not None else sys.stderr
        self._process: int | None = None
        self._begin = ""
        self._begin_holds = (_NEVER, _NEVER)
        self._lines: list[str] = []
        self._soon: Callable[[Callable[[], None]], object] | None = None
        self._format: Callable[..., str] = self._format_json if as_json else self._format_postfix

    def write(
        self,
        service: Service,
        text: str,
        *,
        queue_id: str | None = None,
        **fields: object,
    ) -> None:
        self._lines.append(self._format(service, make_printable(text), queue_id, fields))
        if self._soon is None:
            self._write_out()
        elif len(self._lines) == 1:
            self._soon(self._write_out)

    @contextmanager
    def gathered(self, soon: Callable[[Callable[[], None]], object]) -> Iterator[None]:
        """Write together what is logged in one turn of an event loop; `soon` is its `call_soon`.

        To be used from that loop's thread alone. Outside of this each line is written at once.
        """
        self._soon, self._process = soon, os.getpid()
        try:
            yield
        finally:
            self._soon = self._process = None
            self._write_out()

    def _write_out(self) -> None:
        lines, self._lines = self._lines, []
        for piece in _join_lines(lines):
            self._stream.write(piece)
            self._stream.flush()

    def _format_postfix(
        self, service: Service, text: str, queue_id: str | None, fields: object
    ) -> str:
        del fields
        now = self._clock.now()
        since, until = self._begin_holds
        if not since <= now < until:
            self._begin_anew(now)
        subject = f"{queue_id}: " if queue_id else ""
        return f"{self._begin}{service}[{self._process or os.getpid()}]: {subject}{text}\n"

    def _begin_anew(self, now: datetime) -> None:
        """Make the beginning of all lines of a second."""
        since = now.replace(microsecond=0)
        self._begin_holds = (since, since + timedelta(seconds=1))
        self._begin = f"{now.astimezone(UTC):%b %e %H:%M:%S} {self._host} letterlock/"

    def _format_json(
        self,
        service: Service,
        text: str,
        queue_id: str | None,
        fields: dict[str, object],
    ) -> str:
        event: dict[str, object] = {
            "time": format_time(self._clock.now()),
            "service": service.value,
        }
        if queue_id:
            event["queue_id"] = queue_id
        event["text"] = text
        event.update(fields)
        return json.dumps(event, default=str, ensure_ascii=True) + "\n"


def _join_lines(lines: Sequence[str]) -> Iterator[str]:
    """Join lines into pieces that a pipe takes whole: other processes write to it as well."""
    piece, size = "", 0
    for line in lines:
        octets = len(line) if line.isascii() else len(line.encode(errors="replace"))
        if piece and size + octets > PIPE_BUF:
            yield piece
            piece, size = "", 0
        piece += line
        size += octets
    if piece:
        yield piece


def make_printable(text: str) -> str:
    """Replace what could break a line or a terminal by `?`: control characters, surrogates."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)
