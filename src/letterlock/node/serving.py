"""`serve`: the supervisor with the node's workers under it.

A reload makes a new generation from the configuration as it is then; what can't be used leaves the
old one running, with a line that says why.
"""

import fcntl
import os
import pwd
import secrets
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from letterlock.base.clock import Clock, SystemClock
from letterlock.base.config.faults import SettingFaults, refuse_setting
from letterlock.base.config.load import FoundConfig
from letterlock.base.config.locate import KeyPath
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.base.log import LineLog, Service
from letterlock.base.presence import is_absent
from letterlock.base.shared_counters import NamedCounters, SharedCounters
from letterlock.node import certificates, inbound
from letterlock.node.account import drop_privileges, find_account
from letterlock.node.building import build_certificates, check_delivery
from letterlock.node.certificates import CertificateService
from letterlock.node.descriptors import allow_descriptors, describe_shortage
from letterlock.node.faults import require_usable
from letterlock.node.generation import NodeGeneration, RunProcess
from letterlock.node.inbound import InboundService
from letterlock.node.inbound_listeners import InboundListeners
from letterlock.node.listeners import Listeners
from letterlock.node.logs import find_changed, make_log, require_log_folder
from letterlock.node.notices import SharedNotices
from letterlock.node.policy import describe_lapsed, load_policy
from letterlock.node.policy_listeners import PolicyListeners
from letterlock.node.policy_service import (
    PROCESSES,
    PolicyService,
    make_policy_service,
)
from letterlock.node.restoring import UNFINISHED
from letterlock.node.schemas import require_readable_stores
from letterlock.node.shared_database import find_database
from letterlock.node.submission_listeners import SubmissionListeners
from letterlock.node.supervisor import PROCESSES_PER_PLACE, Generation, Supervisor
from letterlock.node.systemd import Notifier, take_listeners
from letterlock.node.web_listeners import WebListeners
from letterlock.node.worker import Common
from letterlock.services.certify.self_signed import describe_self_signed
from letterlock.services.receive.session import COUNTERS
from letterlock.storage.durable import make_folder
from letterlock.storage.migrations import load_migrations


def serve(config: Config, found: FoundConfig) -> int:
    """Run the node until SIGTERM or SIGINT; gives the exit code.

    `found` is where the configuration is read again, at SIGHUP. Raises LocalError for what keeps
    the node from starting.
    """
    clock = SystemClock()
    allow_descriptors()
    lock = _own_data_dir(config)
    log = make_log(config, clock)
    handed_over = take_listeners(os.environ)
    try:
        with (
            closing(Listeners(handed_over.mail)) as listeners,
            closing(PolicyListeners(handed_over.policy)) as policy_listeners,
            closing(WebListeners()) as web_listeners,
            closing(InboundListeners()) as inbound_listeners,
            closing(
                SubmissionListeners(handed_over.submissions, handed_over.submission)
            ) as submission_listeners,
        ):
            sockets = _Sockets(
                listeners, submission_listeners, policy_listeners, web_listeners, inbound_listeners
            )
            node = _Node(config, found, sockets, clock, log)
            notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
            return Supervisor(
                *(node.make_generation, clock, log, notifier.tell),
                tell_problems=node.tell_problems,
            ).run()
    finally:
        os.close(lock)


@dataclass(frozen=True, slots=True)
class _Sockets:
    """All that is listened on, over the generations."""

    mail: Listeners
    submission: SubmissionListeners
    policy: PolicyListeners
    web: WebListeners
    inbound: InboundListeners

    def open(self, config: Config, workers: int) -> None:
        """Listen as the settings say from now on. Raises SettingFaults."""
        self.mail.open(config.receive.listen, workers)
        self.submission.open(config.submission, workers)
        if config.policy_service.enabled:
            self.policy.open(config.policy_service)
        self.web.open(config)
        self.inbound.open(config.inbound)


