"""The settings of the mail log.

How sections are written says `sections`.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from letterlock.base.config.choices import LogFormat, LogLevel, LogSink, Redaction, SyslogFormat
from letterlock.base.config.values import (
    GIB,
    MIB,
    Between,
    Bytes,
    Parsed,
    lasting,
    parse_listen_address,
)

_SYSLOG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,23}\Z")


def parse_syslog_name(text: str) -> str:
    """Parse what stands before a program's name in the log. Raises ValueError."""
    if not _SYSLOG_NAME.match(text):
        raise ValueError('a word such as "postfix" or "postfix-out"')
    return text


def parse_syslog_target(text: str) -> str:
    """Parse where syslog is: `/dev/log`, `udp:192.0.2.1:514`, `tcp:[2001:db8::1]:601`.

    Raises ValueError.
    """
    if text.startswith("/") and text.isprintable():
        return text
    protocol, _, endpoint = text.partition(":")
    if protocol not in ("udp", "tcp"):
        raise ValueError('"/dev/log", or such as "udp:192.0.2.1:514" or "tcp:192.0.2.1:601"')
    return f"{protocol}:{parse_listen_address(endpoint)}"


@dataclass(frozen=True, slots=True)
class LogSection:
    """The mail log: where it goes, how its lines look, and what they hide."""

    to: LogSink = LogSink.STDERR
    """Where it goes: `stderr`, `journal` (systemd's, with fields), `syslog`, or `file`."""

    format: LogFormat = LogFormat.POSTFIX
    """`postfix`: lines in Postfix's shape, for the tools that read those. `json`: one document a
    line, on `stderr` or in a `file`."""

    level: LogLevel = LogLevel.NORMAL
    """`verbose` also writes out the certificates that the other side showed."""

    syslog_name: Annotated[str, Parsed(parse_syslog_name, "name")] = "postfix"
    """What stands before the program's name: `postfix/smtpd` is what fail2ban and pflogsumm look
    for. Beside a Postfix that logs to the same place, take `postfix-letterlock`."""

    syslog: Annotated[str, Parsed(parse_syslog_target, "place of syslog")] = "/dev/log"
    """Where syslog is: a socket, `udp:ADDRESS:PORT` or `tcp:ADDRESS:PORT`."""

    syslog_format: SyslogFormat = SyslogFormat.BSD
    """`bsd` (RFC 3164) is what `/dev/log` takes; `ietf` (RFC 5424) has whole times, for another
    host."""

    file: Path | None = None
    """The file, for `to = "file"`. Its folder must belong to the node's user."""

    rotate: Annotated[timedelta, lasting("0s", "365d")] = timedelta(days=1)
    """How often a new file is begun, counted from midnight UTC. `0s`: never, logrotate does it."""

    rotate_size: Annotated[int, Bytes(MIB, 1024 * GIB)] = 256 * MIB
    """A new file is begun at this size as well."""

    keep: Annotated[timedelta, lasting("1h", "3650d")] = timedelta(days=30)
    """How long files that are put aside are kept."""

    keep_files: Annotated[int, Between(1, 10_000)] = 60
    """How many of them are kept at most."""

    redact: Redaction = Redaction.NONE
    """What is hidden of mail addresses: `none`, `local-parts` (`alice@example.org` becomes
    `x4kq2...@example.org`, always the same) or `addresses`, whole ones."""

    redact_clients: bool = False
    """Hides the names of clients and shortens their addresses to /24 and /48. fail2ban then bans
    nobody, or the wrong ones."""
