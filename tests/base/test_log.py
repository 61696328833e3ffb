"""The mail log: a line for each event, which nothing from outside can break."""

import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from select import PIPE_BUF

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.clock import SystemClock, format_time
from letterlock.base.log import Service, make_stream_log
from tests.fakes import FakeClock


def write(text: str, *, as_json: bool = False, **fields: object) -> str:
    stream = io.StringIO()
    log = make_stream_log(FakeClock(), "mx1.example.org", as_json=as_json, stream=stream)
    log.write(Service.SMTP, text, queue_id="4F2k", **fields)
    return stream.getvalue()


def test_a_line_has_postfixs_shape() -> None:
    assert write("to=<a@example.org>, status=sent", delay=3) == (
        f"Mar  1 12:00:00 mx1 postfix/smtp[{os.getpid()}]:"
        " 4F2k: to=<a@example.org>, status=sent\n"
    )


def test_an_event_of_no_message_has_no_queue_id() -> None:
    stream = io.StringIO()
    make_stream_log(FakeClock(), "mx1", stream=stream).write(Service.NODE, "ready")
    assert stream.getvalue().endswith("]: ready\n")


def test_as_json_a_line_is_one_document_with_the_fields() -> None:
    assert json.loads(write("sent", as_json=True, delay=3)) == {
        "time": "2026-03-01T12:00:00Z",
        "service": "smtp",
        "process": os.getpid(),
        "level": "info",
        "queue_id": "4F2k",
        "text": "sent",
        "delay": 3,
    }


def test_as_json_a_field_of_any_type_is_written_and_no_queue_id_is_left_out() -> None:
    stream = io.StringIO()
    log = make_stream_log(FakeClock(), "mx1", as_json=True, stream=stream)
    log.write(Service.TLS, "done", took=timedelta(seconds=2))
    assert json.loads(stream.getvalue())["took"] == "0:00:02"
    assert "queue_id" not in stream.getvalue()


@pytest.mark.parametrize("as_json", [False, True])
@given(text=st.text())
def test_whatever_a_peer_said_is_one_printable_line(as_json: bool, text: str) -> None:
    line = write(text, as_json=as_json, reply=text)
    assert line.endswith("\n")
    assert line[:-1].isprintable()


def test_without_a_stream_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    make_stream_log(FakeClock(), "mx1").write(Service.NODE, "ready")
    assert capsys.readouterr().err.endswith("ready\n")


def test_times_are_in_utc_with_z() -> None:
    """RFC 3339 §5.6."""
    moment = datetime.fromisoformat("2026-03-01T01:30:00.999+02:00")
    assert format_time(moment) == "2026-02-28T23:30:00Z"


def test_the_machines_clock_knows_its_zone_and_never_goes_back() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


class Stream(io.StringIO):
    """Keeps each write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)


def test_lines_of_one_turn_of_the_loop_are_written_together() -> None:
    stream, turns = Stream(), list[Callable[[], None]]()
    log = make_stream_log(FakeClock(), "mx1", stream=stream)
    with log.gathered(turns.append):
        log.write(Service.SMTP, "one")
        log.write(Service.SMTP, "two")
        assert stream.pieces == []
        assert len(turns) == 1
        turns.pop()()
        assert [piece.count("\n") for piece in stream.pieces] == [2]
        log.write(Service.SMTP, "three")
    assert "three" in stream.pieces[1]
    turns.pop()()
    log.write(Service.SMTP, "four")
    assert [piece.count("\n") for piece in stream.pieces] == [2, 1, 1]


def test_what_is_written_together_fits_into_a_pipe() -> None:
    """Longer, a write could be mixed with another process's."""
    stream, turns = Stream(), list[Callable[[], None]]()
    log = make_stream_log(FakeClock(), "mx1", stream=stream)
    with log.gathered(turns.append):
        for character in "xé" * 10:
            log.write(Service.SMTP, character * 1000)
    assert len("".join(stream.pieces).splitlines()) == 20
    assert max(len(piece.encode()) for piece in stream.pieces) <= PIPE_BUF
    assert len(stream.pieces) < 20
