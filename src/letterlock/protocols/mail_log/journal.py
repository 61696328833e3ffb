"""The journal's export form: a line for each field, an empty line behind each record.

systemd's "Journal Export Format"; `journalctl -o export`. A field with a newline in it is written
in octets with its length, which a log read as text loses: such a field is passed over.
"""

from collections.abc import Iterable, Iterator

from letterlock.protocols.mail_log.lines import MAX_CHARACTERS, LogLine, make_journal_line

FIRST_FIELDS = ("__CURSOR=", "__REALTIME_TIMESTAMP=")
"""What an export begins with."""
_WANTED = frozenset(
    {"MESSAGE", "SYSLOG_IDENTIFIER", "SYSLOG_PID", "_PID", "_HOSTNAME", "__REALTIME_TIMESTAMP"}
)


def read_export(lines: Iterable[str]) -> Iterator[LogLine | None]:
    """Give a line for each record; None for one without a message."""
    fields: dict[str, str] = {}
    for line in lines:
        text = line.rstrip("\r\n")
        if not text:
            if fields:
                yield make_journal_line(fields)
                fields = {}
            continue
        name, found, value = text.partition("=")
        if found and name in _WANTED:
            fields[name] = value[:MAX_CHARACTERS]
    if fields:
        yield make_journal_line(fields)
