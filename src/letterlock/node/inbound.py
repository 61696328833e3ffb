"""The process of the inbound test: beside the workers, and apart from the mail that they take.

It has sockets, certificates and limits of its own, no queue, and no way to relay: what it writes is
the facts of sessions, and the one mail that it hands in as a program of this machine. What is wrong
with its certificate keeps the test from being there, and nothing else.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from letterlock.base.clock import Clock
from letterlock.base.config.inbound_hosts import InboundSection
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.base.log import LineLog, Service
from letterlock.base.waiting import wait_for_event
from letterlock.network.https_server import HttpsServer
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.server_limits import ServerLimits
from letterlock.network.smtp_owner import Peer
from letterlock.network.smtp_server import SmtpServer
from letterlock.node.ending import End, Served
from letterlock.node.inbound_listeners import InboundListeners, find_addresses
from letterlock.node.process import Part, run_process
from letterlock.protocols.inbound.cases import HostNames, Place
from letterlock.protocols.smtp.server_session import ServerSession, SessionSettings
from letterlock.services.observe.answering import Answerer
from letterlock.services.observe.expired import make_expired
from letterlock.services.observe.pages import PAGES, InboundPages
from letterlock.services.observe.register import Register
from letterlock.services.observe.session import ObservedSession, Observer
from letterlock.services.publish.records import IpAddress
from letterlock.storage.inbound_tests import InboundTests
from letterlock.storage.mail_drop import leave_mail

PROCESSES = 1
RELOAD_SECONDS = 60.0
"""Between two looks whether certificates changed, or can be used now."""
LIMITS = ServerLimits(
    idle=timedelta(minutes=1),
    session=timedelta(minutes=10),
    min_bytes_per_second=100,
    connections=100,
)
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_RECIPIENTS = 20
MAX_ERRORS = 5
MAX_COMMANDS = 20
HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class InboundService:
    """What the process is made from, before the fork."""

    config: Config
    listeners: InboundListeners
    clock: Clock
    log: LineLog

    def run_process(self, number: int, supervisor_gone: int, tell_ready: Callable[[], None]) -> int:
        """Be the process, as `Generation.run_worker` is."""
        del number

        def start() -> tuple[Part, Coroutine[Any, Any, None]]:
            process = InboundProcess(self)
            return process, process.run(tell_ready)

        return run_process("inbound test", self.log, start, supervisor_gone)


class InboundProcess:
    """Receives, serves the page, and answers."""

    def __init__(self, service: InboundService) -> None:
        self._service = service
        self._section = service.config.inbound
        assert self._section.domain is not None, "there is no test without a domain"
        self._names = HostNames(self._section.domain)
        tests = InboundTests(service.config.inbound_dir)
        self._register = Register(tests, service.clock)
        self._end = End()

    def stop(self) -> None:
        """End soon."""
        self._end.stop()

    def drain(self) -> None:
        """Let those who are connected come to their end: another process has the sockets."""
        self._end.drain()

    def look_around(self) -> None:
        """Do nothing: nobody leaves anything to this process."""

    async def run(self, tell_ready: Callable[[], None]) -> None:
        """Work until stopped or drained. Raises LocalError and OSError."""
        await asyncio.to_thread(self._register.load)
        tell_ready()
        certificates = await self._wait_for_certificates()
        if certificates is None:
            return
        async with asyncio.TaskGroup() as tasks:
            servers = self._list_servers(certificates, tasks)
            running = [tasks.create_task(server.run(on)) for server, on in servers]
            running.append(tasks.create_task(self._answerer().run()))
            running.append(tasks.create_task(self._keep_certificates(certificates)))
            await self._end.wait([server for server, _ in servers])
            for task in running:
                task.cancel()

    async def _wait_for_certificates(self) -> dict[Place, ServerCertificates] | None:
        """Load them, however long they are not there; None: we were to end before."""
        told = ""
        while not self._end.told.is_set():
            try:
                return await asyncio.to_thread(self._load_certificates)
            except (LocalError, OSError) as error:
                if str(error) != told:
                    self._warn(f"there is no inbound test: {error}")
                told = str(error)
                await wait_for_event(self._end.told, RELOAD_SECONDS)
        return None

    def _load_certificates(self) -> dict[Place, ServerCertificates]:
        section, config = self._section, self._service.config
        good = ServerCertificates([(each.certificate, each.key) for each in section.certificates])
        for fault in find_name_faults(good, self._names):
            self._warn(f"inbound.certificates: {fault}")
        if section.expired_certificate is not None and section.expired_key is not None:
            paths = section.expired_certificate, section.expired_key
        else:
            host = Domain(f"mx.expired.{self._names.base}")
            paths = make_expired(config.inbound_dir, host, self._service.clock.now())
        return {Place.SHARED: good, Place.EXPIRED: ServerCertificates([paths])}

    async def _keep_certificates(self, certificates: dict[Place, ServerCertificates]) -> None:
        """Load what changed, until the end."""
        while not await wait_for_event(self._end.told, RELOAD_SECONDS):
            for each in certificates.values():
                result = await asyncio.to_thread(each.reload_if_changed)
                for fault in result.faults:
                    self._warn(f"not reloaded: {fault}")

    def _list_servers(
        self, certificates: dict[Place, ServerCertificates], tasks: asyncio.TaskGroup
    ) -> list[Served]:
        """Give each server with its sockets."""
        service = self._service
        observer = Observer(
            names=self._names,
            register=self._register,
            clock=service.clock,
            log=service.log,
            make_key=lambda: secrets.token_hex(8),
            tasks=tasks,
            clients={},
        )
        pages = InboundPages(self._names, self._register)
        web = HttpsServer(pages.answer, certificates[Place.SHARED], service.clock)
        servers: list[Served] = [(web, service.listeners.web)]
        for place in Place:
            server = make_server(place, observer, certificates.get(place))
            servers.append((server, service.listeners.of_place(place)))
        return servers

    def _answerer(self) -> Answerer:
        config, service = self._service.config, self._service
        return Answerer(
            names=self._names,
            register=self._register,
            author=self._section.report_from or f"postmaster@{config.domains[0]}",
            hostname=config.hostname,
            quiet=self._section.report_after,
            find_page=lambda token: find_page(self._section, token),
            leave=lambda to, message: leave_mail(config.send.drop_dir, "", (to,), message),
            clock=service.clock,
            log=service.log,
        )

    def _warn(self, text: str) -> None:
        self._service.log.write(Service.INBOUND, f"warning: {text}")


def make_server(
    place: Place, observer: Observer, certificates: ServerCertificates | None
) -> SmtpServer:
    """Make the server of a place. Without certificates it offers no STARTTLS."""
    settings = SessionSettings(
        hostname=observer.names.base,
        max_message_bytes=MAX_MESSAGE_BYTES,
        max_recipients=MAX_RECIPIENTS,
        max_errors=MAX_ERRORS,
        max_commands=MAX_COMMANDS,
        offer_starttls=certificates is not None,
        offer_requiretls=True,
    )

    def own(peer: Peer) -> tuple[ServerSession, ObservedSession]:
        return ServerSession(settings), ObservedSession(observer, peer, place)

    return SmtpServer(own, certificates, LIMITS, observer.clock)


def find_name_faults(certificates: ServerCertificates, names: HostNames) -> list[str]:
    """Say which names the certificates should have and have not, and which they should not."""
    missing = [name for name in names.certified if not _has_name(certificates, name)]
    wrong = [name for name in names.uncertified if _has_name(certificates, name)]
    faults = [f"none has the name {name}, whose host should have it" for name in missing]
    return faults + [f"one has the name {name}, whose host should not have it" for name in wrong]


def _has_name(certificates: ServerCertificates, name: Domain) -> bool:
    return not {name, f"*.{name.partition('.')[2]}"}.isdisjoint(certificates.names)


def find_page(section: InboundSection, token: str) -> str | None:
    """Give the URL of a test's page; None where no page is served."""
    if section.domain is None or not section.listen_https:
        return None
    port = section.listen_https[0].port
    place = section.domain if port == HTTPS_PORT else f"{section.domain}:{port}"
    return f"https://{place}{PAGES}{token}"


def find_offered(section: InboundSection) -> dict[Place, Sequence[IpAddress]]:
    """Give the places that have addresses, with those that others could be told."""
    found: dict[Place, Sequence[IpAddress]] = {}
    for place in Place:
        if addresses := find_addresses(section, place):
            found[place] = list(dict.fromkeys(ip_address(each.host) for each in addresses))
    return found