class _Node:
    """What outlives the generations: sockets and counters."""

    def __init__(
        self,
        config: Config,
        found: FoundConfig,
        sockets: _Sockets,
        clock: Clock,
        log: LineLog,
    ) -> None:
        self._config = config
        self._found = found
        self._clock = clock
        self._log = log
        self._workers = config.node.workers or len(os.sched_getaffinity(0))
        self._sockets = sockets
        sockets.open(config, self._workers)
        places = self._workers + PROCESSES + certificates.PROCESSES + inbound.PROCESSES
        processes = places * PROCESSES_PER_PLACE
        self._clients = SharedCounters(processes, secrets.token_bytes(32))
        self._logins = SharedCounters(processes, secrets.token_bytes(32))
        self._counters = NamedCounters(COUNTERS, self._workers)
        self._notices = SharedNotices()
        for engine in ("sqlite", "postgres"):
            load_migrations(f"letterlock.storage.{engine}.migrations")
        drop_privileges(config, log)
        _require_folders(config)
        require_log_folder(config.log)
        require_usable(config)
        require_readable_stores(config)
        self._certificates = build_certificates(config, clock.now())
        self._policy = load_policy(config.policy)
        check_delivery(config, self._policy.table, clock, log)
        self._database = find_database(config)
        self._has_generation = False

    def make_generation(self, is_reload: bool) -> Generation | None:  # noqa: FBT001 - the supervisor's only argument
        """Make a generation; None when the new configuration can't be used."""
        if is_reload and not self._read_again():
            return None
        if self._certificates is not None and self._has_generation and not is_reload:
            self._certificates.renew_ticket_keys()
        self._has_generation = True
        common, policy = self._make_common(), self._make_policy_service()
        mail = self._sockets.mail
        beside = self._list_beside(policy)
        submission = self._sockets.submission
        generation = NodeGeneration(
            common, mail.groups, self._log, beside, submission.list_groups(self._workers)
        )
        addresses = ", ".join(map(str, mail.addresses))
        self._log.write(Service.NODE, f"receiving on {addresses} with {self._workers} workers")
        if self._config.submission.enabled:
            self._log.write(Service.NODE, f"taking submissions on {', '.join(submission.names)}")
        if self._config.tlsrpt.posts.enabled:
            web = ", ".join(map(str, self._sockets.web.policy_addresses))
            self._log.write(Service.NODE, f"taking reports by HTTPS on {web}")
        return generation

    def tell_problems(self, problems: tuple[str, ...]) -> None:
        """Have `letterlock status` say them, in place of those said before."""
        self._notices.set(problems)

    def _make_policy_service(self) -> PolicyService | None:
        if not self._config.policy_service.enabled:
            self._sockets.policy.close()
            return None
        names = ", ".join(self._sockets.policy.names)
        self._log.write(Service.NODE, f"answering Postfix on {names}")
        sockets, table = self._sockets.policy.sockets, self._policy.table
        return make_policy_service(
            self._config, table, sockets, self._clock, self._log, is_alone=False
        )

    def _list_beside(self, policy: PolicyService | None) -> list[RunProcess]:
        """Give the processes beside the workers."""
        beside: list[RunProcess] = []
        if policy is not None:
            beside += [partial(policy.run_process, place) for place in range(PROCESSES)]
        if certificates.is_needed(self._config):
            web, served = self._sockets.web, self._certificates
            service = CertificateService(self._config, web, served, self._clock, self._log)
            beside.append(service.run_process)
        if self._config.inbound.domain is not None:
            listeners = self._sockets.inbound
            names = ", ".join(listeners.names)
            self._log.write(Service.NODE, f"inbound test on {names}")
            test = InboundService(self._config, listeners, self._clock, self._log)
            beside.append(test.run_process)
        return beside

    def _read_again(self) -> bool:
        """Read everything again; what can't be used leaves all as it was."""
        try:
            config = self._found.load()
            self._require_same(config)
            require_usable(config)
            certificates = build_certificates(config, self._clock.now())
            policy = load_policy(config.policy)
            if policy.unreadable is not None:
                raise refuse_setting(("policy", "postfix_table"), policy.unreadable)
            check_delivery(config, policy.table, self._clock, self._log)
            database = self._find_usable_database(config)
            self._sockets.open(config, self._workers)
        except LocalError as error:
            told = self._found.place(error) if isinstance(error, SettingFaults) else error
            problems = tuple(f"reload: {line}" for line in str(told).splitlines())
            for problem in problems:
                self._log.write(Service.NODE, f"error: {problem}")
            self._notices.set(problems)
            return False
        self._config, self._certificates, self._policy = config, certificates, policy
        self._database = database
        self._notices.set(())
        return True

    def _find_usable_database(self, config: Config) -> str | None:
        """Give the address of the database, tried if it is not the one in use."""
        database = find_database(config)
        if database not in {None, self._database}:
            # It needs asyncpg, which is an extra.
            from letterlock.node.trial import find_fault  # noqa: PLC0415 - an extra

            if (fault := find_fault(config.queue, self._clock)) is not None:
                raise refuse_setting(_url_key(config), fault)
        return database

    def _require_same(self, config: Config) -> None:
        """Refuse what can't change while the node runs; raises SettingFaults."""
        old = self._config
        if (config.node.workers or self._workers) != self._workers:
            raise refuse_setting(("node", "workers"), "a change needs a restart")
        for key, before, after in (
            (("node", "user"), old.node.user, config.node.user),
            (("data_dir",), old.data_dir, config.data_dir),
        ):
            if before != after:
                raise refuse_setting(key, "a change needs a restart")
        if (changed := find_changed(old.log, config.log)) is not None:
            raise refuse_setting(changed, "a change needs a restart")

    def _make_common(self) -> Common:
        if self._certificates is not None:
            warnings = self._certificates.warnings
            if self._certificates.is_self_signed:
                warnings = (*warnings, describe_self_signed(self._config.hostname))
        else:
            warnings = ("tls.certificates: none is set, so STARTTLS is not offered",)
        if (shortage := describe_shortage(self._config, self._workers)) is not None:
            warnings = (*warnings, shortage)
        lapsed = describe_lapsed(self._policy.table, self._clock.now().date())
        for problem in (*self._policy.problems, *lapsed, *warnings):
            self._log.write(Service.NODE, f"warning: {problem}")
        return Common(
            config=self._config,
            policy=self._policy,
            certificates=self._certificates,
            clients=self._clients,
            counters=self._counters,
            clock=self._clock,
            log=self._log,
            workers=self._workers,
            problems=warnings,
            notices=self._notices,
            logins=self._logins,
        )


