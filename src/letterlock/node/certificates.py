"""The process that keeps our certificates, answers authorities, and serves our policies.

One beside the workers, on every node: the store's lease says whose turn it is to renew. A new
generation of workers brings a new one; the old one ends the orders that it has begun, while the new
one answers for it: proofs are in the store.
"""

import asyncio
import grp
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from letterlock.base.clock import Clock
from letterlock.base.config.certificates import Export
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.sections import Config
from letterlock.base.log import LineLog, Log, Service
from letterlock.base.waiting import wait_for_event
from letterlock.network.alpn_server import AlpnResponder, AlpnServer
from letterlock.network.dns_backends import make_backend
from letterlock.network.dns_cache import CachingResolver
from letterlock.network.http_server import HttpServer
from letterlock.network.policy_host import PolicyHost
from letterlock.network.server_certificates import ServerCertificates
from letterlock.node.certificate_stores import CertificateStores, make_stores
from letterlock.node.certifying import list_wanted, make_tools
from letterlock.node.ending import End, Served
from letterlock.node.posts import make_post_service
from letterlock.node.process import Part, run_process
from letterlock.node.publishing import make_policy
from letterlock.node.shared_database import name_process
from letterlock.node.watching import make_watch
from letterlock.node.web_listeners import WebListeners, find_policies
from letterlock.services.certify.exporting import ExportFolder, Exporting
from letterlock.services.certify.keeping import Keeping
from letterlock.services.certify.solving.alpn import AlpnChallenges
from letterlock.services.certify.solving.http import HttpChallenges
from letterlock.services.certify.watching import Watching
from letterlock.services.publish.policies import OwnPolicies
from letterlock.storage.certificate_files import CertificateFiles, make_export_access
from letterlock.storage.queue import StoreUnavailable

PROCESSES = 1
REOPEN_SECONDS = 3.0
"""Between two tries to open the store."""


@dataclass(frozen=True, slots=True)
class CertificateService:
    """What the process is made from, before the fork."""

    config: Config
    listeners: WebListeners
    certificates: ServerCertificates | None
    clock: Clock
    log: LineLog

    def run_process(self, number: int, supervisor_gone: int, tell_ready: Callable[[], None]) -> int:
        """Be the process, as `Generation.run_worker` is."""

        def start() -> tuple[Part, Coroutine[Any, Any, None]]:
            process = CertificateProcess(self, number)
            return process, process.run(tell_ready)

        return run_process("keeping certificates", self.log, start, supervisor_gone)


def is_needed(config: Config) -> bool:
    """Say if the settings leave anything to do for it."""
    return bool(config.certificates.authorities or find_policies(config))


