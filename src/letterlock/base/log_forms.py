"""The forms of a log line: Postfix's, JSON, syslog's two, and the journal's fields.

RFC 3164 §4.1 and RFC 5424 §6 (syslog), RFC 3339 §5.6 (times, always in UTC). Which is used where
is in `node.logs`; what each event says, and that it is printable, is in `log`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from letterlock.base.clock import Clock, format_time

SYSLOG_NAME = "postfix"
"""Before the program's name: fail2ban and pflogsumm look for `postfix/smtpd`."""

MAIL_FACILITY = 2
_NEVER = datetime.min.replace(tzinfo=UTC)
_KEPT_NAMES = frozenset({"time", "service", "queue_id", "text", "level", "process"})


class Priority(IntEnum):
    """How much an event matters: RFC 5424 §6.2.1."""

    ERROR = 3
    WARNING = 4
    INFO = 6


_LEVELS = {Priority.ERROR: "error", Priority.WARNING: "warning", Priority.INFO: "info"}
_BEGINNINGS = (("warning:", Priority.WARNING), ("error:", Priority.ERROR))


def find_priority(text: str) -> Priority:
    """Give an event's priority: its text begins with it, as in Postfix."""
    for beginning, priority in _BEGINNINGS:
        if text.startswith(beginning):
            return priority
    return Priority.INFO


class LineForm(ABC):
    """Turns events into what is written: lines with their end, or whole datagrams."""

    process = 0
    """The process that writes: whoever asks for a line has set it."""

    @abstractmethod
    def format(
        self, service: str, text: str, queue_id: str | None, fields: Mapping[str, object]
    ) -> bytes:
        """Give the octets of one event. `text` and all texts in `fields` are printable."""


class _StampedForm(LineForm):
    """Makes what all lines of a second begin with, once: `_begin`, from `_since` to `_until`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin = ""
        self._since = self._until = _NEVER

    def _begin_anew(self, now: datetime) -> None:
        self._since = now.replace(microsecond=0)
        self._until = self._since + timedelta(seconds=1)
        self._begin = self._make_begin(now.astimezone(UTC))

    @abstractmethod
    def _make_begin(self, now: datetime) -> str: ...


class PostfixForm(_StampedForm):
    """`Nov 22 02:39:05 mx1 postfix/smtp[123]: QUEUEID: to=<...>`; or with RFC 3339's stamp."""

    def __init__(
        self, clock: Clock, hostname: str, name: str = SYSLOG_NAME, *, is_rfc3339: bool = False
    ) -> None:
        super().__init__(clock)
        self._host = hostname.partition(".")[0]
        self._name = name
        self._is_rfc3339 = is_rfc3339
        self._begins: dict[str, str] = {}
        """What the lines of each service begin with, in this second and this process."""
        self._begins_process = 0

    def format(
        self, service: str, text: str, queue_id: str | None, fields: Mapping[str, object]
    ) -> bytes:
        del fields
        # Each line's time is looked at: a clock that was set back shows.
        if not self._since <= (now := self._clock.now()) < self._until:
            self._begin_anew(now)
        begin = self._begins.get(service)
        if begin is None or self._begins_process != self.process:
            begin = self._begin_service(service)
        if queue_id:
            return f"{begin}{queue_id}: {text}\n".encode(errors="replace")
        return f"{begin}{text}\n".encode(errors="replace")

    def _make_begin(self, now: datetime) -> str:
        self._begins.clear()
        stamp = format_time(now) if self._is_rfc3339 else f"{now:%b %e %H:%M:%S}"
        return f"{stamp} {self._host} {self._name}/"

    def _begin_service(self, service: str) -> str:
        if self._begins_process != self.process:
            self._begins.clear()
            self._begins_process = self.process
        begin = self._begins[service] = f"{self._begin}{service}[{self.process}]: "
        return begin


class JsonForm(LineForm):
    """One JSON document a line."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def format(
        self, service: str, text: str, queue_id: str | None, fields: Mapping[str, object]
    ) -> bytes:
        event: dict[str, object] = {
            "time": format_time(self._clock.now()),
            "service": service,
            "process": self.process,
            "level": _LEVELS[find_priority(text)],
        }
        if queue_id:
            event["queue_id"] = queue_id
        event["text"] = text
        event.update((key, value) for key, value in fields.items() if key not in _KEPT_NAMES)
        return json.dumps(event, default=str, ensure_ascii=True).encode() + b"\n"


class BsdSyslogForm(_StampedForm):
    """What syslog(3) sends, RFC 3164 §4.1; `hostname` None leaves it out, as on this machine."""

    def __init__(self, clock: Clock, hostname: str | None, name: str = SYSLOG_NAME) -> None:
        super().__init__(clock)
        self._host = "" if hostname is None else f"{hostname.partition('.')[0]} "
        self._name = name

    def format(
        self, service: str, text: str, queue_id: str | None, fields: Mapping[str, object]
    ) -> bytes:
        del fields
        if not self._since <= (now := self._clock.now()) < self._until:
            self._begin_anew(now)
        subject = f"{queue_id}: " if queue_id else ""
        begin = f"<{_find_value(text)}>{self._begin}"
        return f"{begin}{service}[{self.process}]: {subject}{text}".encode(errors="replace")

    def _make_begin(self, now: datetime) -> str:
        return f"{now:%b %e %H:%M:%S} {self._host}{self._name}/"


class IetfSyslogForm(LineForm):
    """RFC 5424 §6, without structured data: nobody has given us a number for its names."""

    def __init__(self, clock: Clock, hostname: str, name: str = SYSLOG_NAME) -> None:
        self._clock = clock
        self._host = hostname
        self._name = name

    def format(
        self, service: str, text: str, queue_id: str | None, fields: Mapping[str, object]
    ) -> bytes:
        del fields
        moment = f"{self._clock.now().astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
        subject = f"{queue_id}: " if queue_id else ""
        sender = f"{self._name}/{service} {self.process}"
        head = f"<{_find_value(text)}>1 {moment} {self._host} {sender}"
        return f"{head} - - {subject}{text}".encode(errors="replace")


class JournalForm(LineForm):
    """systemd's native protocol: `FIELD=value` lines; the journal stamps them itself."""

    def __init__(self, name: str = SYSLOG_NAME) -> None:
        self._name = name

    def format(
        self, service: str, text: str, queue_id: str | None, fields: Mapping[str, object]
    ) -> bytes:
        entry: dict[str, object] = {
            key.upper(): value for key, value in fields.items() if value is not None
        }
        entry |= {
            "MESSAGE": f"{queue_id}: {text}" if queue_id else text,
            "PRIORITY": int(find_priority(text)),
            "SYSLOG_FACILITY": MAIL_FACILITY,
            "SYSLOG_IDENTIFIER": f"{self._name}/{service}",
            "SYSLOG_PID": self.process,
        }
        if queue_id:
            entry["QUEUE_ID"] = queue_id
        return b"".join(_format_journal_field(key, str(value)) for key, value in entry.items())


def _format_journal_field(key: str, value: str) -> bytes:
    octets = value.encode(errors="replace")
    if b"\n" in octets:
        return b"%s\n%s%s\n" % (key.encode(), len(octets).to_bytes(8, "little"), octets)
    return b"%s=%s\n" % (key.encode(), octets)


def _find_value(text: str) -> int:
    """Give PRIVAL: RFC 5424 §6.2.1."""
    return MAIL_FACILITY * 8 + find_priority(text)
