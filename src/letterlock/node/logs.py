"""The log that `[log]` describes: its form, its sink, and what it hides.

Each process of a node writes to the sink by itself, so none waits for another's lines.
"""

import os
import pwd
import secrets
from contextlib import suppress
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.config.choices import LogFormat, LogSink, Redaction, SyslogFormat
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.locate import KeyPath
from letterlock.base.config.logs import LogSection
from letterlock.base.config.sections import Config
from letterlock.base.config.values import parse_listen_address
from letterlock.base.log import LineLog, Service
from letterlock.base.log_forms import (
    BsdSyslogForm,
    IetfSyslogForm,
    JournalForm,
    JsonForm,
    LineForm,
    PostfixForm,
)
from letterlock.base.log_outbox import Sink
from letterlock.base.redaction import KEY_OCTETS, Redactor
from letterlock.network.log_sinks import DatagramSink, JournalSink, StandardError, StreamSink
from letterlock.node.account import find_account
from letterlock.storage.backup.manifest import LOG_KEY
from letterlock.storage.log_file import LogFile, Turnover

RESTART_KEYS = (
    *("to", "format", "syslog_name", "syslog", "syslog_format", "file"),
    *("rotate", "rotate_size", "keep", "keep_files", "redact", "redact_clients"),
)
"""What of `[log]` holds until the node is started anew."""


def make_log(config: Config, clock: Clock) -> LineLog:
    """Make the mail log; `data_dir` is there. Raises SettingFaults."""
    section = config.log
    errors = StandardError()
    form, sink = _make_form(section, config.hostname, clock), _make_sink(section, errors, clock)
    plain = LineLog(PostfixForm(clock, config.hostname, section.syslog_name), errors)

    def complain(fault: str) -> None:
        plain.write(Service.NODE, f"warning: {fault}")

    return LineLog(form, sink, _make_redactor(config), complain)


def find_changed(old: LogSection, new: LogSection) -> KeyPath | None:
    """Find a key that changed although it can't while the node runs."""
    changed = (key for key in RESTART_KEYS if getattr(old, key) != getattr(new, key))
    return next((("log", key) for key in changed), None)


def require_log_folder(section: LogSection) -> None:
    """Say at the start that the node's user can't write the log. Raises SettingFaults."""
    if section.to is not LogSink.FILE or section.file is None:
        return
    folder = section.file.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        name = pwd.getpwuid(os.geteuid()).pw_name
        message = f"{folder}: {name} cannot write there; make it, and chown it to {name}"
        raise refuse_setting(("log", "file"), message)


def _make_form(section: LogSection, hostname: str, clock: Clock) -> LineForm:
    name = section.syslog_name
    match section.to:
        case LogSink.JOURNAL:
            return JournalForm(name)
        case LogSink.SYSLOG if section.syslog_format is SyslogFormat.IETF:
            return IetfSyslogForm(clock, hostname, name)
        case LogSink.SYSLOG:
            return BsdSyslogForm(clock, None if section.syslog.startswith("/") else hostname, name)
        case LogSink.STDERR | LogSink.FILE:
            if section.format is LogFormat.JSON:
                return JsonForm(clock)
            return PostfixForm(clock, hostname, name, is_rfc3339=section.to is LogSink.FILE)


def _make_sink(section: LogSection, errors: StandardError, clock: Clock) -> Sink:
    match section.to:
        case LogSink.STDERR:
            return errors
        case LogSink.JOURNAL:
            return JournalSink()
        case LogSink.SYSLOG:
            return _make_syslog(section.syslog)
        case LogSink.FILE:
            assert section.file is not None  # the settings were checked
            turnover = Turnover(
                section.rotate, section.rotate_size, section.keep, section.keep_files
            )
            return LogFile(section.file, turnover, clock)


def _make_syslog(place: str) -> Sink:
    if place.startswith("/"):
        return DatagramSink(Path(place))
    protocol, _, endpoint = place.partition(":")
    address = parse_listen_address(endpoint)
    target = (address.host, address.port)
    return DatagramSink(target) if protocol == "udp" else StreamSink(target)


def _make_redactor(config: Config) -> Redactor | None:
    section = config.log
    if section.redact is Redaction.NONE and not section.redact_clients:
        return None
    try:
        key = _load_key(config)
    except OSError as error:
        message = f"{config.data_dir / LOG_KEY}: {error.strerror}"
        raise refuse_setting(("log", "redact"), message) from error
    return Redactor(key, section.redact, hides_clients=section.redact_clients)


def _load_key(config: Config) -> bytes:
    """Read the key, or make it: 0600, the node's user's."""
    path = config.data_dir / LOG_KEY
    account = find_account(config)
    draft = path.with_name(f".{LOG_KEY}.{secrets.token_hex(8)}")
    if not path.exists():
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_OCTETS))
            if account is not None:
                os.fchown(descriptor, account.pw_uid, account.pw_gid)
        # Another process may be first: its key counts.
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    key = path.read_bytes()
    if len(key) != KEY_OCTETS:
        raise OSError(0, f"it has not {KEY_OCTETS} octets; remove it")
    return key