class CertificateProcess:
    """Keeps, writes, answers and serves: what of it the settings ask for."""

    def __init__(self, service: CertificateService, number: int) -> None:
        """Be the process with this number."""
        self._service = service
        config, clock, log = service.config, service.clock, service.log
        name = f"{name_process(config, number)}/certificates"
        self._stores = make_stores(config, name, clock)
        self._keeping: Keeping | None = None
        self._exporting: Exporting | None = None
        self._watching: Watching | None = None
        if config.certificates.authorities:
            resolver = CachingResolver(make_backend(config.dns, random.SystemRandom()), clock)
            tools = make_tools(config, self._stores, resolver, clock, log)
            self._exporting = make_exporting(config, self._stores, log)
            every = config.certificates.roll_over_every
            self._keeping = Keeping(tools, list_wanted(config), every, self._exporting.look)
            watch = make_watch(config, self._stores.watched, self._exporting, resolver, clock)
            self._watching = Watching(tools, watch, list_wanted(config), self._keeping.look)
        self._post_service = make_post_service(config, number, clock, log)
        self._policies = self._make_policies()
        self._end = End()

    def stop(self) -> None:
        """End soon: what is under way is begun anew by another."""
        self._end.stop()

    def drain(self) -> None:
        """Begin nothing new, and end what was begun: orders, and answers to who is connected."""
        self._end.drain()
        if self._keeping is not None:
            self._keeping.drain()

    def look_around(self) -> None:
        """Look at all certificates soon. Whoever takes another's place has the same store."""
        if self._keeping is not None:
            self._keeping.look()

    async def run(self, tell_ready: Callable[[], None]) -> None:
        """Work until stopped or drained."""
        if not await self._open():
            return
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._stores.database.close)
            async with asyncio.TaskGroup() as tasks:
                servers = self._list_servers()
                serving = [tasks.create_task(server.run(on)) for server, on in servers]
                helping = [tasks.create_task(each) for each in self._list_helpers()]
                keeping = [] if self._keeping is None else [tasks.create_task(self._keeping.run())]
                tell_ready()
                await self._end.wait([server for server, _ in servers], keeping)
                for task in (*serving, *helping, *keeping):
                    task.cancel()

    async def _open(self) -> bool:
        """Open the store, however long that takes; False: we were to end before."""
        is_told = False
        while not self._end.told.is_set():
            try:
                await self._stores.database.open()
            except StoreUnavailable as error:
                if not is_told:
                    text = f"warning: certificates cannot be kept: {error}"
                    self._service.log.write(Service.CERTIFICATES, text)
                is_told = True
                await wait_for_event(self._end.told, REOPEN_SECONDS)
            else:
                return True
        return False

    def _make_policies(self) -> OwnPolicies | None:
        """Make what there is to serve; None: nothing, or nothing that it could be served with."""
        service, config = self._service, self._service.config
        if not service.listeners.policies or service.certificates is None:
            return None
        domains, policy = config.publishing.mta_sts.domains, make_policy(config)
        return OwnPolicies(domains, policy, self._stores.served, service.clock, service.log)

    def _list_servers(self) -> list[Served]:
        """Give what answers on our sockets, each with its own."""
        stores, clock = self._stores, self._service.clock
        listeners, certificates = self._service.listeners, self._service.certificates
        servers = list_challenge_servers(listeners, stores, clock)
        if self._policies is not None and certificates is not None:
            responder = AlpnResponder(AlpnChallenges(stores.challenges, clock).find_certificate)
            posts = None if self._post_service is None else self._post_service.posts
            host = PolicyHost(self._policies.find, certificates, clock, responder, posts=posts)
            servers.append((host, listeners.policies))
        return servers

    def _list_helpers(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Give what else goes on for as long as the process is there."""
        if self._exporting is not None:
            yield self._exporting.run()
        if self._watching is not None:
            yield self._watching.run()
        if self._policies is not None:
            yield self._policies.run()
            if self._post_service is not None:
                yield self._post_service.run()


def list_challenge_servers(
    listeners: WebListeners, stores: CertificateStores, clock: Clock
) -> list[Served]:
    """Give what answers authorities on our own sockets, each with its own."""
    challenges = stores.challenges
    responder = AlpnResponder(AlpnChallenges(challenges, clock).find_certificate)
    return [
        (HttpServer(HttpChallenges(challenges, clock).answer, clock), listeners.http),
        (AlpnServer(responder), listeners.alpn),
    ]


def make_exporting(config: Config, stores: CertificateStores, log: Log) -> Exporting:
    """Make what writes them to files. Raises SettingFaults for a group that is not there."""
    return Exporting(
        stores.certificates,
        list_wanted(config),
        CertificateFiles(config.certificates_dir),
        _make_exports(config.certificates.export),
        log,
    )


def _make_exports(sections: Sequence[Export]) -> list[ExportFolder]:
    return [
        ExportFolder(
            section.folder,
            CertificateFiles(
                section.folder,
                make_export_access(int(section.mode, 8), group=find_group(index, section.group)),
            ),
            frozenset(section.names),
            section.hook,
        )
        for index, section in enumerate(sections)
    ]


def find_group(index: int, name: str | None) -> int | None:
    """Find the group of an export, `index` in the settings. Raises SettingFaults."""
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        key = ("certificates", "export", index, "group")
        raise refuse_setting(key, f"there is no group {name!r}") from None
