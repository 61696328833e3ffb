"""The log as `[log]` describes it: form and sink for each place, its key, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.config.checks import find_conflicts
from letterlock.base.config.choices import LogFormat, LogSink, Redaction, SyslogFormat
from letterlock.base.config.faults import SettingFaults
from letterlock.base.config.logs import LogSection, parse_syslog_name, parse_syslog_target
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.log import LineLog, Service
from letterlock.base.log_forms import (
    BsdSyslogForm,
    IetfSyslogForm,
    JournalForm,
    JsonForm,
    PostfixForm,
)
from letterlock.network.log_sinks import DatagramSink, JournalSink, StandardError, StreamSink
from letterlock.node.logs import RESTART_KEYS, find_changed, make_log, require_log_folder
from letterlock.storage.backup.manifest import LOG_KEY
from letterlock.storage.log_file import LogFile
from tests.fakes import FakeClock

DOMAIN = Domain("example.org")


def make(folder: Path, **log: Any) -> LineLog:
    return make_log(configure(folder, **log), FakeClock())


def configure(folder: Path, **log: Any) -> Config:
    contact = f"postmaster@{DOMAIN}"
    return Config(Domain("mx.example.org"), (DOMAIN,), contact, folder, log=LogSection(**log))


@pytest.mark.parametrize(
    ("log", "form", "sink"),
    [
        ({}, PostfixForm, StandardError),
        ({"format": LogFormat.JSON}, JsonForm, StandardError),
        ({"to": LogSink.FILE, "file": Path("mail.log")}, PostfixForm, LogFile),
        ({"to": LogSink.JOURNAL}, JournalForm, JournalSink),
        ({"to": LogSink.SYSLOG}, BsdSyslogForm, DatagramSink),
        (
            {"to": LogSink.SYSLOG, "syslog_format": SyslogFormat.IETF, "syslog": "tcp:[::1]:601"},
            IetfSyslogForm,
            StreamSink,
        ),
        ({"to": LogSink.SYSLOG, "syslog": "udp:192.0.2.1:514"}, BsdSyslogForm, DatagramSink),
    ],
)
def test_each_place_has_its_form(
    tmp_path: Path, log: dict[str, Any], form: type, sink: type
) -> None:
    made = make(tmp_path, **log)
    assert type(made._form) is form
    assert type(made._sink) is sink
    assert made._redactor is None
    assert not (tmp_path / LOG_KEY).exists()


def test_what_keeps_the_log_from_being_written_is_said_on_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = make(tmp_path, to=LogSink.SYSLOG, syslog=str(tmp_path / "log"))
    log.write(Service.NODE, "one")
    log.write(Service.NODE, "two")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith(
        f"warning: the log cannot be written, its lines wait: {tmp_path}/log: "
        "No such file or directory"
    )


def test_pseudonyms_outlive_a_restart(tmp_path: Path) -> None:
    redactors = [make(tmp_path, redact=Redaction.LOCAL_PARTS)._redactor for _ in range(2)]
    one, other = (each.hide_address("a@example.org") for each in redactors if each is not None)
    assert one == other
    assert (tmp_path / LOG_KEY).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [LOG_KEY]


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_bytes(b"short"), Path.mkdir], ids=["short", "a folder"]
)
def test_a_key_that_is_none_is_refused(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    spoil(tmp_path / LOG_KEY)
    with pytest.raises(SettingFaults, match=LOG_KEY):
        make(tmp_path, redact=Redaction.ADDRESSES)


def test_what_needs_a_restart_is_found() -> None:
    section = LogSection()
    assert find_changed(section, LogSection()) is None
    assert find_changed(section, replace(section, keep=timedelta(days=9))) == ("log", "keep")
    changeable = {"level"}
    assert set(LogSection.__dataclass_fields__) == set(RESTART_KEYS) | changeable


def test_a_folder_that_the_node_cannot_write_is_refused_at_the_start(tmp_path: Path) -> None:
    require_log_folder(LogSection())
    require_log_folder(LogSection(to=LogSink.FILE, file=tmp_path / "mail.log"))
    missing = LogSection(to=LogSink.FILE, file=tmp_path / "none" / "mail.log")
    with pytest.raises(SettingFaults, match="cannot write there"):
        require_log_folder(missing)


def test_settings_that_do_not_go_together(tmp_path: Path) -> None:
    def find(**log: Any) -> list[object]:
        return [each.path for each in find_conflicts(configure(tmp_path, **log))]

    assert find() == []
    assert find(to=LogSink.FILE) == [("log", "file")]
    assert find(to=LogSink.JOURNAL, format=LogFormat.JSON) == [("log", "format")]
    assert find(to=LogSink.SYSLOG, format=LogFormat.JSON) == [("log", "format")]
    assert find(to=LogSink.FILE, file=Path("x"), format=LogFormat.JSON) == []


@pytest.mark.parametrize("text", ["/dev/log", "udp:192.0.2.1:514", "tcp:[2001:db8::1]:601"])
def test_places_of_syslog(text: str) -> None:
    assert parse_syslog_target(text) == text


@pytest.mark.parametrize(
    "text", ["", "dev/log", "/dev/log\n", "udp:localhost:514", "tls:192.0.2.1:1", "tcp:"]
)
def test_what_is_no_place_of_syslog(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as|a port"):
        parse_syslog_target(text)


def test_names_before_a_programs() -> None:
    assert parse_syslog_name("postfix-out") == "postfix-out"
    for text in ("", "a b", "a/b", "a[1]", "x" * 25, "a\n"):
        with pytest.raises(ValueError, match="a word"):
            parse_syslog_name(text)
