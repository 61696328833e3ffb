"""Large bodies from many senders at once: the memory of each process stays small all the way.

A message is in one process at most as pieces: while it is received, relayed, or written into a
Maildir. `make proof ARGS='tests/proof/test_load.py -s'` prints what was measured.
"""

import hashlib
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, mx_certificate, running
from tests.storage.postgres_server import PostgresServer

RSS_BYTES = 300 * 10**6
LINE = b"x" * 74 + b"\r\n"
PIECE = LINE * 860
"""65 KB."""
DEADLINE = 600.0
"""Seconds in which everything must have arrived."""


def make_pieces(size: int) -> Iterator[bytes]:
    """Give a message's octets, without any dot."""
    yield b"Subject: large\r\n\r\n"
    for _ in range(size // len(PIECE)):
        yield PIECE


class DigestingSink(socketserver.ThreadingTCPServer):
    """Takes mail in clear, keeps a digest of what is behind the header, and the octets nowhere."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _DigestingSession)
        self.digests: list[str] = []
        self.changed = threading.Condition()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def take(self, digest: str) -> None:
        with self.changed:
            self.digests.append(digest)
            self.changed.notify_all()

    def wait_taken(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.digests) >= count, DEADLINE), (
                f"{len(self.digests)} of {count} arrived"
            )


class _DigestingSession(socketserver.StreamRequestHandler):
    server: DigestingSink

    def handle(self) -> None:
        self.wfile.write(b"220 sink.example ESMTP\r\n")
        while line := self.rfile.readline(2000):
            match line[:4].upper():
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    self.server.take(digest_lines(iter(self.rfile.readline, b".\r\n")))
                    self.wfile.write(b"250 taken\r\n")
                case b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                case _:
                    self.wfile.write(b"250 fine\r\n")


def digest_lines(lines: Iterator[bytes]) -> str:
    """Digest what follows the header; line ends are CRLF, as sent."""
    digest = hashlib.sha256()
    for line in lines:
        if not line.strip():
            break
    for line in lines:
        digest.update(line.rstrip(b"\r\n") + b"\r\n")
    return digest.hexdigest()


def digest_sent(size: int) -> str:
    return hashlib.sha256(PIECE * (size // len(PIECE))).hexdigest()


@contextmanager
def digesting_sink() -> Iterator[DigestingSink]:
    with DigestingSink() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def send(node: RunningNode, size: int, start: threading.Barrier, *, tls: bool) -> None:
    """Send one large message to a mailbox and to the sink."""
    with node.client() as client:
        client.timeout = DEADLINE
        if tls:
            client.start()
        client.begin("bob@example.net", ["alice@example.org", "alice@relayed.example"])
        assert client.sock is not None
        client.sock.settimeout(DEADLINE)
        code, reply = client.docmd("DATA")
        assert code == 354, reply
        start.wait(DEADLINE)
        for piece in make_pieces(size):
            client.sock.sendall(piece)
        client.sock.sendall(b".\r\n")
        code, reply = client.getreply()
        assert code == 250, reply


def peak_rss(pid: int) -> int:
    """Give the most octets that a process had in memory."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def carry(files: NodeFiles, senders: int, size: int, *, tls: bool) -> int:
    """Have large messages received, relayed and stored; gives the largest process's octets."""
    with digesting_sink() as sink:
        files.change("deliver", routes={"relayed.example": f"[127.0.0.1]:{sink.port}"})
        files.change("deliver", max_connections_per_destination=senders)
        with running(files, environment={}) as node:  # its memory is measured
            start = threading.Barrier(senders)
            began = time.monotonic()
            with ThreadPoolExecutor(senders) as threads:
                for sent in [
                    threads.submit(send, node, size, start, tls=tls) for _ in range(senders)
                ]:
                    sent.result()
            received = time.monotonic() - began
            sink.wait_taken(senders)
            new = files.data / "mail" / "example.org" / "alice" / "new"
            wait_files(node, new, senders)
            sizes = [peak_rss(pid) for pid in (node.process.pid, *node.worker_pids())]
            print(  # noqa: T201 - it is what was measured
                f"\n{senders} at once of {size // 10**6} MB{' over TLS' if tls else ''}: "
                f"received in {received:.1f} s, all delivered after "
                f"{time.monotonic() - began:.1f} s, processes of "
                f"{[size // 10**6 for size in sizes]} MB"
            )
        expected = digest_sent(size)
        assert sink.digests == [expected] * senders
        for path in new.iterdir():
            with path.open("rb") as file:
                assert digest_lines(iter(file)) == expected
        return max(sizes)


def wait_files(node: RunningNode, folder: Path, count: int) -> None:
    end = time.monotonic() + DEADLINE
    while not (folder.is_dir() and len(list(folder.iterdir())) >= count):
        assert time.monotonic() < end, node.log
        time.sleep(PATIENCE / 100)


def make_files(folder: Path, url: str = "") -> NodeFiles:
    files = NodeFiles(folder)
    files.add_certificate(mx_certificate())
    if url:
        files.change("queue", engine="postgres", url=url)
    return files


@pytest.mark.proof
def test_bodies_are_held_in_pieces(tmp_path: Path) -> None:
    """More than the process may have is on its way at once."""
    assert carry(make_files(tmp_path), 8, 20 * 10**6, tls=False) < RSS_BYTES // 2


@pytest.mark.proof
@pytest.mark.parametrize("tls", [False, True])
def test_fifty_megabytes_from_twenty_senders_at_once(tls: bool, tmp_path: Path) -> None:
    assert carry(make_files(tmp_path), 20, 50 * 10**6, tls=tls) < RSS_BYTES


@pytest.mark.proof
@pytest.mark.peer("postgresql")
def test_the_same_into_postgresql(postgres: PostgresServer, tmp_path: Path) -> None:
    files = make_files(tmp_path, postgres.create_schema())
    assert carry(files, 20, 50 * 10**6, tls=False) < RSS_BYTES
