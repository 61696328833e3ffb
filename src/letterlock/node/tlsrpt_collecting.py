"""`tlsrpt collect`: one process that counts what a Postfix tells of its TLS sessions.

One thread receives, one counts. What is counted is in the journal: this process may be killed and
started again at any time, and what it loses by that is what came within `PERIOD_SECONDS`.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from letterlock.base.clock import Clock, SystemClock
from letterlock.base.config.collecting import TlsrptSection
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.sections import Config
from letterlock.base.counts import format_count
from letterlock.base.errors import LocalError
from letterlock.base.log import LineLog, Service
from letterlock.network.datagram_receiver import (
    DatagramReceiver,
    SocketInUse,
    bind_datagram_socket,
    find_queue_length,
)
from letterlock.node.account import drop_privileges, find_account, give_socket, make_data_dir
from letterlock.node.logs import make_log, require_log_folder
from letterlock.node.systemd import Notifier, take_listeners
from letterlock.services.collect.collector import Collector
from letterlock.storage.day_files import DamagedCounts, DayFiles, FolderInUse
from letterlock.storage.durable import describe, make_folder

PERIOD_SECONDS = 0.1
"""What came is counted this often: the most that a kill can take."""
ENOUGH_QUEUE_LENGTH = 512
_PAUSE_SECONDS = 0.0002
SWITCH_SECONDS = 0.0005
"""How long the thread that receives waits for the other one; Python's own value is ten times it."""


def collect(config: Config) -> int:
    """Count until SIGTERM or SIGINT; gives the exit code. Raises LocalError."""
    clock = SystemClock()
    make_data_dir(config)
    log = make_log(config, clock)
    with _ending_by_signal(log) as end, _open_place(config) as place:
        drop_privileges(config, log)
        require_log_folder(config.log)
        files = _open_files(config.tlsrpt)
        try:
            collector = Collector(files, clock, log, config.tlsrpt.keep, pause)
        except (OSError, DamagedCounts) as error:
            raise _refuse_folder(config.tlsrpt, error) from error
        _tell_start(place, collector, log)
        notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
        notifier.tell("READY=1")
        _Collecting(collector, place, clock, log).run(end)
        notifier.tell("STOPPING=1")
        files.close()
    return 0


class _Place:
    """The socket, where Postfix finds it. `path` is None for one that systemd opened."""

    def __init__(self, listener: socket.socket, path: Path | None, section: TlsrptSection) -> None:
        self.listener = listener
        self._path = path
        self._section = section
        self._inode = _find_inode(path) if path is not None else None

    @property
    def name(self) -> str:
        return str(self._path or self.listener.getsockname() or "a socket of systemd's")

    @property
    def is_there(self) -> bool:
        """Would one who sends there now reach us? It takes removing the file to say no."""
        return self._path is None or _find_inode(self._path) == self._inode

    def open_again(self) -> "_Place":
        """Make another one in its place. Raises SettingFaults."""
        assert self._path is not None
        return _Place(_bind(self._section), self._path, self._section)

    def close(self) -> None:
        self.listener.close()
        if self._path is not None and self.is_there:
            try:
                self._path.unlink(missing_ok=True)
            except OSError:
                # Its folder may be another user's, now that we are not root.
                return


class _Collecting:
    """The loop."""

    def __init__(self, collector: Collector, place: _Place, clock: Clock, log: LineLog) -> None:
        self._collector = collector
        self._place = place
        self._clock = clock
        self._log = log

    def run(self, end: threading.Event) -> None:
        """Count until the end. Raises LocalError where nothing can come any more."""
        receiver = DatagramReceiver(self._place.listener)
        switching = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        receiver.start()
        try:
            while not end.wait(PERIOD_SECONDS):
                self._collector.work(receiver)
                if receiver.fault is not None:
                    reason = receiver.fault.strerror or receiver.fault
                    raise LocalError(f"{self._place.name}: nothing can be received: {reason}")
                if not self._place.is_there:
                    receiver = self._open_again(receiver)
        finally:
            receiver.stop()
            self._collector.work(receiver)
            sys.setswitchinterval(switching)
            self._close()

    def _open_again(self, receiver: DatagramReceiver) -> DatagramReceiver:
        """Go on with a new socket: somebody removed the one that there was."""
        before, self._place = self._place, self._place.open_again()
        following = DatagramReceiver(self._place.listener)
        following.start()
        receiver.stop()
        self._collector.work(receiver)
        before.listener.close()
        text = f"warning: {self._place.name} was removed, and is made again"
        self._log.write(Service.TLSRPT, text)
        return following

    def _close(self) -> None:
        self._place.close()
        try:
            self._collector.close()
        except OSError as error:
            raise LocalError(f"the counts may not survive a power cut: {describe(error)}") from None