def _own_data_dir(config: Config) -> int:
    """Make the data folder and take its lock, so that two nodes never share one."""
    path = config.data_dir / "node.lock"
    account = find_account(config)
    try:
        _make_folders(config, account)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if account is not None and os.fstat(descriptor).st_nlink == 1:
            # Also for a start without root, later; and no other file that has this name too.
            os.fchown(descriptor, account.pw_uid, account.pw_gid)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_absent(config.data_dir / UNFINISHED):
            message = f"a restore into {config.data_dir} did not end; empty it and restore again"
            raise refuse_setting(("data_dir",), message)
    except BlockingIOError:
        message = f"another node runs on {config.data_dir}; stop it"
        raise refuse_setting(("data_dir",), message) from None
    except OSError as error:
        message = f"{error.filename or path}: {error.strerror}"
        raise refuse_setting(("data_dir",), message) from error
    return descriptor


def _make_folders(config: Config, account: pwd.struct_passwd | None) -> None:
    folders = _folders(config)
    if account is not None and config.send.enabled:
        # It may stand where only root can make it; else whoever picks up makes it.
        folders = (*folders, config.send.drop_dir)
    for folder in folders:
        is_new = not folder.exists()
        make_folder(folder)
        if is_new and account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _folders(config: Config) -> tuple[Path, ...]:
    socket_folder = config.node.control_socket.parent
    return (config.data_dir, config.queue_dir, config.local.mail_dir, socket_folder)


def _require_folders(config: Config) -> None:
    """Say at the start what would otherwise fail at the first message."""
    for folder in _folders(config):
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            name = pwd.getpwuid(os.geteuid()).pw_name
            message = f"{folder}: {name} cannot write there; chown it to {name}"
            raise refuse_setting(("data_dir",), message)


def _url_key(config: Config) -> KeyPath:
    return ("queue", "url" if config.queue.url_file is None else "url_file")
