"""`ca serve`: one process of an authority, over a store that others may share.

It answers ACME over TLS and the CRLs' port in clear, does the work behind requests, and renews its
own certificate. SIGTERM lets it finish what it has begun; SIGHUP reads settings and keys again.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from socket import socket

import uvloop

from letterlock.base.clock import Clock, SystemClock
from letterlock.base.config.faults import SettingFaults, refuse_setting
from letterlock.base.config.load import FoundConfig
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.base.log import LineLog, Log, Service
from letterlock.base.waiting import wait_for_event
from letterlock.network.http_server import HttpServer
from letterlock.node.account import drop_privileges
from letterlock.node.ca.assembling import NONCE_OCTETS, Assembled, Surroundings, assemble
from letterlock.node.ca.keys import require_authority
from letterlock.node.ca.making import own_folder
from letterlock.node.ca.own_certificate import RETRY_EVERY, OwnCertificate
from letterlock.node.ca.publishing import Published
from letterlock.node.ca.root_watch import RootWatch
from letterlock.node.ca.rules import HTTP_PORT, find_crl_url
from letterlock.node.ca.server import CurrentApplication, make_server
from letterlock.node.ca.stores import load_late, make_store, name_owner
from letterlock.node.descriptors import allow_descriptors
from letterlock.node.huge_pages import use_huge_pages
from letterlock.node.listeners import Listeners
from letterlock.node.logs import find_changed, make_log, require_log_folder
from letterlock.node.process import spare_what_stays
from letterlock.node.systemd import Notifier
from letterlock.protocols.acme.server.nonces import NonceKeys
from letterlock.storage.ca.kept import NONCE_SECRET
from letterlock.storage.queue import StoreUnavailable

DRAIN_SECONDS = 30.0
"""For what was begun when SIGTERM came."""
REPLACED_SECONDS = 600.0
"""For what was begun by the settings of before: nobody waits for that but its clients."""
_LISTEN, _CRL_LISTEN = ("ca", "listen"), ("ca", "crl_listen")
_FIXED = (
    *("folder", "database", "database_url", "database_url_file"),
    *("listen", "crl_listen", "crl_url"),
)
"""What of `[ca]` holds until the authority is started anew."""


def serve_authority(config: Config, found: FoundConfig) -> int:
    """Run until SIGTERM or SIGINT; gives the exit code.

    `found` is where the settings are read again, at SIGHUP. Raises LocalError for what keeps it
    from starting.
    """
    clock = SystemClock()
    allow_descriptors()
    load_late(config)
    with own_folder(config):
        log = make_log(config, clock)
    with ExitStack() as stack:
        require_authority(config.ca)
        acme = stack.enter_context(closing(Listeners(key=_LISTEN)))
        plain = stack.enter_context(closing(Listeners(key=_CRL_LISTEN)))
        acme.open(config.ca.listen, 1)
        plain.open(config.ca.crl_listen, 1)
        drop_privileges(config, log)
        require_log_folder(config.log)
        tell = Notifier(os.environ.get("NOTIFY_SOCKET")).tell
        program = AuthorityProgram(config, found, clock, log, Sockets(_first(acme), _first(plain)))
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run_with_signals(program, log, tell))
        except* (LocalError, StoreUnavailable, OSError) as group:
            raise LocalError("; ".join(_explain(each) for each in _list_errors(group))) from None
    return 0


@dataclass(frozen=True, slots=True)
class Sockets:
    """What is listened on: ACME over TLS, and CRLs in clear."""

    acme: Sequence[socket]
    plain: Sequence[socket] = ()

    @property
    def port(self) -> int:
        port: int = self.acme[0].getsockname()[1]
        return port

    @property
    def plain_port(self) -> int:
        """80 where another server has it."""
        port: int = self.plain[0].getsockname()[1] if self.plain else HTTP_PORT
        return port


class AuthorityProgram:
    """One process of an authority. `run` is to end by `stop`."""

    def __init__(
        self, config: Config, found: FoundConfig, clock: Clock, log: Log, sockets: Sockets
    ) -> None:
        self._config = config
        self._found = found
        self._clock = clock
        self._log = log
        self._sockets = sockets
        self._store = make_store(config, clock)
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Event()
        self._look = asyncio.Event()

    def stop(self) -> None:
        """Take nothing new, finish what was begun, and end."""
        self._stopping.set()
        self._look.set()

    def reload(self) -> None:
        """Read settings and keys again."""
        self._reloading.set()
        self._look.set()

    async def run(self, tell_ready: Callable[[str], None]) -> None:
        """Run it. Raises LocalError, StoreUnavailable and OSError for what keeps it from it."""
        await self._store.open()
        try:
            await self._serve(tell_ready)
        finally:
            await self._store.close()

    async def _serve(self, tell_ready: Callable[[str], None]) -> None:
        around = await self._find_surroundings()
        current = assemble(self._config, around)
        roots = RootWatch(self._store, self._clock, self._log)
        own = self._make_own(current)
        wait = await own.ensure(current.tools, current.own_profile)
        application = CurrentApplication(current.application)
        server = make_server(application, own.files)
        published = Published(around.crl_url, current.publications, self._clock, self._log)
        spare_what_stays()
        use_huge_pages()
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.answer(self._sockets.acme))
            plain = HttpServer(published.find, self._clock)
            publishing = tasks.create_task(plain.run(self._sockets.plain))
            work = _Work(tasks, current)
            port = self._sockets.plain_port
            self._log.write(Service.CA, f"publishing CRLs at {around.crl_url} on port {port}")
            self._log.write(Service.CA, f"answering ACME at {current.places.directory}")
            tell_ready("READY=1")
            while not self._stopping.is_set():
                await roots.look(work.current.issuers)
                await wait_for_event(self._look, wait.total_seconds())
                self._look.clear()
                if self._reloading.is_set():
                    self._reloading.clear()
                    tell_ready("RELOADING=1")
                    if (fresh := self._reassemble(around)) is not None:
                        work.replace(fresh)
                        application.application = fresh.application
                        published.publications = fresh.publications
                        own = self._make_own(fresh)
                    tell_ready("READY=1")
                wait = await self._renew(own, work.current)
                own.show(server.context)
            tell_ready("STOPPING=1")
            server.should_exit = True
            await asyncio.wait([serving])
            await work.end()
            publishing.cancel()

    def _make_own(self, current: Assembled) -> OwnCertificate:
        return OwnCertificate(self._config.ca, current.host, self._clock, self._log)

    async def _renew(self, own: OwnCertificate, current: Assembled) -> timedelta:
        """Renew our own certificate where it is time; gives when to look again."""
        try:
            return await own.ensure(current.tools, current.own_profile)
        except (LocalError, StoreUnavailable) as error:
            # It has ended: clients see that, and who runs it; CRLs go on.
            self._log.write(Service.CA, f"error: {error}")
            return RETRY_EVERY

    async def _find_surroundings(self) -> Surroundings:
        secret = await self._store.keep_secret(NONCE_SECRET, secrets.token_bytes(NONCE_OCTETS))
        return Surroundings(
            store=self._store,
            clock=self._clock,
            log=self._log,
            owner=name_owner(),
            nonce_keys=NonceKeys((secret,)),
            port=self._sockets.port,
            crl_url=find_crl_url(self._config, self._sockets.plain_port),
        )

    def _reassemble(self, around: Surroundings) -> Assembled | None:
        """Put it together from the settings as they are now; None: they cannot be used."""
        try:
            config = self._found.load()
            _require_same(self._config, config)
            assembled = assemble(config, around)
        except LocalError as error:
            told = self._found.place(error) if isinstance(error, SettingFaults) else error
            for line in str(told).splitlines():
                self._log.write(Service.CA, f"error: reload: {line}")
            return None
        self._config = config
        self._log.write(Service.CA, "settings and keys were read again")
        return assembled


class _Work:
    """The work by the settings as they are now, and by those of before until that is done."""

    def __init__(self, tasks: asyncio.TaskGroup, current: Assembled) -> None:
        self._tasks = tasks
        self.current = current
        self._working = tasks.create_task(current.run())
        self._former: list[asyncio.Task[None]] = []

    def replace(self, fresh: Assembled) -> None:
        """Take no more by the old settings."""
        ending = _end(self.current, self._working, REPLACED_SECONDS)
        self._former = [each for each in self._former if not each.done()]
        self._former += [self._tasks.create_task(ending), self._working]
        self.current = fresh
        self._working = self._tasks.create_task(fresh.run())

    async def end(self) -> None:
        """Let it finish what it has begun."""
        # Also what has not begun to end: it would never do so.
        for each in self._former:
            each.cancel()
        await _end(self.current, self._working, DRAIN_SECONDS)


async def _end(assembled: Assembled, working: "asyncio.Task[None]", seconds: float) -> None:
    """Let it finish what it has begun; what it has not by then is claimed by another."""
    try:
        await assembled.drain(seconds)
    finally:
        working.cancel()
        await asyncio.wait([working])
        assembled.close()


async def _run_with_signals(
    program: AuthorityProgram, log: LineLog, tell: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, program.stop)
    loop.add_signal_handler(signal.SIGINT, program.stop)
    loop.add_signal_handler(signal.SIGHUP, program.reload)
    with log.gathered(loop.call_soon, loop.call_later):
        await program.run(tell)


def _require_same(old: Config, new: Config) -> None:
    """Refuse what can't change while it runs. Raises SettingFaults."""
    for key in _FIXED:
        if getattr(old.ca, key) != getattr(new.ca, key):
            raise refuse_setting(("ca", key), "a change needs a restart")
    for path, before, after in (
        (("node", "user"), old.node.user, new.node.user),
        (("data_dir",), old.data_dir, new.data_dir),
    ):
        if before != after:
            raise refuse_setting(path, "a change needs a restart")
    if (changed := find_changed(old.log, new.log)) is not None:
        raise refuse_setting(changed, "a change needs a restart")


def _first(listeners: Listeners) -> Sequence[socket]:
    return listeners.groups[0] if listeners.groups else ()


def _list_errors(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _list_errors(error)
        else:
            yield error


def _explain(error: BaseException) -> str:
    if isinstance(error, StoreUnavailable):
        return f"the authority's database: {error}"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error)
