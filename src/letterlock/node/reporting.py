"""What sends our reports on TLS, as the settings say: for a worker, and for commands.

One worker of each node sends, into the queue that it receives into; of nodes that share a database
each takes a part. A database that is away is tried again.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.base.log import Log, Service
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.dns import Resolver
from letterlock.network.https_client import HttpsClient, UnusableAnchors
from letterlock.node.own_database import make_own_database
from letterlock.node.report_sources import make_sources, make_submitter
from letterlock.node.shared_database import find_database
from letterlock.node.signing import make_signer
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.smtp.envelope import Envelope
from letterlock.services.queue.own_mail import Outbox
from letterlock.services.receive.redirected import redirect_if_known
from letterlock.services.redirect.tables import TableSource
from letterlock.services.report.addressing import Addressing
from letterlock.services.report.carrying import (
    HttpsCarrier,
    MailCarrier,
    QueueCarrier,
    ReportWriter,
)
from letterlock.services.report.program import make_program_carrier
from letterlock.services.report.sending import ReportTools, Sending
from letterlock.services.report.signatures import SignatureCheck
from letterlock.services.report.undelivered import UndeliveredReports
from letterlock.storage.own_reports import ReportStore
from letterlock.storage.queue import QueueId, StoreUnavailable
from letterlock.storage.sqlite.own_reports import SqliteOwnReports

REOPEN_SECONDS = 10.0
START_SECONDS = 2.0
"""Before the first look: a new process has better things to do."""

FindAnchors = Callable[[], TrustAnchors | UnusableAnchors]


@dataclass(frozen=True, slots=True)
class ReportBuilder:
    """Builds the parts."""

    config: Config
    clock: Clock
    log: Log

    def make_store(self, name: str) -> ReportStore:
        """Make the store, not opened yet; `name` is this process's among all that share it.

        Raises LocalError without the database's address.
        """
        address = find_database(self.config)
        if address is None:
            return SqliteOwnReports(make_own_database(self.config, self.clock))
        # asyncpg is an extra: only loaded where it is used.
        from letterlock.storage.postgres.node import NodeDatabase as Postgres  # noqa: PLC0415 - asyncpg is an extra
        from letterlock.storage.postgres.own_reports import PostgresOwnReports  # noqa: PLC0415 - asyncpg is an extra

        return PostgresOwnReports(Postgres(address, name, self.clock))

    def make_undelivered(self, name: str) -> UndeliveredReports | None:
        """Make what notes that mail with a report failed; None where no reports are sent."""
        if not self.config.tlsrpt.reports:
            return None
        return UndeliveredReports(lambda: self.make_store(name), self.clock, self.log)

    def make_tools(
        self, store: ReportStore, resolver: Resolver, find_anchors: FindAnchors, mail: MailCarrier
    ) -> ReportTools:
        """Put together what reports are sent with. Raises LocalError."""
        section = self.config.tlsrpt
        client = HttpsClient(
            resolver,
            ClientContexts(),
            find_anchors,
            self.clock,
            has_private_addresses=section.private_addresses,
        )
        return ReportTools(
            store=store,
            sources=make_sources(self.config),
            addressing=Addressing(resolver),
            submitter=make_submitter(self.config),
            mail=mail,
            https=HttpsCarrier(client, self.clock),
            clock=self.clock,
            log=self.log,
            random=random.SystemRandom().random,
            within=section.send_within,
            keep=section.keep,
        )

    def make_writer(self, resolver: Resolver) -> ReportWriter:
        """Make what writes and signs the mails."""
        submitter = make_submitter(self.config)
        signer = make_signer(self.config, self.clock, self.log)
        sign = signer.sign if signer is not None else bytes
        return ReportWriter(submitter, sign, SignatureCheck(resolver, submitter.domain).find_fault)

    def make_mail_carrier(
        self,
        resolver: Resolver,
        outbox: Outbox,
        make_id: Callable[[], QueueId],
        tables: TableSource,
    ) -> MailCarrier:
        """Make what puts reports into a worker's queue, or hands them to a program."""
        writer = self.make_writer(resolver)
        if self.config.tlsrpt.mail_program is not None:
            return make_program_carrier(writer, self.config.tlsrpt.mail_program, self.clock)

        def redirect(envelope: Envelope) -> Envelope:
            return redirect_if_known(envelope, tables.current())

        return QueueCarrier(writer, outbox, self.clock, make_id, redirect)


class Reporting:
    """Sends reports from a worker."""

    def __init__(self, builder: ReportBuilder, name: str) -> None:
        """Be the one named so among all processes that share a database."""
        self._builder = builder
        self._store = builder.make_store(name)
        self._sending: Sending | None = None

    @property
    def problem(self) -> str | None:
        """Why reports wait here, on one line; None: nothing is known to keep them."""
        reason = self._sending.problem if self._sending is not None else None
        return None if reason is None else f"TLS reports by mail wait: {reason}"

    def wake(self) -> None:
        """Have what is due be sent now."""
        if self._sending is not None:
            self._sending.wake()

    async def run(self, resolver: Resolver, find_anchors: FindAnchors, mail: MailCarrier) -> None:
        """Send until cancelled."""
        await asyncio.sleep(START_SECONDS)
        await self._open()
        try:
            tools = self._builder.make_tools(self._store, resolver, find_anchors, mail)
            self._sending = Sending(tools)
            await self._sending.run()
        finally:
            await self._store.close()

    async def _open(self) -> None:
        fault = ""
        while True:
            try:
                await self._store.open()
            except (StoreUnavailable, LocalError) as error:
                if str(error) != fault:
                    text = f"warning: TLS reports cannot be sent now: {error}"
                    self._builder.log.write(Service.TLSRPT, text)
                fault = str(error)
                await asyncio.sleep(REOPEN_SECONDS)
            else:
                return
