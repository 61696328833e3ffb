"""Takes the line of a log apart: time, program, process, text.

Syslog's traditional form (RFC 3164 §4.1.2) and RFC 3339's, as rsyslog, Postfix's own
maillog_file and `journalctl` write them; our own JSON lines, and the journal's JSON. The journal's
export form is of many lines a record: `journal` turns it into these.
"""

from typing import NamedTuple

import msgspec

MAX_CHARACTERS = 32_768
"""What is longer is cut: no line that says what became of mail is."""


class LogLine(NamedTuple):
    """One line. `stamp` is as written; `program` is the last part of its name: `smtp`.

    A tuple: one is made for each line that counts.
    """

    stamp: str
    host: str
    program: str
    process: str
    text: str


class _OurRecord(msgspec.Struct):
    time: str
    service: str
    text: str
    process: int = 0
    queue_id: str | None = None


class _JournalRecord(msgspec.Struct):
    message: str | list[int] | None = msgspec.field(default=None, name="MESSAGE")
    identifier: str = msgspec.field(default="", name="SYSLOG_IDENTIFIER")
    process: str = msgspec.field(default="", name="_PID")
    syslog_process: str = msgspec.field(default="", name="SYSLOG_PID")
    host: str = msgspec.field(default="", name="_HOSTNAME")
    micros: str = msgspec.field(default="", name="__REALTIME_TIMESTAMP")


_our_record = msgspec.json.Decoder(_OurRecord).decode
_journal_record = msgspec.json.Decoder(_JournalRecord).decode


def read_line(line: str) -> LogLine | None:
    """Take a line apart. None: it is not of a form that is known."""
    line = line[:MAX_CHARACTERS].rstrip("\r\n")
    if line.startswith("{"):
        return read_json_line(line)
    head, found, text = line.partition("]: ")
    before, bracket, process = head.rpartition("[")
    if not found or not bracket or not process.isdigit():
        return None
    # `Nov  2 02:39:05 host program` or `2026-11-22T02:39:05.123456+01:00 host program`.
    stamped, _, tag = before.rpartition(" ")
    stamp, _, host = stamped.rpartition(" ")
    if not stamp or not tag:
        return None
    return LogLine(stamp, host, tag.rpartition("/")[2], process, text)


def read_json_line(line: str) -> LogLine | None:
    """Take a line of our own JSON form, or of `journalctl -o json`, apart."""
    try:
        ours = _our_record(line)
    except (msgspec.DecodeError, UnicodeError):
        return _read_journal_json(line)
    text = f"{ours.queue_id}: {ours.text}" if ours.queue_id else ours.text
    return LogLine(ours.time, "", ours.service, str(ours.process), _one_line(text))


def _read_journal_json(line: str) -> LogLine | None:
    try:
        record = _journal_record(line)
    except (msgspec.DecodeError, UnicodeError):
        return None
    message = record.message
    if isinstance(message, list):
        # So the journal writes what is not UTF-8, or has control characters.
        octets = bytes(each for each in message if 0 <= each < 256)
        message = octets.decode("utf-8", "replace")
    if message is None:
        return None
    return make_journal_line(
        {
            "MESSAGE": message,
            "SYSLOG_IDENTIFIER": record.identifier,
            "SYSLOG_PID": record.syslog_process or record.process,
            "_HOSTNAME": record.host,
            "__REALTIME_TIMESTAMP": record.micros,
        }
    )


def make_journal_line(fields: dict[str, str]) -> LogLine | None:
    """Make a line of a record of the journal; its stamp is `@` and microseconds since 1970."""
    message = fields.get("MESSAGE")
    if message is None:
        return None
    process = fields.get("SYSLOG_PID") or fields.get("_PID", "")
    program = fields.get("SYSLOG_IDENTIFIER", "").rpartition("/")[2]
    stamp = fields.get("__REALTIME_TIMESTAMP", "")
    return LogLine(f"@{stamp}", fields.get("_HOSTNAME", ""), program, process, _one_line(message))


def _one_line(text: str) -> str:
    return text[:MAX_CHARACTERS].replace("\r", " ").replace("\n", " ")
