"""Builds the parts of one worker from the configuration: each is given its own section."""

import random
from collections.abc import Callable
from datetime import datetime

from letterlock.base.clock import Clock
from letterlock.base.config.bounce import DoubleBounces
from letterlock.base.config.choices import LogLevel
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.inbound import TlsSection
from letterlock.base.config.outbound import DeliverSection
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.base.log import Log, Service
from letterlock.network import tls_settings
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.dns import Resolver
from letterlock.network.dns_backends import make_backend
from letterlock.network.dns_cache import CachingResolver
from letterlock.network.lmtp_client import LmtpDialer
from letterlock.network.own_addresses import OwnAddresses
from letterlock.network.server_certificates import (
    ManagedPairs,
    ServerCertificates,
    ServerSettings,
)
from letterlock.network.server_limits import ServerLimits
from letterlock.network.smtp_client import Dialer, DialTimeouts
from letterlock.node.descriptors import count_for_clients, count_per_client
from letterlock.node.live_tables import LiveTables
from letterlock.node.notifying import build_notices, build_schedule
from letterlock.node.relay_logins import build_login_terms, build_logins
from letterlock.node.shared_database import find_database
from letterlock.protocols.policy.judge import ClearFallback, FallbackRule
from letterlock.protocols.policy.table import PolicyTable
from letterlock.protocols.smtp.plan import TransactionSettings
from letterlock.protocols.smtp.timeouts import ClientTimeouts
from letterlock.protocols.tables.lines import TableError
from letterlock.protocols.tables.transport import LmtpHost, LmtpSocket, parse_lmtp_server
from letterlock.services.certify.self_signed import ensure_self_signed
from letterlock.services.deliver.anchors import AnchorFiles
from letterlock.services.deliver.deliveries import DeliveryLimits, DeliveryParts
from letterlock.services.deliver.delivery import ClaimDelivery, ReportTaker, Routing
from letterlock.services.deliver.destinations import Destinations
from letterlock.services.deliver.lmtp import LmtpDelivery
from letterlock.services.deliver.local import LocalDelivery
from letterlock.services.deliver.outgoing import RemoteSettings, SourceAddress
from letterlock.services.deliver.pool import ConnectionPool
from letterlock.services.deliver.remote import RemoteDelivery
from letterlock.services.deliver.sending import Sender
from letterlock.services.deliver.unreachable_hosts import UnreachableHosts
from letterlock.services.discover.hop_policy import HopPolicy
from letterlock.services.discover.mta_sts import MtaStsFinder
from letterlock.services.discover.next_hop import NextHop, parse_next_hop
from letterlock.services.discover.routes import RouteFinder
from letterlock.services.discover.tlsa import TlsaFinder
from letterlock.services.queue.directory import LocalDirectory, local_mailboxes
from letterlock.services.queue.settlements import FailureTaker, Settlements
from letterlock.services.receive.clients import ClientLimits
from letterlock.services.redirect.tables import NO_TABLES, TableSource
from letterlock.storage.certificate_files import CertificateFiles, PairListing
from letterlock.storage.ids import QueueIds
from letterlock.storage.maildir import MaildirStore
from letterlock.storage.queue import QueueId

CLAIMS_AHEAD = 20
"""Claims in hands at a destination beyond those at work: mail in plenty is claimed by the score."""


def build_certificates(config: Config, now: datetime) -> ServerCertificates | None:
    """Load our certificates; None: there are none, and STARTTLS is not offered.

    Where the node gets them for itself, one that it signs itself stands in until they are there.
    """
    section = config.tls
    check_ciphers(section)
    managed = None
    if config.certificates.authorities:
        files = CertificateFiles(config.certificates_dir)
        ensure_self_signed(files, config.hostname, now)
        listing = PairListing(config.certificates_dir)
        managed = ManagedPairs(listing, config.hostname, files.self_signed)
    elif not section.certificates:
        return None
    return ServerCertificates(
        [(pair.certificate, pair.key) for pair in section.certificates],
        ServerSettings(section.min_version.value, section.ciphers, section.session_tickets),
        managed,
    )


def check_ciphers(section: TlsSection) -> None:
    """Raise LocalError for a list that leaves no cipher."""
    if section.ciphers is not None:
        try:
            tls_settings.check_ciphers(section.ciphers)
        except LocalError as error:
            raise refuse_setting(("tls", "ciphers"), str(error)) from None


