"""The forms of a log line: what syslog and the journal get, and where a priority comes from."""

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from letterlock.base.log_forms import (
    BsdSyslogForm,
    IetfSyslogForm,
    JournalForm,
    PostfixForm,
    Priority,
    find_priority,
)
from tests.fakes import FakeClock

HOST = "mx1.example.org"
# RFC 5424 §6.
IETF_SYSLOG = re.compile(
    rb"<(\d{1,3})>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}(?:Z|[+-]\d\d:\d\d)"
    rb" [!-~]{1,255} [!-~]{1,48} [!-~]{1,128} [!-~]{1,32} (?:-|\[.*\]) (.+)\Z"
)
# RFC 3164 §4.1, as syslog(3) writes it: without a host.
BSD_SYSLOG = re.compile(rb"<(\d{1,3})>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d ([^ ]+)\[\d+\]: (.+)\Z")


@pytest.mark.parametrize(
    ("text", "priority"),
    [
        ("warning: no", Priority.WARNING),
        ("error: no", Priority.ERROR),
        ("to=<warning: x>", Priority.INFO),
    ],
)
def test_a_text_begins_with_its_priority(text: str, priority: Priority) -> None:
    assert find_priority(text) is priority


def test_a_line_of_a_file_has_a_whole_time() -> None:
    """RFC 3339 §5.6."""
    form = PostfixForm(FakeClock(), HOST, "postfix-out", is_rfc3339=True)
    form.process = 7
    assert form.format("smtp", "sent", "4F2k", {}) == (
        b"2026-03-01T12:00:00Z mx1 postfix-out/smtp[7]: 4F2k: sent\n"
    )


def test_rfc_5424_datagrams() -> None:
    form = IetfSyslogForm(FakeClock(), HOST)
    form.process = 7
    datagram = form.format("smtpd", "warning: é", "4F2k", {})
    assert (
        datagram
        == (
            f"<20>1 2026-03-01T12:00:00.000000Z {HOST} postfix/smtpd 7 - - 4F2k: warning: é"
        ).encode()
    )
    found = IETF_SYSLOG.match(datagram)
    assert found is not None


def test_rfc_3164_datagrams() -> None:
    """RFC 3164 §4.1; to this machine's syslog without a host."""
    local, far = BsdSyslogForm(FakeClock(), None), BsdSyslogForm(FakeClock(), HOST)
    local.process = far.process = 7
    datagram = local.format("smtpd", "hello", None, {})
    assert datagram == b"<22>Mar  1 12:00:00 postfix/smtpd[7]: hello"
    datagram = far.format("smtpd", "error: x", "4F2k", {})
    assert datagram == b"<19>Mar  1 12:00:00 mx1 postfix/smtpd[7]: 4F2k: error: x"


@pytest.mark.skipif(shutil.which("logger") is None, reason="there is no logger(1)")
@pytest.mark.parametrize(
    ("option", "shape"),
    [(f"--rfc{5424}", IETF_SYSLOG), (None, BSD_SYSLOG)],
    ids=["RFC 5424", "RFC 3164"],
)
def test_logger_writes_the_same_shape(
    tmp_path: Path, option: str | None, shape: re.Pattern[bytes]
) -> None:
    """util-linux's logger(1) is the oracle of the shapes that these tests look for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "log"))
        receiver.settimeout(60)
        options = [
            "-t",
            "postfix/smtpd",
            "-p",
            "mail.warning",
            "--id=7",
            "-u",
            str(receiver.getsockname()),
        ]
        more = [option] if option else []
        subprocess.run(["logger", *options, *more, "warning: hello"], check=True)
        theirs = receiver.recv(1000)
    clock = FakeClock()
    form = IetfSyslogForm(clock, HOST) if option else BsdSyslogForm(clock, None)
    for datagram in (theirs, form.format("smtpd", "warning: hello", None, {})):
        found = shape.match(datagram)
        assert found is not None, datagram
        assert found[1] == b"20"
        assert found.groups()[-1] == b"warning: hello"


def test_journal_entries_have_fields() -> None:
    form = JournalForm()
    form.process = 7
    entry = form.format(
        "smtp", "warning: no", "4F2k", {"to": "a@example.org", "relay": "mx", "tls": None}
    )
    assert dict(line.split(b"=", 1) for line in entry.splitlines()) == {
        b"TO": b"a@example.org",
        b"RELAY": b"mx",
        b"MESSAGE": b"4F2k: warning: no",
        b"PRIORITY": b"4",
        b"SYSLOG_FACILITY": b"2",
        b"SYSLOG_IDENTIFIER": b"postfix/smtp",
        b"SYSLOG_PID": b"7",
        b"QUEUE_ID": b"4F2k",
    }


def test_a_field_cannot_pass_for_another_in_the_journal() -> None:
    """What has lines goes with its length; and our names are ours."""
    entry = JournalForm().format("smtp", "hi", None, {"reply": "a\nPRIORITY=0", "message": "x"})
    assert b"REPLY\n" + (12).to_bytes(8, "little") + b"a\nPRIORITY=0\n" in entry
    assert b"MESSAGE=hi\n" in entry
    assert b"MESSAGE=x" not in entry
