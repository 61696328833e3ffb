"""Real nodes: `python -m letterlock serve` on loopback, its log, its Maildirs, its commands.

Nothing here waits for a length of time: it waits for a line of the log, or for a condition that a
socket or a process brings about, and fails when that takes too long.
"""

import json
import os
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from letterlock.base.config.load import load_config
from letterlock.cli.stored_queue import open_stored_queue
from letterlock.protocols.pki.throwaway_ca import Issued
from letterlock.storage.queue import QueueId
from tests.network.certificates import authority, issue, write_pair
from tests.programs import PROGRAM, ForkedProgram, command_environment, run_program

PATIENCE = 60.0
"""Seconds until a wait has failed. On a machine with ten times its load a start alone takes 10."""

Settings = dict[str, dict[str, object]]
_QUEUED_AS = re.compile(r"queued as (\w+)")


@dataclass
class Answer:
    """What a command gave."""

    code: int
    output: str
    error: str

    @property
    def document(self) -> dict[str, Any]:
        assert self.output, f"{self.code}: {self.error}"
        found: dict[str, Any] = json.loads(self.output)
        return found


@dataclass
class NodeFiles:
    """A node's folder: configuration, certificates, data; no process yet."""

    folder: Path
    hostname: str = "mx.example.org"
    domains: tuple[str, ...] = ("example.org",)
    settings: Settings = field(default_factory=dict)
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Tests come from one address, some of them again and again until they see what is new.
        self.set("receive", listen=[f"{self.host}:0"], max_connection_rate_per_client=0)
        self.set("node", workers=1)
        self.set("local", mailboxes=["alice", "postmaster"])
        # Nobody answers there, which is seen at once: what needs DNS has a name server of its own,
        # which may be slow on a busy machine.
        if "dns" not in self.settings:
            self.set("dns", resolver="127.0.0.1:9", timeout="20s")

    @property
    def config(self) -> Path:
        return self.folder / "letterlock.toml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def set(self, section: str, **values: object) -> None:
        """Set keys of a section; those that are set already stay."""
        self.settings[section] = {**values, **self.settings.get(section, {})}

    def change(self, section: str, **values: object) -> None:
        self.settings.setdefault(section, {}).update(values)

    def add_certificate(self, issued: Issued, name: str = "mx") -> None:
        certificate, key = write_pair(self.folder, issued, name)
        pairs = self.settings.setdefault("tls", {}).setdefault("certificates", [])
        assert isinstance(pairs, list)
        pairs.append({"certificate": str(certificate), "key": str(key)})

    def write(self, extra: str = "") -> Path:
        head: dict[str, object] = {
            "hostname": self.hostname,
            "domains": list(self.domains),
            "contact": f"postmaster@{self.domains[0]}",
            "data_dir": str(self.data),
        }
        lines = [f"{key} = {to_toml(value)}" for key, value in head.items()]
        for section, values in self.settings.items():
            lines.append(f"[{section}]")
            lines += [f"{to_toml_key(key)} = {to_toml(value)}" for key, value in values.items()]
        self.config.write_text("\n".join(lines) + "\n" + extra)
        return self.config

    def command(self, *arguments: str, timeout: float = PATIENCE) -> Answer:
        """Run `letterlock ARGUMENTS --config ...`."""
        done = run_program([*arguments, "--config", str(self.config)], timeout=timeout)
        return Answer(done.returncode, done.stdout, done.stderr)

    def mails(self, user: str = "alice", domain: str | None = None) -> list[str]:
        """Give the texts of all messages in a mailbox, in the order that they came in."""
        folder = self.data / "mail" / (domain or self.domains[0]) / user / "new"
        if not folder.is_dir():
            return []
        return [path.read_text() for path in sorted(folder.iterdir(), key=_find_moment)]

    def is_claimed(self, queue_id: str) -> bool:
        """Say if a message is being delivered, or what came of it is not saved yet."""
        with open_stored_queue(load_config(self.config)) as stored:
            story = stored.find_story(QueueId(queue_id))
        return story is not None and any(each.is_claimed for each in story.message.recipients)


def _find_moment(path: Path) -> tuple[int, int]:
    """Give when a file of a Maildir was named: the microseconds there have no zeros in front."""
    found = re.match(r"(\d+)\.M(\d+)P", path.name)
    assert found is not None, path.name
    return int(found[1]), int(found[2])


def to_toml(value: object) -> str:
    """Write a value: TOML's and JSON's forms are the same but for tables."""
    match value:
        case Mapping():
            inner = ", ".join(f"{to_toml_key(k)} = {to_toml(v)}" for k, v in value.items())
            return f"{{ {inner} }}"
        case list() | tuple():
            return f"[{', '.join(map(to_toml, value))}]"
        case _:
            return json.dumps(value)


def to_toml_key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key) else json.dumps(key)


def _start(command: Sequence[str], popen: dict[str, Any]) -> subprocess.Popen[str] | ForkedProgram:
    """Start the program: quickly, where nothing is asked that needs a new interpreter."""
    if not popen and tuple(command[: len(PROGRAM)]) == PROGRAM:
        return ForkedProgram(command[len(PROGRAM) :])
    environment = {**command_environment(), **popen.pop("environment", {})}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **popen)