def build_directory(config: Config) -> LocalDirectory:
    """Know what is local: domains, mailboxes, who is postmaster."""
    mailboxes = local_mailboxes(config.local.mailboxes, config.domains)
    return LocalDirectory(
        config.hostname,
        frozenset(config.domains),
        mailboxes,
        config.local.postmaster or "postmaster",
        config.maps.recipient_delimiter,
        build_own_addresses(config).has_literal,
    )


def build_own_addresses(config: Config) -> OwnAddresses:
    """Build what knows the addresses at which this node takes mail."""
    return OwnAddresses(config.receive.listen, config.deliver.own_addresses)


def build_tables(config: Config, clock: Clock, log: Log | None = None) -> LiveTables:
    """Watch the files of `[maps]`; what is wrong with them is logged, unless that is None."""

    def tell(problem: str) -> None:
        if log is not None:
            log.write(Service.NODE, f"warning: {problem}")

    return LiveTables(config, clock, tell, build_directory(config))


def find_mail_store(config: Config) -> LmtpSocket | LmtpHost | None:
    """Give the server of `local.lmtp`, None where there is none; raises LocalError."""
    if config.local.lmtp is None:
        return None
    try:
        return parse_lmtp_server(config.local.lmtp)
    except TableError as error:
        raise refuse_setting(("local", "lmtp"), str(error)) from None


def build_client_limits(config: Config) -> ClientLimits:
    receive = config.receive
    return ClientLimits(
        receive.max_connections,
        receive.max_connections_per_client,
        receive.max_connection_rate_per_client,
    )


