"""Log lines over sockets and standard error: never waiting, in order, again after a restart."""

import errno
import os
import select
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from letterlock.network.log_sinks import DatagramSink, JournalSink, StandardError, StreamSink

LINES = [b"one\n", b"two\n", b"three\n"]


@contextmanager
def receiving(path: Path) -> Iterator[socket.socket]:
    """Be a syslog or a journal."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(60)
        yield receiver
    path.unlink()


def test_each_line_is_a_datagram(tmp_path: Path) -> None:
    with receiving(tmp_path / "log") as receiver:
        sink = DatagramSink(tmp_path / "log")
        assert sink.take(LINES) == 3
        assert [receiver.recv(100) for _ in LINES] == LINES
        sink.close()


def test_a_receiver_that_is_not_there_yet_or_starts_anew_gets_the_lines_after_that(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log"
    sink = DatagramSink(path)
    assert sink.take(LINES) == 0
    assert sink.fault == f"{path}: {os.strerror(errno.ENOENT)}"
    for _ in range(2):
        with receiving(path) as receiver:
            assert sink.take(LINES) == 3
            assert sink.fault == ""
            assert receiver.recv(100) == b"one\n"
        assert sink.take(LINES) == 0


def test_a_receiver_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    with receiving(tmp_path / "log") as receiver:
        sink = DatagramSink(tmp_path / "log")
        many = [b"%d" % number for number in range(100_000)]
        taken = sink.take(many)
        assert 0 < taken < len(many)
        assert sink.fault == ""
        got = [receiver.recv(100)]
        assert sink.take(many[taken : taken + 1]) == 1
        got += [receiver.recv(100) for _ in range(taken)]
        assert got == many[: taken + 1]
        sink.close()


def test_the_journal_gets_large_entries_as_a_sealed_file(tmp_path: Path) -> None:
    """A datagram holds about 200 kB; more would be lost."""
    entry = b"MESSAGE=" + b"x" * 1_000_000 + b"\n"
    with receiving(tmp_path / "journal") as receiver:
        sink = JournalSink(tmp_path / "journal")
        assert sink.take([entry]) == 1
        sink.close()
        octets, descriptors, _, _ = socket.recv_fds(receiver, 10, 1)
        (descriptor,) = descriptors
        with os.fdopen(descriptor, "rb") as file:
            file.seek(0)
            assert (octets, file.read()) == (b"", entry)
            with pytest.raises(PermissionError):
                os.ftruncate(file.fileno(), 0)


def test_what_is_too_large_for_syslog_is_cut(tmp_path: Path) -> None:
    with receiving(tmp_path / "log") as receiver:
        sink = DatagramSink(tmp_path / "log")
        assert sink.take([b"x" * 1_000_000]) == 1
        sink.close()
        assert receiver.recv(100_000) == b"x" * 8192


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_syslog_over_udp(host: str) -> None:
    """RFC 5426 §3.1: one message a datagram."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((host, 0))
        receiver.settimeout(60)
        sink = DatagramSink((host, receiver.getsockname()[1]))
        assert sink.take([*LINES, b"x" * 100_000]) == 4
        assert [receiver.recv(100_000) for _ in range(4)] == [*LINES, b"x" * 8192]
        sink.close()


def take_all(sink: StreamSink, records: list[bytes]) -> None:
    """Give lines until all are taken, as an outbox does."""
    taken = 0
    for _ in range(10_000):
        taken += sink.take(records[taken:])
        if taken == len(records):
            return
        if sink._socket is not None:
            # Until it stands, or there is room.
            select.select([], [sink._socket], [], 1)
    raise AssertionError(sink.fault)


def read_frames(connection: socket.socket, count: int) -> list[bytes]:
    """Read RFC 6587 §3.4.1: MSG-LEN SP SYSLOG-MSG."""
    frames = []
    with connection.makefile("rb") as stream:
        for _ in range(count):
            length = b""
            while (octet := stream.read(1)) != b" ":
                length += octet
            frames.append(stream.read(int(length)))
    return frames