class RunningNode:
    """A `serve` process and what it logs.

    It is a new interpreter if anything of Popen's is asked for, even an empty `environment`.
    """

    def __init__(
        self, files: NodeFiles, command: Sequence[str] | None = None, **popen: Any
    ) -> None:
        self.files = files
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._is_over = False
        self.process = _start(command or [*PROGRAM, "serve", "--config", str(files.config)], popen)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = 0
        self.workers: list[int] = []

    def wait_ready(self) -> "RunningNode":
        """Wait until it receives and its workers answer."""
        found = self.wait_log(r"receiving on \S+?:(\d+)\b.* with (\d+) workers")
        self.port = int(found[1])
        self.wait_for(lambda: len(self.worker_pids()) >= int(found[2]), "workers")
        with socket.create_connection((self.files.host, self.port), PATIENCE) as client:
            try:
                assert client.recv(512).startswith(b"220 ")
            except TimeoutError:
                raise AssertionError(f"no worker greets\n{self.log}") from None
        return self

    def worker_pids(self) -> list[int]:
        """Give the processes below the supervisor."""
        pid = self.process.pid
        try:
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except OSError:
            return []
        return [int(item) for item in text.split()]

    def wait_log(self, pattern: str, *, since: int = 0, count: int = 1) -> re.Match[str]:
        """Wait for the `count`-th line from number `since` on that matches; gives the match."""
        found: list[re.Match[str]] = []

        def is_there() -> bool:
            found[:] = [m for line in self.lines[since:] if (m := re.search(pattern, line))]
            return len(found) >= count

        with self._changed:
            end = time.monotonic() + PATIENCE
            while not is_there():
                left = end - time.monotonic()
                if left <= 0 or self._is_over:
                    raise AssertionError(f"not logged: {pattern}\n{''.join(self.lines)}")
                self._changed.wait(left)
        return found[count - 1]

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what no log line tells: processes, files of others."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"{what} did not come\n{self.log}")
            with self._changed:
                self._changed.wait(0.02)

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def reload(self) -> None:
        """SIGHUP, and wait for its end."""
        since = len(self.lines)
        self.process.send_signal(signal.SIGHUP)
        self.wait_log(r"the old ones drain|reload: the configuration", since=since)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and give its exit code; every process and the log are at their end then."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        # The log ends when the last process that can write to it has ended.
        self._reader.join(PATIENCE)
        assert not self._reader.is_alive(), "a process outlives its supervisor"
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def client(self, *, source: str | None = None, hello: str = "client.example") -> "Client":
        """Connect, without a word said."""
        client = Client(local_hostname=hello, timeout=PATIENCE)
        client.source_address = (source, 0) if source else None
        client.connect(self.files.host, self.port)
        return client

    def send(
        self,
        text: str = "Subject: hello\n\nhello\n",
        *,
        to: str = "alice@example.org",
        sender: str = "bob@example.net",
        tls: bool = False,
    ) -> str:
        """Send a message in a session of its own; gives the queue id of the 250."""
        with self.client() as client:
            if tls:
                client.start()
            return client.deliver(sender, [to], text)

    def wait_delivered(self, queue_id: str) -> None:
        self.wait_log(rf"{queue_id}: to=<.*status=sent")

    def wait_settled(self, queue_id: str) -> None:
        """Wait until what the log tells of a message is saved: its line comes before that.

        For tests that read or change the queue then.
        """
        self.wait_for(lambda: not self.files.is_claimed(queue_id), f"what became of {queue_id}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()


class Client(smtplib.SMTP):
    """An SMTP client that is not ours: the standard library's."""

    def start(self, name: str | None = "mx.example.org") -> None:
        """STARTTLS, trusting the throw-away authority; `name` is the SNI, None for none."""
        context = ssl.create_default_context(cadata=authority().pem.decode("ascii"))
        context.check_hostname = name is not None
        self._start(context, name)

    def start_unverified(self, name: str) -> None:
        """STARTTLS with any SNI, whatever certificate is shown."""
        context = ssl.create_default_context(cadata=authority().pem.decode("ascii"))
        context.check_hostname = False
        self._start(context, name)

    def _start(self, context: ssl.SSLContext, name: str | None) -> None:
        self.ehlo_or_helo_if_needed()
        code, reply = self.docmd("STARTTLS")
        assert code == 220, reply
        assert self.sock is not None
        self.sock = context.wrap_socket(self.sock, server_hostname=name)
        self.file = None
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False

    @property
    def certificate(self) -> bytes:
        """The certificate that the server showed."""
        assert isinstance(self.sock, ssl.SSLSocket)
        found = self.sock.getpeercert(binary_form=True)
        assert found is not None
        return found

    def deliver(self, sender: str, recipients: list[str], text: str) -> str:
        """Hand a message over; gives the queue id of the 250."""
        self.begin(sender, recipients)
        code, reply = self.data(text)
        found = _QUEUED_AS.search(reply.decode())
        assert code == 250, reply
        assert found is not None, reply
        return found[1]

    def begin(self, sender: str, recipients: list[str]) -> None:
        """Go as far as RCPT."""
        self.ehlo_or_helo_if_needed()
        for code, reply in (self.mail(sender), *map(self.rcpt, recipients)):
            assert code == 250, reply


@contextmanager
def running(files: NodeFiles, **popen: Any) -> Iterator[RunningNode]:
    """Run a node, ready; at the end it is ended if the test did not."""
    files.write()
    with started(files, None, **popen) as node:
        yield node


@contextmanager
def started(files: NodeFiles, command: Sequence[str] | None, **popen: Any) -> Iterator[RunningNode]:
    """Run a node by a command of the test's own."""
    node = RunningNode(files, command, **popen)
    try:
        yield node.wait_ready()
    finally:
        # A test that failed must leave nothing behind, workers included.
        workers = node.worker_pids()
        try:
            node.stop()
        except (AssertionError, subprocess.TimeoutExpired):
            for pid in (node.process.pid, *workers):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            raise


def mx_certificate(name: str = "mx.example.org") -> Issued:
    return issue((name,))