def build_server_limits(config: Config, *, is_submission: bool = False) -> ServerLimits:
    """Limit one of a process's servers; those for submission have half the room, if there are."""
    receive = config.receive
    room = count_for_clients(config.deliver) // count_per_client(config)
    if config.submission.enabled:
        # 0 is no limit; who has little room has at least some.
        room = room and max(1, room // (4 if is_submission else 2))
    return ServerLimits(
        receive.idle_timeout, receive.session_timeout, receive.min_bytes_per_second, room
    )


class DeliveryBuilder:
    """Builds a worker's delivery side. `workers` share the limits of a destination."""

    def __init__(
        self,
        config: Config,
        table: PolicyTable,
        clock: Clock,
        log: Log,
        *,
        workers: int,
        resolver: Resolver | None = None,
    ) -> None:
        self._config = config
        self._table = table
        self._clock = clock
        self._log = log
        self._workers = workers
        self._random = random.SystemRandom()
        self.backend = make_backend(config.dns, self._random)
        self.resolver = resolver or CachingResolver(self.backend, clock)
        self.anchors = AnchorFiles(config.policy.trust_files, clock.monotonic)
        deliver = config.deliver
        trials = max(1, deliver.max_connections // 4)
        self.unreachable = UnreachableHosts(clock, trials)
        self.pool = ConnectionPool(
            clock, deliver.idle_connection.total_seconds(), deliver.max_messages_per_connection
        )

    def build(
        self,
        make_id: Callable[[], QueueId],
        mta_sts: MtaStsFinder | None,
        tables: TableSource = NO_TABLES,
        reports: ReportTaker | None = None,
        failures: FailureTaker | None = None,
    ) -> DeliveryParts:
        """Build everything that delivers and settles.

        `mta_sts` None: no policies are looked up; `reports` None: none are taken out of mail;
        `failures` None: nobody wants to know what was given up.
        """
        config, deliver = self._config, self._config.deliver
        delivery = ClaimDelivery(
            self.routing(),
            LocalDelivery(
                build_directory(config),
                MaildirStore(config.local.mail_dir, config.hostname, self._clock),
                self._clock,
            ),
            self._remote(mta_sts),
            self._lmtp(),
            find_mail_store(config),
            tables,
            reports,
        )
        settlements = Settlements(
            notices=build_notices(config, self._clock, self._log, make_id, tables),
            schedule=build_schedule(config),
            clock=self._clock,
            log=self._log,
            jitter=self._random.random,
            has_postmaster_copies=config.bounce.double_bounces is DoubleBounces.POSTMASTER,
            failures=failures,
        )
        share = max(1, deliver.max_connections_per_destination // self._workers)
        rate = deliver.max_rate_per_destination
        return DeliveryParts(
            deliverer=delivery,
            settler=settlements,
            destinations=Destinations(
                share, rate and max(1, rate // self._workers), ahead=CLAIMS_AHEAD
            ),
            unreachable=self.unreachable,
            limits=DeliveryLimits(deliver.max_connections, config.queue.lease),
            clock=self._clock,
            log=self._log,
        )

    def routing(self) -> Routing:
        """Give the next hops of destinations, as they are configured."""
        deliver = self._config.deliver
        routes = {
            domain: parse_next_hop(str(hop), deliver.port) for domain, hop in deliver.routes.items()
        }
        relayhost = None
        if deliver.relayhost is not None:
            relayhost = parse_next_hop(str(deliver.relayhost), deliver.port)
        return Routing(
            frozenset(self._config.domains) | {self._config.hostname},
            routes,
            relayhost,
            deliver.port,
            build_own_addresses(self._config).has_literal,
        )

    def _remote(self, mta_sts: MtaStsFinder | None) -> RemoteDelivery:
        config, deliver = self._config, self._config.deliver
        return RemoteDelivery(
            finder=self.route_finder(),
            dialer=self.dialer(),
            pool=self.pool,
            sender=Sender(TransactionSettings(), deliver.max_recipients_per_transaction),
            unreachable=self.unreachable,
            policy=self.policy(mta_sts),
            anchors=self.anchors,
            settings=remote_settings(config),
            clock=self._clock,
            log=self._log,
            logins=build_logins(config, self._clock, self._log),
        )

    def _lmtp(self) -> LmtpDelivery:
        deliver = self._config.deliver
        return LmtpDelivery(
            self._config.hostname,
            self.route_finder(),
            LmtpDialer(_dial_timeouts(deliver)),
            Sender(TransactionSettings(is_lmtp=True), deliver.max_recipients_per_transaction),
            self._clock,
        )

    def route_finder(self, *, is_outside: bool = False) -> RouteFinder:
        """Build what finds the hosts of a next hop; `is_outside`: as others do, ourselves too."""
        config, deliver = self._config, self._config.deliver
        routing = self.routing()
        configured: list[NextHop] = [*routing.routes.values()]
        if routing.relayhost is not None:
            configured.append(routing.relayhost)
        return RouteFinder(
            self.resolver,
            self._random,
            families=deliver.families,
            own_names=() if is_outside else {config.hostname},
            is_own_address=OwnAddresses(()).has if is_outside else build_own_addresses(config).has,
            configured={hop.key for hop in configured},
        )

    def policy(self, mta_sts: MtaStsFinder | None) -> HopPolicy:
        """Build what decides which TLS a host must have."""
        tlsa = TlsaFinder(self.resolver) if self._config.policy.dane else None
        return HopPolicy(self._table, tlsa, mta_sts, self._clock)

    def dialer(self) -> Dialer:
        deliver = self._config.deliver
        files = None
        if deliver.client_certificate is not None and deliver.client_key is not None:
            files = (deliver.client_certificate, deliver.client_key)
        contexts = ClientContexts(files, self._config.policy.trust_files)
        terms = build_login_terms(self._config)
        return Dialer(contexts, _dial_timeouts(deliver), self._clock, terms)


def check_delivery(config: Config, table: PolicyTable, clock: Clock, log: Log) -> None:
    """Build what a worker builds, to know that it can be: raises LocalError for what can't."""
    DeliveryBuilder(config, table, clock, log, workers=1).build(QueueIds(clock).make, None)
    find_database(config)


def remote_settings(config: Config) -> RemoteSettings:
    """Say how we go out."""
    deliver = config.deliver
    return RemoteSettings(
        ipv4=SourceAddress(
            deliver.helo_ipv4 or config.hostname,
            str(deliver.source_ipv4) if deliver.source_ipv4 else None,
        ),
        ipv6=SourceAddress(
            deliver.helo_ipv6 or config.hostname,
            str(deliver.source_ipv6) if deliver.source_ipv6 else None,
        ),
        clear_fallback=ClearFallback(
            FallbackRule(deliver.clear_fallback.value), deliver.clear_fallback_after
        ),
        is_verbose=config.log.level is LogLevel.VERBOSE,
        is_counting=config.tlsrpt.reports,
    )


def _dial_timeouts(deliver: DeliverSection) -> DialTimeouts:
    times = deliver.timeouts
    return DialTimeouts(
        times.connect,
        times.handshake,
        ClientTimeouts(
            greeting=times.greeting,
            helo=times.helo,
            mail=times.mail,
            rcpt=times.rcpt,
            data_init=times.data_init,
            data_block=times.data_block,
            data_end=times.data_end,
            quit=times.quit,
        ),
    )
