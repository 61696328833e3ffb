"""`serve`: the supervisor with the node's workers under it.

A reload makes a new generation from the configuration as it is then; what can't be used leaves the
old one running, with a line that says why.
"""

import asyncio
import fcntl
import grp
import os
import pwd
import secrets
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import uvloop

from letterlock.base.clock import Clock, SystemClock
from letterlock.base.config.choices import LogFormat
from letterlock.base.config.load import ConfigErrors
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.base.log import LineLog, Log, Service
from letterlock.base.shared_counters import NamedCounters, SharedCounters
from letterlock.network.server_certificates import ServerCertificates
from letterlock.node.building import build_certificates
from letterlock.node.listeners import Listeners
from letterlock.node.policy import load_policy
from letterlock.node.supervisor import Generation, Supervisor
from letterlock.node.systemd import Notifier, take_listeners
from letterlock.node.worker import Common, Worker
from letterlock.services.receive.session import COUNTERS


def serve(config: Config, load: Callable[[], Config]) -> int:
    """Run the node until SIGTERM or SIGINT; gives the exit code.

    `load` reads the configuration again, for SIGHUP. Raises LocalError for what keeps the node from
    starting.
    """
    clock = SystemClock()
    log = make_log(config, clock)
    lock = _own_data_dir(config)
    try:
        node = _Node(config, load, clock, log)
        notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
        return Supervisor(node.make_generation, clock, log, notifier.tell).run()
    finally:
        os.close(lock)


def make_log(config: Config, clock: Clock) -> Log:
    """Make the mail log, on standard error."""
    return LineLog(clock, config.hostname, as_json=config.log.format is LogFormat.JSON)


class _Node:
    """What outlives the generations: sockets and counters."""

    def __init__(self, config: Config, load: Callable[[], Config], clock: Clock, log: Log) -> None:
        self._config = config
        self._load = load
        self._clock = clock
        self._log = log
        self._workers = config.node.workers or len(os.sched_getaffinity(0))
        self._listeners = Listeners(take_listeners(os.environ))
        self._listeners.open(config.receive.listen, self._workers)
        self._clients = SharedCounters(self._workers, secrets.token_bytes(32))
        self._counters = NamedCounters(COUNTERS, self._workers)
        self._certificates: ServerCertificates | None = None
        self._generation: _NodeGeneration | None = None
        _drop_privileges(config)

    def make_generation(self, is_reload: bool) -> Generation | None:  # noqa: FBT001 - the supervisor's only argument
        """Make a generation; None when the new configuration can't be used."""
        if self._generation is None:
            self._certificates = build_certificates(self._config.tls)
        elif is_reload and not self._read_again():
            return None
        common = self._make_common()
        self._generation = _NodeGeneration(common, self._listeners.groups)
        addresses = ", ".join(map(str, self._listeners.addresses))
        self._log.write(Service.NODE, f"receiving on {addresses} with {self._workers} workers")
        return self._generation

    def _read_again(self) -> bool:
        try:
            config = self._load()
            certificates = build_certificates(config.tls)
            self._require_same(config)
            self._listeners.open(config.receive.listen, self._workers)
        except ConfigErrors as errors:
            for error in errors.errors:
                self._log.write(Service.NODE, f"error: reload: {error}")
            return False
        except LocalError as error:
            self._log.write(Service.NODE, f"error: reload: {error}")
            return False
        self._config, self._certificates = config, certificates
        return True

    def _require_same(self, config: Config) -> None:
        if (config.node.workers or self._workers) != self._workers:
            raise LocalError("node.workers: a change needs a restart")
        if config.data_dir != self._config.data_dir:
            raise LocalError("data_dir: a change needs a restart")

    def _make_common(self) -> Common:
        policy = load_policy(self._config.policy)
        warnings = self._certificates.warnings if self._certificates is not None else ()
        for problem in (*policy.problems, *warnings):
            self._log.write(Service.NODE, f"warning: {problem}")
        if self._certificates is None:
            warnings = ("tls.certificates: none is set, so STARTTLS is not offered",)
            self._log.write(Service.NODE, f"warning: {warnings[0]}")
        return Common(
            config=self._config,
            policy=policy,
            certificates=self._certificates,
            clients=self._clients,
            counters=self._counters,
            clock=self._clock,
            log=self._log,
            workers=self._workers,
            problems=warnings,
        )


@dataclass(slots=True)
class _NodeGeneration:
    """Workers that were made from one configuration and one set of certificates."""

    common: Common
    listeners: Sequence[Sequence[socket.socket]]
    _faults: tuple[str, ...] = ()

    @property
    def workers(self) -> int:
        return self.common.workers

    def run_worker(self, place: int, supervisor_gone: int) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run(place, supervisor_gone))

    def is_outdated(self) -> bool:
        certificates = self.common.certificates
        if certificates is None:
            return False
        result = certificates.reload_if_changed()
        if result.faults != self._faults:
            for fault in result.faults:
                self.common.log.write(Service.TLS, f"warning: not reloaded: {fault}")
            self._faults = result.faults
        for path in result.loaded:
            self.common.log.write(Service.TLS, f"loaded {path}")
        return bool(result.loaded)

    def forget_worker(self, place: int) -> None:
        self.common.clients.clear_worker(place)

    async def _run(self, place: int, supervisor_gone: int) -> None:
        worker = Worker(self.common, place)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, worker.stop)
        loop.add_signal_handler(signal.SIGINT, worker.stop)
        loop.add_signal_handler(signal.SIGHUP, worker.drain)
        loop.add_reader(supervisor_gone, worker.stop)
        await worker.run(self.listeners[place])


def _own_data_dir(config: Config) -> int:
    """Make the data folder and take its lock, so that two nodes never share one."""
    path = config.data_dir / "node.lock"
    try:
        _make_folders(config)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LocalError(f"data_dir: another node runs on {config.data_dir}; stop it") from None
    except OSError as error:
        raise LocalError(f"data_dir: {error.filename or path}: {error.strerror}") from error
    return descriptor


def _make_folders(config: Config) -> None:
    account = _find_account(config)
    folders = (config.data_dir, config.queue_dir, config.local.mail_dir)
    for folder in (*folders, config.node.control_socket.parent):
        is_new = not folder.exists()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_new and account is not None and os.geteuid() == 0:
            os.chown(folder, account.pw_uid, account.pw_gid)


def _find_account(config: Config) -> pwd.struct_passwd | None:
    if not config.node.user:
        return None
    try:
        return pwd.getpwnam(config.node.user)
    except KeyError:
        raise LocalError(f"node.user: there is no user {config.node.user!r}") from None


def _drop_privileges(config: Config) -> None:
    """Become `node.user`, when root: everything that needed root is open by now."""
    account = _find_account(config)
    if account is None or os.geteuid() != 0:
        return
    groups = [entry.gr_gid for entry in grp.getgrall() if account.pw_name in entry.gr_mem]
    os.setgroups([account.pw_gid, *groups])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
