"""What tells the postmaster of what reports on TLS say, as the settings say: one worker of a node.

A database that is away is tried again; what was to be told waits there.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.base.log import Log, Service
from letterlock.network.server_certificates import ServerCertificates
from letterlock.node.own_database import make_own_database
from letterlock.node.publishing import list_mx_hosts, make_policy
from letterlock.node.report_sources import QUEUE, make_sources, make_submitter
from letterlock.node.shared_database import find_database, name_node
from letterlock.node.signing import make_signer
from letterlock.protocols.smtp.envelope import Envelope
from letterlock.services.alert.alerting import Alerting, AlertTools
from letterlock.services.alert.looking import Looked, Looking
from letterlock.services.alert.own import UsedCertificate
from letterlock.services.alert.telling import CommandTeller, MailTeller, Teller
from letterlock.services.alert.wording import Letter
from letterlock.services.certify.hooks import run_hook
from letterlock.services.queue.own_mail import Outbox
from letterlock.services.receive.redirected import redirect_if_known
from letterlock.services.redirect.tables import TableSource
from letterlock.storage.alerts import AlertStore
from letterlock.storage.own_reports import ReportStore
from letterlock.storage.queue import QueueId, StoreUnavailable
from letterlock.storage.received_reports import ReceivedStore
from letterlock.storage.served_policies import ServedPolicies
from letterlock.storage.sqlite.alerts import SqliteAlerts
from letterlock.storage.sqlite.own_reports import SqliteOwnReports
from letterlock.storage.sqlite.received_reports import SqliteReceived
from letterlock.storage.sqlite.served_policies import SqliteServedPolicies

START_SECONDS = 3.0
"""Before the first look: a new process has better things to do."""
REOPEN_SECONDS = 10.0
MAX_CERTIFICATES = 1000
"""In use, that are looked at: those that end first."""
_ID_OCTETS = 12


@dataclass(frozen=True, slots=True)
class AlertStores:
    """What alerts are decided by and kept in: parts of one database. Opening `alerts` opens it."""

    alerts: AlertStore
    received: ReceivedStore
    own: ReportStore
    served: ServedPolicies


def make_alert_stores(config: Config, name: str, clock: Clock) -> AlertStores:
    """Make the stores, not opened yet; `name` is this process's among all that share them.

    Raises LocalError without the database's address.
    """
    address = find_database(config)
    if address is None:
        database = make_own_database(config, clock)
        return AlertStores(
            SqliteAlerts(database),
            SqliteReceived(database),
            SqliteOwnReports(database),
            SqliteServedPolicies(database),
        )
    # asyncpg is an extra: only loaded where it is used.
    from letterlock.storage.postgres.alerts import PostgresAlerts  # noqa: PLC0415 - an extra
    from letterlock.storage.postgres.node import NodeDatabase as Postgres  # noqa: PLC0415 - an extra
    from letterlock.storage.postgres.own_reports import PostgresOwnReports  # noqa: PLC0415 - an extra
    from letterlock.storage.postgres.received_reports import PostgresReceived  # noqa: PLC0415 - an extra
    from letterlock.storage.postgres.served_policies import PostgresServedPolicies  # noqa: PLC0415 - an extra

    shared = Postgres(address, name, clock)
    return AlertStores(
        PostgresAlerts(shared),
        PostgresReceived(shared),
        PostgresOwnReports(shared),
        PostgresServedPolicies(shared),
    )


@dataclass(frozen=True, slots=True)
class AlertParts:
    """What a worker has: its queue, its aliases, the certificates that it serves."""

    outbox: Outbox
    make_id: Callable[[], QueueId]
    tables: TableSource
    certificates: ServerCertificates | None


class AlertService:
    """Tells from a worker."""

    def __init__(
        self, config: Config, name: str, parts: AlertParts, clock: Clock, log: Log
    ) -> None:
        """Be the one named so among all processes that share a database. Raises LocalError."""
        self._config = config
        self._parts = parts
        self._clock = clock
        self._log = log
        self._stores = make_alert_stores(config, name, clock)
        self._alerting: Alerting | None = None

    @property
    def problem(self) -> str | None:
        """Why alerts wait here, on one line; None: nothing is known to keep them."""
        return self._alerting.problem if self._alerting is not None else None

    async def run(self) -> None:
        """Look and tell until cancelled."""
        await asyncio.sleep(START_SECONDS)
        await self._open()
        try:
            self._alerting = Alerting(self._make_tools())
            await self._alerting.run()
        finally:
            await self._stores.alerts.close()

    async def _open(self) -> None:
        fault = ""
        while True:
            try:
                await self._stores.alerts.open()
            except (StoreUnavailable, LocalError) as error:
                if str(error) != fault:
                    text = f"warning: alerts cannot be looked for now: {error}"
                    self._log.write(Service.TLSRPT, text)
                fault = str(error)
                await asyncio.sleep(REOPEN_SECONDS)
            else:
                return

    def _make_tools(self) -> AlertTools:
        section = self._config.tlsrpt.alerts
        return AlertTools(
            node=name_node(self._config),
            store=self._stores.alerts,
            finder=Looking(self._make_looked(), self._clock),
            tellers=tuple(self._list_tellers()),
            clock=self._clock,
            log=self._log,
            silence=section.silence,
            every=section.every,
            make_id=lambda: secrets.token_hex(_ID_OCTETS),
        )

    def _make_looked(self) -> Looked:
        config, stores = self._config, self._stores
        publishing = config.publishing.mta_sts
        sources = make_sources(config)
        return Looked(
            node=name_node(config),
            section=config.tlsrpt.alerts,
            domains=find_watched_domains(config),
            policy=make_policy(config) if publishing.domains else None,
            policy_domains=publishing.domains,
            received=stores.received,
            own=stores.own,
            served=stores.served,
            sources=sources if config.tlsrpt.reports else (),
            collected=[each for each in sources if each.name != QUEUE],
            list_used=self._list_used,
        )

    def _list_used(self) -> Sequence[UsedCertificate]:
        certificates = self._parts.certificates
        # The one that stands in until there is a real one is told of by `status`.
        if certificates is None or certificates.is_self_signed:
            return ()
        return [
            UsedCertificate(each.names, each.not_before, each.not_after)
            for each in certificates.summarize(MAX_CERTIFICATES)
        ]

    def _list_tellers(self) -> list[Teller]:
        section = self._config.tlsrpt.alerts
        tellers: list[Teller] = []
        recipients = section.mail or (() if section.command else (self._config.contact,))
        if recipients:
            tellers.append(self._make_mail(recipients))
        if section.command is not None:
            tellers.append(CommandTeller(section.command, run_hook))
        return tellers

    def _make_mail(self, recipients: tuple[str, ...]) -> MailTeller:
        config, parts = self._config, self._parts
        signer = make_signer(config, self._clock, self._log)

        def redirect(envelope: Envelope) -> Envelope:
            return redirect_if_known(envelope, parts.tables.current())

        return MailTeller(
            Letter(
                make_submitter(config).contact,
                recipients,
                config.hostname,
                config.tlsrpt.alerts.silence,
            ),
            parts.outbox,
            self._clock,
            parts.make_id,
            config.queue.lifetime,
            redirect,
            signer.sign if signer is not None else bytes,
        )


def find_watched_domains(config: Config) -> tuple[Domain, ...]:
    """Give the policy domains that alerts are about: of DANE they are MX hosts."""
    chosen = config.tlsrpt.alerts.domains
    ours = (
        *config.domains,
        config.hostname,
        *list_mx_hosts(config),
        *config.publishing.mta_sts.domains,
    )
    return tuple(dict.fromkeys(chosen or ours))