def test_syslog_over_tcp_counts_octets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = StreamSink(server.getsockname())
        take_all(sink, LINES)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(60)
            assert read_frames(connection, 3) == LINES
        sink.close()


def test_a_server_that_starts_anew_gets_whole_lines_on_a_new_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        address = server.getsockname()
        sink = StreamSink(address)
        take_all(sink, LINES)
        first, _ = server.accept()
        first.close()
        # What is sent until the RST comes may be lost: TCP does not tell.
        while not select.select([server], [], [], 0.01)[0]:
            sink.take([b"again"])
        connection, _ = server.accept()
        with connection:
            connection.settimeout(60)
            take_all(sink, [b"last"])
            frames = [b""]
            while frames[-1] != b"last":
                frames += _read_frame(connection)
        assert set(frames[1:]) <= {b"again", b"last"}
        sink.close()


def _read_frame(connection: socket.socket) -> list[bytes]:
    length = b""
    while (octet := connection.recv(1)) != b" ":
        length += octet
    return [connection.recv(int(length), socket.MSG_WAITALL)]


def test_a_server_that_is_not_there_is_a_fault() -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        sink = StreamSink(("127.0.0.1", port))
        for _ in range(100):
            assert sink.take(LINES) == 0
            if sink.fault:
                break
        assert sink.fault == f"127.0.0.1 port {port}: {os.strerror(errno.ECONNREFUSED)}"


def test_a_line_that_goes_in_parts_is_not_begun_twice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = StreamSink(server.getsockname())
        large = [b"x" * 8_000_000, b"end"]
        while not sink.take(large[:0]) and not sink._is_connected:
            pass
        assert sink.take(large) == 0
        connection, _ = server.accept()
        with connection:
            connection.settimeout(60)
            got, taken = bytearray(), 0
            while len(got) < 8_000_013:
                taken += sink.take(large[taken:])
                got += connection.recv(1_000_000)
        assert got == b"8000000 " + large[0] + b"3 end"
        sink.close()


def test_a_pipe_that_nobody_reads_is_not_waited_for() -> None:
    reader, writer = os.pipe()
    sink = StandardError(writer)
    lines = [b"%06d" % number + b"." * 100 + b"\n" for number in range(3000)]
    taken = sink.take(lines)
    assert 0 < taken < len(lines)
    assert sink.fault == ""
    got = b""
    while taken < len(lines):
        got += os.read(reader, 1_000_000)
        taken += sink.take(lines[taken:])
    # The writer's own open file still waits: what is not ours was not changed.
    assert os.get_blocking(writer)
    os.close(writer)
    os.close(sink._descriptor)
    while octets := os.read(reader, 1_000_000):
        got += octets
    os.close(reader)
    assert got == b"".join(lines)


def test_a_pipe_without_a_reader_is_a_fault() -> None:
    reader, writer = os.pipe()
    sink = StandardError(writer)
    os.close(reader)
    assert sink.take(LINES) == 0
    assert sink.fault == f"standard error: {os.strerror(errno.EPIPE)}"
    os.close(writer)
    os.close(sink._descriptor)


def test_standard_error_may_be_a_socket() -> None:
    """As under systemd: a stream to the journal."""
    ours, theirs = socket.socketpair()
    sink = StandardError(ours.fileno())
    large = [b"x" * 500_000 + b"\n", b"end\n"]
    taken = sink.take(large)
    assert taken == 1
    got = b""
    while len(got) < 500_005:
        got += theirs.recv(100_000)
        taken += sink.take(large[taken:])
    assert got == b"".join(large)
    assert taken == 2
    assert sink._socket is not None
    sink._socket.close()
    ours.close()
    theirs.close()


def test_standard_error_may_be_a_file(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        assert StandardError(file.fileno()).take(LINES) == 3
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree\n"
