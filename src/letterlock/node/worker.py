"""One worker: receives on its sockets, keeps a shard of the queue, delivers from it.

It ends in two ways: stopped (SIGTERM), it tells its clients to come back later; drained (SIGHUP
from the supervisor, when a new generation took its place), it lets their sessions come to their
end. What is in the queue stays there for the next worker.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

from letterlock import __version__
from letterlock.base.clock import Clock, format_time
from letterlock.base.config.sections import Config
from letterlock.base.log import Log
from letterlock.base.shared_counters import NamedCounters, SharedCounters
from letterlock.network.control import ControlServer
from letterlock.network.dns import Resolver
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.smtp_owner import Peer
from letterlock.network.smtp_server import SmtpServer
from letterlock.node.alerting import AlertParts, AlertService
from letterlock.node.building import (
    DeliveryBuilder,
    build_client_limits,
    build_directory,
    build_server_limits,
    build_tables,
)
from letterlock.node.commands import Commands
from letterlock.node.ending import End
from letterlock.node.filtering import build_filters
from letterlock.node.intake import make_mail_intake
from letterlock.node.mta_sts import MtaStsService
from letterlock.node.notices import SharedNotices
from letterlock.node.notifying import build_notices, build_schedule
from letterlock.node.own_queue import OwnQueue
from letterlock.node.pickup import Pickup, build_pickup
from letterlock.node.policy import LoadedPolicy
from letterlock.node.reporting import ReportBuilder, Reporting
from letterlock.node.sessions import build_proxies, build_sessions
from letterlock.node.shared_database import name_process
from letterlock.node.signing import make_key_maker, make_signer
from letterlock.node.stores import WorkerStores
from letterlock.node.submission import SubmissionService
from letterlock.node.submission_listeners import SubmissionSockets
from letterlock.protocols.smtp.own_results import make_own_names
from letterlock.protocols.smtp.server_session import ServerSession
from letterlock.services.deliver.deliveries import DeliveryParts
from letterlock.services.discover.resolver_check import ResolverCheck
from letterlock.services.receive.clients import Clients
from letterlock.services.receive.names import ClientNames
from letterlock.services.receive.opening import ResultsGuard
from letterlock.services.receive.recipients import RelayClients
from letterlock.services.receive.session import Receiver, ReceivingSession
from letterlock.services.report.carrying import MailCarrier
from letterlock.storage.ids import QueueIds

UPKEEP_SECONDS = 10.0
SHOWN_CERTIFICATES = 20
"""There may be thousands, and the status is one screen."""


@dataclass(frozen=True, slots=True)
class Common:
    """What all workers of a generation have in common; made before the fork."""

    config: Config
    policy: LoadedPolicy
    certificates: ServerCertificates | None
    clients: SharedCounters
    counters: NamedCounters
    clock: Clock
    log: Log
    workers: int = 1
    problems: tuple[str, ...] = ()
    notices: SharedNotices | None = None
    """What the supervisor tells; None where there is none."""
    logins: SharedCounters | None = None
    """What accounts sent and who guessed: unlike `clients`, kept when a worker ends. None where
    nobody submits mail."""
    resolver: Resolver | None = None
    """Only where it is not the one of `[dns]`: in the demo."""


class Worker:
    """One worker's services."""

    def __init__(self, common: Common, place: int, number: int | None = None) -> None:
        """Be the worker of a place. `number`: see `supervisor`; by default the place."""
        self._common = common
        self._place = place
        self._count = common.counters.adder(place)
        self._number = place if number is None else number
        self._end = End()
        self._ids = QueueIds(common.clock)
        self._builder = DeliveryBuilder(
            common.config,
            common.policy.table,
            common.clock,
            common.log,
            workers=common.workers,
            resolver=common.resolver,
        )
        dns = common.config.dns
        self._resolver_check = ResolverCheck(
            self._builder.backend,
            dns.signed_name,
            dns.bogus_name,
            common.log if place == 0 else None,
        )
        self._names = ClientNames(self._builder.resolver, common.clock)
        self._mta_sts: MtaStsService | None = None
        if common.config.policy.mta_sts:
            self._mta_sts = MtaStsService(
                common.config,
                self._builder.resolver,
                self._builder.anchors.load,
                common.clock,
                common.log,
                name=name_process(common.config, self._number),
            )
        # One worker tells what is wrong with them, for all.
        self._tables = build_tables(common.config, common.clock, common.log if place == 0 else None)
        # Whichever worker delivers the mail that carries a report.
        self._undelivered = self._report_builder().make_undelivered(
            f"{name_process(common.config, self._number)}/undelivered"
        )
        self._parts: DeliveryParts = self._builder.build(
            self._ids.make,
            self._mta_sts.finder if self._mta_sts is not None else None,
            self._tables,
            make_mail_intake(
                common.config, self._builder.resolver, common.clock, common.log, self._number
            ),
            self._undelivered,
        )
        self._stores = WorkerStores(
            common.config, common.clock, common.log, self._parts, self._number
        )
        self._filters = build_filters(
            common.config,
            common.log,
            self._ids.make,
            self._count,
            self._builder.resolver,
            common.clock,
        )
        # One worker makes what is missing, for all.
        self._key_maker = make_key_maker(common.config, common.log) if place == 0 else None
        # One worker of a node sends the reports that all have counted for.
        self._reporting: Reporting | None = None
        if common.config.tlsrpt.reports and place == 0:
            name = f"{name_process(common.config, self._number)}/reports"
            self._reporting = Reporting(self._report_builder(), name)
        self._alerts = self._make_alerts() if place == 0 else None
        self._pickup: Pickup | None = None
        self._started = common.clock.now()

    def stop(self) -> None:
        """End soon."""
        self._end.stop()

    def drain(self) -> None:
        """Take no more connections, and end when those there are have ended."""
        self._end.drain()
        if self._pickup is not None:
            self._pickup.stop()

    def look_around(self) -> None:
        """See at once whether another worker, now gone, left mail."""
        self._stores.look_around()

    async def run(
        self,
        listeners: Sequence[socket],
        tell_ready: Callable[[], None] = lambda: None,
        submission: SubmissionSockets | None = None,
    ) -> None:
        """Work until stopped or drained; `tell_ready` is called once clients are greeted.

        Raises LocalError and OSError; in a group when it is about what came after the start.
        """
        if self._mta_sts is not None:
            await self._mta_sts.open()
        async with self._stores.opened():
            receiver = self._receiver()
            servers = [(self._server(receiver), listeners)]
            submission_service = self._submission(receiver)
            if submission_service is not None and submission is not None:
                servers += submission_service.list_servers(submission)
            commands = Commands(
                self._stores, self._common.clock, self._tell_status, self._wake_reports
            )
            control = ControlServer(self._control_path(), commands.by_name())
            await control.open()
            async with asyncio.TaskGroup() as tasks:
                receiving = [tasks.create_task(server.run(sockets)) for server, sockets in servers]
                if self._common.config.send.enabled and self._place == 0:
                    self._pickup = build_pickup(self._common.config, receiver)
                    receiving.append(tasks.create_task(self._pickup.run()))
                    own_queue = OwnQueue(self._common.config, self._stores.all, receiver.log)
                    receiving.append(tasks.create_task(own_queue.run()))
                delivering = tasks.create_task(self._stores.run())
                others = [
                    tasks.create_task(self._builder.pool.run()),
                    tasks.create_task(control.run()),
                    tasks.create_task(self._names.run()),
                    tasks.create_task(self._resolver_check.run()),
                    tasks.create_task(self._tables.run()),
                ]
                if self._mta_sts is not None:
                    is_first = self._place == 0
                    others.append(tasks.create_task(self._mta_sts.run(is_refreshing=is_first)))
                if submission_service is not None:
                    others.append(tasks.create_task(submission_service.run()))
                others += map(tasks.create_task, self._list_reporting())
                if self._key_maker is not None:
                    others.append(tasks.create_task(self._key_maker.run()))
                tell_ready()
                await self._end.wait([server for server, _ in servers])
                # Each stands on the next: what a session stores is kept, deliveries use the pool.
                for task in (*receiving, delivering, *others):
                    task.cancel()
                    await asyncio.wait([task])

    def _receiver(self) -> Receiver:
        common, config = self._common, self._common.config
        return Receiver(
            hostname=config.hostname,
            directory=build_directory(config),
            relay=RelayClients(config.receive.relay_from),
            clients=Clients(
                build_client_limits(config), common.clients, self._number, common.clock
            ),
            store=self._stores,
            schedule=build_schedule(config),
            names=self._names,
            max_hops=config.deliver.max_hops,
            clock=common.clock,
            log=common.log,
            make_id=self._ids.make,
            count=self._count,
            wake=self._stores.wake,
            tables=self._tables,
            proxies=RelayClients(config.receive.xclient_from),
            signer=make_signer(config, common.clock, common.log),
            filters=self._filters,
            results=ResultsGuard(
                make_own_names(config.receive.authserv_ids or [config.hostname]),
                RelayClients(config.receive.results_from),
            ),
            notices=build_notices(config, common.clock, common.log, self._ids.make, self._tables),
        )

    def _submission(self, receiver: Receiver) -> SubmissionService | None:
        common = self._common
        certificates, counters = common.certificates, common.logins
        if not common.config.submission.enabled or certificates is None or counters is None:
            return None
        return SubmissionService(common.config, certificates, receiver, counters, self._number)

    def _server(self, receiver: Receiver) -> SmtpServer:
        common, config = self._common, self._common.config
        make_session = build_sessions(config, has_tls=common.certificates is not None)

        def own_session(peer: Peer) -> tuple[ServerSession, ReceivingSession]:
            return make_session(peer), ReceivingSession(receiver, peer)

        return SmtpServer(
            own_session,
            common.certificates,
            build_server_limits(config),
            common.clock,
            build_proxies(config.receive.proxy_from, "receive.proxy_from", common.log),
        )

    def _make_alerts(self) -> AlertService | None:
        common, config = self._common, self._common.config
        if not config.tlsrpt.alerts.enabled:
            return None
        parts = AlertParts(self._stores, self._ids.make, self._tables, common.certificates)
        name = f"{name_process(config, self._number)}/alerts"
        return AlertService(config, name, parts, common.clock, common.log)

    def _list_reporting(self) -> Iterator[Coroutine[Any, Any, None]]:
        """List what sends reports, what notes that one failed, what tells what others say."""
        if self._reporting is not None:
            yield self._report(self._reporting)
        if self._undelivered is not None:
            yield self._undelivered.run()
        if self._alerts is not None:
            yield self._alerts.run()

    async def _report(self, reporting: Reporting) -> None:
        mail = self.make_report_carrier()
        await reporting.run(self._builder.resolver, self._builder.anchors.load, mail)

    def _wake_reports(self) -> None:
        if self._reporting is not None:
            self._reporting.wake()

    def make_report_carrier(self) -> MailCarrier:
        """Make what puts reports into this worker's queue."""
        return self._report_builder().make_mail_carrier(
            self._builder.resolver, self._stores, self._ids.make, self._tables
        )

    def _report_builder(self) -> ReportBuilder:
        return ReportBuilder(self._common.config, self._common.clock, self._common.log)

    def _control_path(self) -> Path:
        path = self._common.config.node.control_socket
        return path.with_name(f"{path.name}.{self._number}")

    async def _tell_status(self) -> Mapping[str, Any]:
        common = self._common
        if self._end.is_draining:
            return {"node": {}, "clients": {}, "problems": []}
        notices = common.notices.get() if common.notices is not None else ()
        problems = [*common.policy.problems, *common.problems, *notices, *self._stores.problems]
        if self._key_maker is not None and self._key_maker.problem is not None:
            problems.append(self._key_maker.problem)
        if self._reporting is not None and self._reporting.problem is not None:
            problems.append(self._reporting.problem)
        if self._alerts is not None and self._alerts.problem is not None:
            problems.append(self._alerts.problem)
        if self._filters is not None:
            problems += self._filters.problems
        resolver = self._resolver_check.state
        return {
            "node": {"version": __version__, "started": format_time(self._started)},
            "resolver": resolver.describe() if resolver is not None else None,
            "certificates": self._tell_certificates(),
            "certificate_count": common.certificates.count if common.certificates else 0,
            "clients": common.counters.of_worker(self._place),
            "problems": problems,
        }

    def _tell_certificates(self) -> list[dict[str, object]]:
        certificates = self._common.certificates
        if certificates is None:
            return []
        now = self._common.clock.now()
        return [
            {
                "names": list(item.names),
                "not_after": format_time(item.not_after),
                "days_left": (item.not_after - now).days,
            }
            for item in certificates.summarize(SHOWN_CERTIFICATES)
        ]
