"""Datagrams are received into a queue that has its bounds, and what is dropped is counted."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from letterlock.network import datagram_receiver
from letterlock.network.datagram_receiver import (
    DatagramReceiver,
    ReceiverLimits,
    SocketInUse,
    bind_datagram_socket,
    find_queue_length,
)
from tests.journeys.running_node import PATIENCE


@contextmanager
def receiving(path: Path, limits: ReceiverLimits) -> Iterator[DatagramReceiver]:
    with bind_datagram_socket(path, 0o600) as listener:
        receiver = DatagramReceiver(listener, limits)
        receiver.start()
        try:
            yield receiver
        finally:
            receiver.stop()


@contextmanager
def sending(path: Path) -> Iterator[Callable[[bytes], None]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(path))
        yield sender.sendall


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_datagrams_come_whole_and_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with receiving(path, ReceiverLimits()) as receiver, sending(path) as send:
        sent = [b"one", b"", b"x" * 100_000, b"\0\xff"]
        for octets in sent:
            send(octets)
        got: list[bytes] = []

        def is_there() -> bool:
            got.extend(receiver.take().datagrams)
            return len(got) == len(sent)

        wait_for(is_there)
        assert got == sent
        assert receiver.take().datagrams == []


def test_what_was_sent_before_the_end_is_received(tmp_path: Path) -> None:
    """Also where its thread had no turn in between, on a machine that is busy."""
    path, sent = tmp_path / "s", [b"one", b"two", b"three"]
    with bind_datagram_socket(path, 0o600) as listener, sending(path) as send:
        receiver = DatagramReceiver(listener)
        for octets in sent:
            send(octets)
        receiver._is_over = True
        receiver.start()
        receiver.stop()
        assert receiver.take().datagrams == sent


def test_who_goes_on_sending_does_not_keep_it_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_receiver, "_LAST", 2)
    path = tmp_path / "s"
    with bind_datagram_socket(path, 0o600) as listener, sending(path) as send:
        receiver = DatagramReceiver(listener)
        for octets in (b"one", b"two", b"three"):
            send(octets)
        receiver._is_over = True
        receiver.start()
        receiver.stop()
        assert receiver.take().datagrams == [b"one", b"two"]


@pytest.mark.parametrize(
    "limits", [ReceiverLimits(datagrams=3), ReceiverLimits(octets=35)], ids=["number", "octets"]
)
def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path, limits: ReceiverLimits) -> None:
    path = tmp_path / "s"
    with receiving(path, limits) as receiver, sending(path) as send:
        for _ in range(2):
            for _ in range(8):
                send(b"ten octets")
            wait_for(lambda: (receiver._dropped - receiver._told_dropped) == 5)
            received = receiver.take()
            assert (len(received.datagrams), received.dropped) == (3, 5)
        # There is room again, and each is told of once.
        assert receiver.take().dropped == 0


def test_what_is_too_large_is_counted_and_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "s"
    limits = ReceiverLimits(datagram_octets=10)
    with receiving(path, limits) as receiver, sending(path) as send:
        for size in (10, 11, 5000):
            send(b"x" * size)
        wait_for(lambda: receiver._too_large == 2)
        received = receiver.take()
        assert received.datagrams == [b"x" * 10]
        assert received.too_large == 2


def test_what_was_received_before_the_end_can_be_taken(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with receiving(path, ReceiverLimits()) as receiver, sending(path) as send:
        send(b"last")
        wait_for(lambda: len(receiver._queue) == 1)
    assert receiver.take().datagrams == [b"last"]
    assert receiver.fault is None


def test_a_socket_that_fails_is_told_of(tmp_path: Path) -> None:
    listener = bind_datagram_socket(tmp_path / "s", 0o600)
    receiver = DatagramReceiver(listener)
    receiver.start()
    # The file below the socket is another one: nothing can be received from it.
    with (tmp_path / "file").open("w+b") as file:
        os.dup2(file.fileno(), listener.fileno())
        wait_for(lambda: receiver.fault is not None)
    receiver.stop()
    listener.close()


def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    bind_datagram_socket(path, 0o600).close()
    with bind_datagram_socket(path, 0o622):
        assert path.stat().st_mode & 0o777 == 0o622


def test_a_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bind_datagram_socket(path, 0o600), pytest.raises(SocketInUse, match="another program"):
        bind_datagram_socket(path, 0o600)
    assert path.is_socket()


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"):
        bind_datagram_socket(path, 0o600)
    assert path.read_text() == "mine"


def test_the_kernels_queue_is_known_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "max_dgram_qlen"
    monkeypatch.setattr(datagram_receiver, "QUEUE_LENGTH_FILE", path)
    assert find_queue_length() is None
    path.write_text("10\n")
    assert find_queue_length() == 10
