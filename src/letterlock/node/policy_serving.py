"""`policy serve`: the supervisor with the two processes that a Postfix asks."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from letterlock.base.clock import Clock, SystemClock
from letterlock.base.config.faults import SettingFaults, refuse_setting
from letterlock.base.config.load import FoundConfig
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.base.log import LineLog, Service
from letterlock.node.account import drop_privileges, make_data_dir
from letterlock.node.descriptors import allow_descriptors
from letterlock.node.logs import find_changed, make_log, require_log_folder
from letterlock.node.policy import describe_lapsed, load_policy
from letterlock.node.policy_listeners import PolicyListeners
from letterlock.node.policy_service import (
    PROCESSES,
    PolicyService,
    make_policy_service,
)
from letterlock.node.shared_database import find_database
from letterlock.node.supervisor import Generation, Supervisor
from letterlock.node.systemd import Notifier, take_listeners
from letterlock.storage.migrations import load_migrations


def serve_policy(config: Config, found: FoundConfig) -> int:
    """Answer Postfix until SIGTERM or SIGINT; gives the exit code.

    `found` is where the configuration is read again, at SIGHUP. Raises LocalError for what keeps
    it from starting.
    """
    clock = SystemClock()
    allow_descriptors()
    make_data_dir(config)
    log = make_log(config, clock)
    handed_over = take_listeners(os.environ)
    # All of them: nothing else is served here, whatever their names.
    with closing(PolicyListeners((*handed_over.mail, *handed_over.policy))) as listeners:
        serving = _Serving(config, found, listeners, clock, log)
        notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
        return Supervisor(serving.make_generation, clock, log, notifier.tell).run()


class _Serving:
    """What outlives the generations: the sockets."""

    def __init__(
        self,
        config: Config,
        found: FoundConfig,
        listeners: PolicyListeners,
        clock: Clock,
        log: LineLog,
    ) -> None:
        self._config = config
        self._found = found
        self._listeners = listeners
        self._clock = clock
        self._log = log
        for engine in ("sqlite", "postgres"):
            load_migrations(f"letterlock.storage.{engine}.migrations")
        find_database(config)
        listeners.open(config.policy_service)
        drop_privileges(config, log)
        require_log_folder(config.log)

    def make_generation(self, is_reload: bool) -> Generation | None:  # noqa: FBT001 - the supervisor's only argument
        """Make a generation; None when the new configuration can't be used."""
        try:
            if is_reload:
                self._read_again()
            policy = load_policy(self._config.policy)
            if is_reload and policy.unreadable is not None:
                raise refuse_setting(("policy", "postfix_table"), policy.unreadable)
        except LocalError as error:
            told = self._found.place(error) if isinstance(error, SettingFaults) else error
            for line in str(told).splitlines():
                self._log.write(Service.NODE, f"error: reload: {line}")
            return None
        lapsed = describe_lapsed(policy.table, self._clock.now().date())
        for problem in (*policy.problems, *lapsed):
            self._log.write(Service.NODE, f"warning: {problem}")
        service = make_policy_service(
            self._config, policy.table, self._listeners.sockets, self._clock, self._log
        )
        names = ", ".join(self._listeners.names)
        version = self._config.policy_service.postfix_version
        self._log.write(Service.NODE, f"answering Postfix {version} on {names}")
        return _PolicyGeneration(service)

    def _read_again(self) -> None:
        """Take the configuration as it is now. Raises LocalError, and then nothing has changed."""
        config = self._found.load()
        for key, before, after in (
            (("node", "user"), self._config.node.user, config.node.user),
            (("data_dir",), self._config.data_dir, config.data_dir),
        ):
            if before != after:
                raise refuse_setting(key, "a change needs a restart")
        if (changed := find_changed(self._config.log, config.log)) is not None:
            raise refuse_setting(changed, "a change needs a restart")
        find_database(config)
        self._listeners.open(config.policy_service)
        self._config = config


@dataclass(frozen=True, slots=True)
class _PolicyGeneration:
    service: PolicyService

    @property
    def workers(self) -> int:
        return PROCESSES

    def run_worker(
        self, place: int, number: int, supervisor_gone: int, tell_ready: Callable[[], None]
    ) -> int:
        return self.service.run_process(place, number, supervisor_gone, tell_ready)

    def is_outdated(self) -> bool:
        return False

    def forget_worker(self, number: int) -> None:
        del number
