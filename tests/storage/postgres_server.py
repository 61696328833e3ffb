"""A PostgreSQL server of the tests' own, in a temporary folder, on a socket there and no port."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.peers import program, unprivileged_account

START_SECONDS = 60.0


class PostgresServer:
    """A server that can be stopped, killed and started again."""

    def __init__(self, folder: Path, account: str | None) -> None:
        self.folder = folder
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None
        self._schemas = 0

    def create(self) -> None:
        options = ["--auth=trust", "--username=letterlock", "--encoding=UTF8", "--no-sync"]
        self._run("initdb", "-D", str(self.folder / "data"), *options, "--locale=C")

    def start(self, *settings: str) -> None:
        """Start, and wait until it answers."""
        options = [
            *("listen_addresses=", f"unix_socket_directories={self.folder}"),
            *("shared_buffers=16MB", "max_connections=60", "log_min_messages=fatal", *settings),
        ]
        self._process = subprocess.Popen(
            [
                *(str(program("postgres", "postgresql")), "-D", str(self.folder / "data")),
                *(part for option in options for part in ("-c", option)),
            ],
            user=self._account,
            cwd=self.folder,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("PostgreSQL does not start")
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks connections off, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START_SECONDS)
            self._process = None

    def create_schema(self) -> str:
        """Make an empty schema, which is quicker than a database; gives its DSN."""
        self._schemas += 1
        name = f"q{self._schemas}"
        self._sql(f"CREATE SCHEMA {name}")
        return f"postgresql://letterlock@/postgres?host={self.folder}&search_path={name}"

    def _answers(self) -> bool:
        try:
            self._sql("SELECT 1")
        except subprocess.CalledProcessError:
            return False
        return True

    def _sql(self, text: str) -> None:
        self._run("psql", "-h", str(self.folder), "-U", "letterlock", "-c", text, "postgres")

    def _run(self, name: str, *arguments: str) -> None:
        command: Sequence[str] = [str(program(name, "postgresql")), *arguments]
        subprocess.run(
            command, user=self._account, cwd=self.folder, check=True, capture_output=True
        )


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server; at the end nothing of it is left."""
    account = unprivileged_account()
    # Not in pytest's folder: others may not enter that, and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="letterlock-pg-"))
    server = PostgresServer(folder, account)
    try:
        if account is not None:
            shutil.chown(folder, account)
        server.create()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
