"""The reports on what CAA prevented, put together from an authority's settings."""

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.log import Log
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.dns import Resolver
from letterlock.network.https_client import HttpsClient
from letterlock.node.ca.caring import find_sender, make_leave_mail
from letterlock.protocols.acme.fields import Url
from letterlock.protocols.incidents.notices import Fields, format_mail
from letterlock.services.ca.iodef_reports import post_report
from letterlock.services.ca.prevented import Mail, Post, PreventedReports, Reporting, ReportStore
from letterlock.services.deliver.anchors import AnchorFiles


def make_prevented_reports(
    config: Config, store: ReportStore, resolver: Resolver, clock: Clock, log: Log
) -> PreventedReports | None:
    """Make them; None: the settings do not want any."""
    if not config.ca.report_prevented:
        return None
    authority = (config.ca.caa_identities or (config.hostname,))[0]
    reporting = Reporting(
        authority,
        find_sender(config),
        _make_post(config, resolver, clock),
        _make_mail(config, clock),
    )
    return PreventedReports(store, reporting, clock, log)


def _make_post(config: Config, resolver: Resolver, clock: Clock) -> Post:
    client = HttpsClient(
        resolver,
        ClientContexts(),
        AnchorFiles(config.policy.trust_files, clock.monotonic).load,
        clock,
        has_private_addresses=bool(config.ca.validation.networks),
    )

    async def post(url: Url, document: bytes) -> str | None:
        return await post_report(client, url, document)

    return post


def _make_mail(config: Config, clock: Clock) -> Mail:
    leave, sender = make_leave_mail(config.send.drop_dir), find_sender(config)

    async def mail(to: str, subject: str, text: str) -> str | None:
        now = clock.now()
        message_id = f"<caa.{now:%Y%m%d%H%M%S.%f}@{config.hostname}>"
        try:
            octets = format_mail(subject, text, Fields(sender, (to,), now, message_id))
        except ValueError as error:
            return str(error)
        return await leave(sender, (to,), octets)

    return mail
