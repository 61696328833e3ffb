"""What `tlsrpt send` does, beside a node that runs, or without one."""

from datetime import date

from letterlock.base.clock import SystemClock
from letterlock.base.config.sections import Config
from letterlock.base.log import Service
from letterlock.node.building import DeliveryBuilder
from letterlock.node.policy import load_policy
from letterlock.node.report_sources import make_sources, make_submitter
from letterlock.node.reporting import ReportBuilder
from letterlock.node.shared_database import name_command
from letterlock.protocols.tlsrpt.destinations import MailDestination
from letterlock.services.report.addressing import Addressing
from letterlock.services.report.carrying import MailCarrier, Outgoing
from letterlock.services.report.previewing import Preview, preview
from letterlock.services.report.program import make_program_carrier
from letterlock.services.report.sending import Sending
from letterlock.storage.own_reports import OwnReport


class _Silence:
    """A log for a command, whose answer says it all."""

    def write(
        self, service: Service, text: str, *, queue_id: str | None = None, **fields: object
    ) -> None:
        """Write nothing."""


class _LeftToTheNode:
    """Carries nothing: the node does, into its queue."""

    async def send(self, report: Outgoing, destination: MailDestination, number: int) -> str | None:
        del report, destination, number
        return "the node sends it: this command does only with tlsrpt.mail_program"


async def preview_reports(config: Config, day: date | None) -> list[Preview]:
    """Give what would be reported: of all days that are over, or of one, which may go on still.

    Raises LocalError and StoreUnavailable.
    """
    today = SystemClock().now().date()
    addressing = Addressing(_make_delivery(config).resolver)
    found: list[Preview] = []
    for source in make_sources(config):
        days = await source.list_days()
        asked = [each for each in days if (each < today if day is None else each == day)]
        submitter = make_submitter(config)
        found += [each async for each in preview(source, asked, addressing, submitter)]
    return found


async def send_reports(config: Config, day: date | None) -> list[OwnReport]:
    """Have all be sent that is not yet, of all days that are over or of one; gives how far it is.

    Raises LocalError and StoreUnavailable.
    """
    clock, log = SystemClock(), _Silence()
    builder = ReportBuilder(config, clock, log)
    store = builder.make_store(name_command(config))
    delivery = _make_delivery(config)
    program = config.tlsrpt.mail_program
    mail: MailCarrier = _LeftToTheNode()
    if program is not None:
        mail = make_program_carrier(builder.make_writer(delivery.resolver), program, clock)
    await store.open()
    try:
        tools = builder.make_tools(store, delivery.resolver, delivery.anchors.load, mail)
        sending = Sending(tools)
        await sending.plan(only=day, is_hurried=True)
        await sending.hurry(only=day)
        while program is not None and await sending.work():
            pass
        return [
            report
            for source in tools.sources
            for each in await store.list_planned_days(source.name)
            if day in (None, each)
            for report in await store.list_reports(source.name, each)
        ]
    finally:
        await store.close()


def _make_delivery(config: Config) -> DeliveryBuilder:
    """Make what asks DNS and loads trust anchors, as delivery does."""
    table = load_policy(config.policy).table
    return DeliveryBuilder(config, table, SystemClock(), _Silence(), workers=1)