@contextmanager
def _ending_by_signal(log: LineLog) -> Iterator[threading.Event]:
    end = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        end.set()

    def refuse(number: int, frame: FrameType | None) -> None:
        del number, frame
        log.write(Service.TLSRPT, "SIGHUP: changed settings need a restart, which loses nothing")

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, refuse)
    try:
        yield end
    finally:
        for number, action in before.items():
            signal.signal(number, action)


@contextmanager
def _open_place(config: Config) -> Iterator[_Place]:
    """Open the socket, or take systemd's. What is raised in here has closed it."""
    handed_over = take_listeners(os.environ)
    inherited = (*handed_over.mail, *handed_over.policy)
    if inherited:
        place = _Place(inherited[0], None, config.tlsrpt)
    else:
        path = config.tlsrpt.socket
        _make_socket_folder(config)
        place = _Place(_bind(config.tlsrpt), path, config.tlsrpt)
    try:
        yield place
    finally:
        place.close()


def _bind(section: TlsrptSection) -> socket.socket:
    path = section.socket
    try:
        listener = bind_datagram_socket(path, int(section.socket_mode, 8))
    except SocketInUse as error:
        raise refuse_setting(("tlsrpt", "socket"), f"{error}; stop it") from None
    except OSError as error:
        message = f"{path}: {error.strerror or error}; its folder must be there, and be writable"
        raise refuse_setting(("tlsrpt", "socket"), message) from error
    give_socket(listener, path, section.socket_owner, ("tlsrpt", "socket_owner"))
    return listener


def _make_socket_folder(config: Config) -> None:
    """Make the socket's folder; one that we make is the node's user's, who can replace it there."""
    folder = config.tlsrpt.socket.parent
    account = find_account(config)
    try:
        if not folder.exists():
            folder.mkdir(mode=0o755, parents=True)
            if account is not None:
                os.chown(folder, account.pw_uid, account.pw_gid, follow_symlinks=False)
    except OSError as error:
        message = f"{error.filename or folder}: {error.strerror}"
        raise refuse_setting(("tlsrpt", "socket"), message) from error


def _open_files(section: TlsrptSection) -> DayFiles:
    files = DayFiles(section.journal_dir)
    try:
        make_folder(section.journal_dir)
        files.lock()
    except (OSError, FolderInUse) as error:
        raise _refuse_folder(section, error) from error
    return files


def _refuse_folder(section: TlsrptSection, error: Exception) -> LocalError:
    reason = describe(error) if isinstance(error, OSError) else str(error)
    folder = str(section.journal_dir)
    return refuse_setting(
        ("tlsrpt", "journal_dir"), reason if folder in reason else f"{folder}: {reason}"
    )


def _tell_start(place: _Place, collector: Collector, log: LineLog) -> None:
    counts = collector.journal.counts
    day = collector.journal.day.isoformat()
    sessions = format_count(counts.sessions, "session")
    log.write(Service.TLSRPT, f"counting what comes at {place.name}; {day} has {sessions}")
    length = find_queue_length()
    if length is not None and length < ENOUGH_QUEUE_LENGTH:
        log.write(
            Service.TLSRPT,
            f"warning: the kernel keeps {length + 1} datagrams at a time, and more are lost: "
            f"sysctl -w net.unix.max_dgram_qlen={ENOUGH_QUEUE_LENGTH}, then restart this",
        )


def _find_inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def pause() -> None:
    """Let the thread that receives go on for a moment."""
    time.sleep(_PAUSE_SECONDS)
