"""A server of others as a process of the tests' own, and the log that it writes to a file."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.journeys.running_node import PATIENCE


class LoggingProcess:
    """It runs from the start; `stop` ends it and all that it started.

    `log` is the file that it writes itself; where it writes to standard error, `is_stderr` has that
    file written here.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        is_stderr: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        self._command = command
        stderr = log.open("wb") if is_stderr else None
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr or subprocess.DEVNULL,
            # Such servers end their whole process group when they are told to end.
            start_new_session=True,
        )
        if stderr is not None:
            stderr.close()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def lines(self) -> list[str]:
        """Give the log's whole lines."""
        try:
            text = self._log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return text[: text.rfind("\n") + 1].splitlines()

    def wait_log(self, pattern: str, *, since: int = 0, count: int = 1) -> re.Match[str]:
        """Wait for the `count`-th line from number `since` on that matches; gives the match."""
        end = time.monotonic() + PATIENCE
        while True:
            is_over = self._process.poll() is not None
            lines = self.lines
            found = [match for line in lines[since:] if (match := re.search(pattern, line))]
            if len(found) >= count:
                return found[count - 1]
            if is_over or time.monotonic() > end:
                how = "it ended" if is_over else "not logged"
                raise AssertionError(f"{how}: {pattern}\n{self._command}\n" + "\n".join(lines))
            time.sleep(0.02)

    def wait_banner(self, ip: str, port: int) -> None:
        """Wait until it greets there: its log does not tell when it listens."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with socket.create_connection((ip, port), PATIENCE) as client:
                    assert client.recv(4) == b"220 "
                    return
            except ConnectionRefusedError:
                lines = "\n".join(self.lines)
                assert self._process.poll() is None, f"it ended\n{self._command}\n{lines}"
                assert time.monotonic() < end, f"it does not listen\n{self._command}\n{lines}"
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and all that it started."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(PATIENCE)
        finally:
            _end_group(self._process.pid)


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
