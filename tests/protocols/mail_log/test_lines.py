"""A line of a log is taken apart: syslog's forms, our JSON, the journal's JSON and export."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.mail_log.journal import read_export
from letterlock.protocols.mail_log.lines import MAX_CHARACTERS, LogLine, read_line

TEXT = "Host offered STARTTLS: [mx.example.org]"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            f"Nov  2 02:39:05 mx1 postfix/smtp[123]: {TEXT}\n",
            LogLine("Nov  2 02:39:05", "mx1", "smtp", "123", TEXT),
        ),
        (
            f"2026-11-22T02:39:05.123456+01:00 mx1 postfix/relay/smtp[9]: {TEXT}\r\n",
            LogLine("2026-11-22T02:39:05.123456+01:00", "mx1", "smtp", "9", TEXT),
        ),
        (
            "Nov 22 02:39:05 mx1 postfix-out/lmtp[1]: a [b]: c",
            LogLine("Nov 22 02:39:05", "mx1", "lmtp", "1", "a [b]: c"),
        ),
        (
            json.dumps(
                {"time": "2026-11-22T02:39:05Z", "service": "smtp", "process": 7, "text": "a\nb"}
            ),
            LogLine("2026-11-22T02:39:05Z", "", "smtp", "7", "a b"),
        ),
        (
            json.dumps({"time": "t", "service": "smtp", "queue_id": "ABC", "text": "to=<a@b>"}),
            LogLine("t", "", "smtp", "0", "ABC: to=<a@b>"),
        ),
        (
            json.dumps(
                {
                    "MESSAGE": TEXT,
                    "SYSLOG_IDENTIFIER": "postfix/smtp",
                    "_PID": "12",
                    "_HOSTNAME": "mx1",
                    "__REALTIME_TIMESTAMP": "1700000000000000",
                }
            ),
            LogLine("@1700000000000000", "mx1", "smtp", "12", TEXT),
        ),
        (
            json.dumps({"MESSAGE": [104, 105, 255, 300], "SYSLOG_PID": "3", "_PID": "1"}),
            LogLine("@", "", "", "3", "hi\ufffd"),
        ),
    ],
)
def test_a_line_is_taken_apart(line: str, expected: LogLine) -> None:
    assert read_line(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Nov 22 02:39:05 mx1 kernel: no process",
        "postfix/smtp[1]: no time",
        "mx1 postfix/smtp[1]: no time",
        "Nov 22 02:39:05 mx1 postfix/smtp[x]: no number",
        "Nov 22 02:39:05 mx1 [1]: no program",
        "smtp]: no bracket",
        "{",
        '{"MESSAGE": null}',
        '{"SYSLOG_IDENTIFIER": "postfix/smtp"}',
        '{"time": 1}',
        '{"MESSAGE": "\ud800"}',
    ],
)
def test_what_is_no_such_line_is_none(line: str) -> None:
    assert read_line(line) is None


def test_a_long_line_is_cut() -> None:
    found = read_line("Nov 22 02:39:05 mx1 postfix/smtp[1]: " + "x" * 10**6)
    assert found is not None
    assert len(found.text) < MAX_CHARACTERS


def test_the_journals_export_is_read_record_by_record() -> None:
    lines = [
        "__CURSOR=s=1\n",
        "__REALTIME_TIMESTAMP=1700000000000000\n",
        "_HOSTNAME=mx1\n",
        "SYSLOG_IDENTIFIER=postfix/smtp\n",
        "SYSLOG_PID=44\n",
        "MESSAGE=" + TEXT + "\n",
        "\n",
        "\n",
        "__CURSOR=s=2\n",
        "\n",
        "_PID=1\n",
        "MESSAGE=last\n",
    ]
    assert list(read_export(lines)) == [
        LogLine("@1700000000000000", "mx1", "smtp", "44", TEXT),
        LogLine("@", "", "", "1", "last"),
    ]
    only_cursors = ["__CURSOR=s=1\n", "_PID=1\n", "\n"]
    assert list(read_export(only_cursors)) == [None]
    assert list(read_export(["\n"])) == []


@given(st.text())
def test_any_text_gives_a_line_or_none(text: str) -> None:
    found = read_line(text)
    assert found is None or "\n" not in found.program
    list(read_export(text.splitlines(keepends=True)))
