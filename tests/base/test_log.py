"""The mail log: a line for each event, which nothing from outside can break."""

import io
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from select import PIPE_BUF

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.clock import SystemClock, format_time
from letterlock.base.config.choices import Redaction
from letterlock.base.log import LineLog, Service, make_stream_log
from letterlock.base.log_forms import PostfixForm
from letterlock.base.redaction import KEY_OCTETS, Redactor
from tests.fakes import FakeClock


def write(text: str, *, as_json: bool = False, **fields: object) -> str:
    stream = io.StringIO()
    log = make_stream_log(FakeClock(), "mx1.example.org", as_json=as_json, stream=stream)
    log.write(Service.SMTP, text, queue_id="4F2k", **fields)
    return stream.getvalue()


def test_a_line_has_postfixs_shape() -> None:
    assert write("to=<a@example.org>, status=sent", delay=3) == (
        f"Mar  1 12:00:00 mx1 postfix/smtp[{os.getpid()}]: 4F2k: to=<a@example.org>, status=sent\n"
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


class Sink:
    """Takes what it is let; `fault` is why it does not."""

    def __init__(self) -> None:
        self.room = 1_000_000
        self.fault = ""
        self.lines: list[str] = []

    def take(self, records: Sequence[bytes]) -> int:
        taken = list(records[: self.room])
        self.room -= len(taken)
        self.lines += [each.decode() for each in taken]
        return len(taken)


def make_log(sink: Sink, *, told: list[str] | None = None) -> LineLog:
    form = PostfixForm(FakeClock(), "mx1.example.org")
    return LineLog(form, sink, None, (told if told is not None else []).append)


@pytest.mark.parametrize(
    "local",
    [
        '"x>, relay=fake, delay=0, dsn=2.0.0, status=sent (x"',
        '"x relay=fake, "',
        '"unknown[192.0.2.1]: SASL LOGIN authentication failed: x"',
    ],
)
def test_an_address_cannot_pass_for_fields(local: str) -> None:
    """RFC 5321 §4.1.2: a quoted local part may hold nearly anything."""
    address = f"{local}@example.org"
    sink = Sink()
    text = f"to=<{address}>, relay=mx.example, status=deferred (<{address}>: no)"
    make_log(sink).write(Service.SMTP, text, queue_id="4F2k", to=address)
    (line,) = sink.lines
    found = re.search(r"to=<([^>]*)>, relay=([^,]+), status=(\w+) \(", line)
    assert found is not None
    assert found.groups()[1:] == ("mx.example", "deferred")
    assert line.count("relay=") == 1
    assert "[192.0.2.1]" not in line
    assert line.count("@example.org") == 2


def test_a_quoted_address_has_its_one_pseudonym() -> None:
    address, sink = '"a, b"@example.org', Sink()
    redactor = Redactor(bytes(KEY_OCTETS), Redaction.LOCAL_PARTS, hides_clients=False)
    log = LineLog(PostfixForm(FakeClock(), "mx1.example.org"), sink, redactor)
    log.write(Service.SMTP, f"to=<{address}>, status=sent (ok)", to=address)
    assert f"to=<{redactor.hide_address(address)}>, status=sent (ok)" in sink.lines[0]


def test_what_a_peer_says_is_not_too_long() -> None:
    sink = Sink()
    make_log(sink).write(Service.SMTP, "x" * 100_000)
    assert len(sink.lines[0]) < 9000


def test_a_busy_sink_is_asked_again_by_the_loop() -> None:
    sink, turns, later = Sink(), list[Callable[[], None]](), list[Callable[[], None]]()
    log = make_log(sink)
    sink.room = 1
    with log.gathered(turns.append, lambda _, call: later.append(call)):
        for text in ("one", "two", "three"):
            log.write(Service.SMTP, text)
        turns.pop()()
        log.write(Service.SMTP, "four")
        assert not turns
        sink.room = 9
        later.pop()()
        assert not later
    assert [line.rpartition(" ")[2] for line in sink.lines] == [
        "one\n",
        "two\n",
        "three\n",
        "four\n",
    ]


def test_nothing_waits_for_a_sink_that_takes_nothing_and_losses_are_told() -> None:
    """A burst is bounded: here of 16 MB, of which 4 are kept."""
    sink, turns, later = Sink(), list[Callable[[], None]](), list[Callable[[], None]]()
    log = make_log(sink)
    sink.room = 0
    with log.gathered(turns.append, lambda _, call: later.append(call)):
        for _ in range(2000):
            log.write(Service.SMTP, "x" * 8000)
        sink.room = 1_000_000
        turns.pop()()
    kept = [line for line in sink.lines if "xxx" in line]
    (told,) = [line for line in sink.lines if "lost" in line]
    assert f"]: warning: {2000 - len(kept)} lines of the log are lost" in told
    assert sum(map(len, kept)) <= 4 * 1024 * 1024
    assert sink.lines[-1] == told


def test_why_a_sink_takes_nothing_is_said_once_elsewhere() -> None:
    sink, told = Sink(), list[str]()
    log = make_log(sink, told=told)
    sink.room, sink.fault = 0, "/dev/log: No such file or directory"
    log.write(Service.SMTP, "one")
    log.write(Service.SMTP, "two")
    assert told == [
        "the log cannot be written, its lines wait: /dev/log: No such file or directory"
    ]
    sink.room, sink.fault = 9, ""
    log.write(Service.SMTP, "three")
    assert len(sink.lines) == 3


def test_what_waits_at_a_fork_is_written_by_the_parent_alone() -> None:
    sink = Sink()
    log = make_log(sink)
    sink.room = 0
    log.write(Service.NODE, "before")
    child = os.fork()
    if not child:
        sink.room = 9
        with log.gathered(lambda _: None):
            log.write(Service.NODE, "in the child")
        os._exit(0 if [line[-13:-1] for line in sink.lines] == ["in the child"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sink.room = 9
    log.write(Service.NODE, "after")
    assert len(sink.lines) == 2


def test_what_nobody_took_until_the_end_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, told = Sink(), list[str]()
    log = make_log(sink, told=told)
    sink.room = 0
    monkeypatch.setattr("letterlock.base.log._PAUSE_SECONDS", 0.0)
    with log.gathered(lambda _: None):
        for _ in range(3):
            log.write(Service.SMTP, "x")
    assert told == ["3 lines of the log are lost: nobody took them"]


class SlowSink(Sink):
    """Lets other threads go on while it takes."""

    def take(self, records: Sequence[bytes]) -> int:
        time.sleep(0)
        return super().take(records)


@pytest.mark.parametrize("is_gathered", [True, False])
def test_any_thread_may_write_and_each_line_is_there_once(is_gathered: bool) -> None:
    sink = SlowSink()
    log = make_log(sink)

    def write_many(name: str) -> None:
        for number in range(300):
            log.write(Service.NODE, f"{name} {number}")

    turns: list[Callable[[], None]] = []
    gathered = log.gathered(turns.append) if is_gathered else nullcontext()
    with gathered, ThreadPoolExecutor(4) as threads:
        writing = [threads.submit(write_many, name) for name in "abcd"]
        write_many("loop")
        for each in writing:
            each.result()
        assert len(turns) == is_gathered  # `call_soon` is for the loop's own thread
    names = Counter(line.split()[-2] for line in sink.lines)
    assert names == dict.fromkeys((*"abcd", "loop"), 300)
    assert len(set(sink.lines)) == len(sink.lines)


def test_a_child_has_nothing_of_its_parents_that_waits(tmp_path: Path) -> None:
    """Not its lines, and not a lock that another thread had."""
    sink = Sink()
    sink.room = 0
    log = make_log(sink)
    log.write(Service.NODE, "the parent's")
    sink.room = 10
    with log._lock:
        child = os.fork()
        if child == 0:
            log.write(Service.NODE, "the child's")
            (tmp_path / "lines").write_text("".join(sink.lines))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    (line,) = (tmp_path / "lines").read_text().splitlines()
    assert line.endswith(f"[{child}]: the child's")
