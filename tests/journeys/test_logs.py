"""A node whose log goes to a file, or to a syslog that comes and goes; and what it hides."""

import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from tests.journeys.running_node import NodeFiles, RunningNode

Read = Callable[[], str]


class LoggingNode(RunningNode):
    """A node whose lines come from elsewhere: `read` gives what there is since it was asked."""

    def __init__(self, files: NodeFiles, read: Read) -> None:
        self._read_more = read
        super().__init__(files)

    def _read(self) -> None:
        rest = ""
        while not self._is_over:
            # The last look comes after the end.
            self._is_over = self.process.poll() is not None
            *lines, rest = (rest + self._read_more()).split("\n")
            with self._changed:
                self.lines += [f"{line}\n" for line in lines]
                self._changed.notify_all()
                self._changed.wait(0.02)


@contextmanager
def logging(files: NodeFiles, read: Read) -> Iterator[LoggingNode]:
    files.write()
    node = LoggingNode(files, read)
    try:
        yield node.wait_ready()  # type: ignore[misc] # it gives itself
    finally:
        node.stop()


@contextmanager
def following(path: Path) -> Iterator[Read]:
    """Read a file on, and its successors when it was renamed."""
    with ExitStack() as stack:
        files: list[TextIO] = []

        def more() -> str:
            with suppress(FileNotFoundError):
                if not files or not os.path.samestat(path.stat(), os.fstat(files[-1].fileno())):
                    files.append(stack.enter_context(path.open()))
            return "".join(file.read() for file in files)

        yield more


def test_a_file_as_json_without_names_and_addresses(tmp_path: Path) -> None:
    path = tmp_path / "log" / "mail.log"
    path.parent.mkdir()
    files = NodeFiles(tmp_path / "node")
    files.change("log", to="file", file=str(path), format="json", redact="addresses")
    files.change("log", redact_clients=True)
    with following(path) as read, logging(files, read) as node:
        queue_id = node.send()
        found = node.wait_log(rf'"queue_id": "{queue_id}".* status=sent')
        with node.client() as client:
            client.ehlo()
            client.mail("bob@example.net")
            client.rcpt("carol@example.org")
        node.wait_log("User unknown")
        path.rename(path.with_name("mail.log.1"))
        # Each process sees it within a second, when it next has something to write.
        node.wait_for(lambda: bool(node.send()) and path.exists(), "a new file")
        again = node.send()
        node.wait_log(rf'"queue_id": "{again}".* status=sent')
    documents = [json.loads(line) for line in node.lines]
    assert {document["level"] for document in documents} <= {"info", "warning"}
    text = "".join(node.lines)
    for hidden in ("alice", "bob", "carol", "127.0.0.1[", "client.example"):
        assert hidden not in text.replace(str(tmp_path), "")
    sent = [each for each in documents if each.get("result") == "sent"]
    assert len({each["to"] for each in sent}) == 1
    assert re.fullmatch(r"x[a-z2-7]{13}@hidden\.invalid", sent[0]["to"])
    assert sent[0]["to"] in found.string
    key = files.data / "log.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.stat().st_size == 32


def test_while_syslog_is_away_mail_goes_on_and_lines_wait(tmp_path: Path) -> None:
    path = tmp_path / "log"
    files = NodeFiles(tmp_path / "node")
    files.change("log", to="syslog", syslog=str(path), syslog_name="postfix-in")
    receivers = [_listen(path)]

    def read() -> str:
        lines = []
        for receiver in receivers:
            try:
                while True:
                    lines.append(receiver.recv(10_000).decode() + "\n")
            except (BlockingIOError, OSError):
                continue
        return "".join(lines)

    with logging(files, read) as node:
        node.wait_delivered(node.send())
        receivers.pop().close()
        path.unlink()
        queue_ids = [node.send() for _ in range(3)]
        node.wait_for(lambda: len(files.mails()) == 4, "mail without a log")
        assert not any(queue_id in node.log for queue_id in queue_ids)
        receivers.append(_listen(path))
        for queue_id in queue_ids:
            node.wait_delivered(queue_id)
    receivers.pop().close()
    assert all(
        re.match(r"<2[0-2]>\w{3} [ \d]\d [\d:]{8} postfix-in/\w+\[\d+\]: ", line)
        for line in node.lines
    )
    places = [node.log.index(f"{queue_id}: client=") for queue_id in queue_ids]
    assert places == sorted(places)


def _listen(path: Path) -> socket.socket:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    receiver.bind(str(path))
    return receiver
