"""Builds the filters of `[filter]` for one worker."""

from collections.abc import Callable

from letterlock.base.clock import Clock
from letterlock.base.config.filters import FilterDefault, FilteredMail, Milter, Rspamd
from letterlock.base.config.sections import Config
from letterlock.base.log import Log, Service
from letterlock.network.dns import Resolver
from letterlock.network.rspamd_client import RspamdClient
from letterlock.protocols.rspamd.answers import MAX_ANSWER_OCTETS
from letterlock.services.discover.dkim_keys import DkimKeyFinder
from letterlock.services.filter.chain import FilterChain
from letterlock.services.filter.dkim_results import DkimResultsFilter
from letterlock.services.filter.link import ChainedFilter
from letterlock.services.filter.milter import MilterFilter, MilterTimeouts
from letterlock.services.filter.rspamd import RspamdFilter
from letterlock.services.receive.filtered import Filters
from letterlock.services.receive.recipients import RelayClients
from letterlock.storage.queue import QueueId


def build_filters(
    config: Config,
    log: Log,
    make_id: Callable[[], QueueId],
    count: Callable[[str], None],
    resolver: Resolver,
    clock: Clock,
) -> Filters | None:
    """Build them in the order in which they are asked; None: there are none."""
    filters = [_build_verifier(config, log, resolver, clock)] if config.dkim.verify else []
    filters += [_build_milter(each, config) for each in config.filter.milters]
    filters += [_build_rspamd(each, log) for each in config.filter.rspamd]
    if not filters:
        return None

    def warn(text: str) -> None:
        count("filter_failed")
        log.write(Service.SMTPD, text)

    chain = FilterChain(filters, warn)
    exempt = RelayClients(config.filter.exempt)
    return Filters(chain, exempt, config.data_dir, make_id, count)


def _build_verifier(config: Config, log: Log, resolver: Resolver, clock: Clock) -> ChainedFilter:
    authserv_id = (*config.receive.authserv_ids, config.hostname)[0]
    verifier = DkimResultsFilter(authserv_id, DkimKeyFinder(resolver).find, clock, log)
    return ChainedFilter(verifier, frozenset({FilteredMail.OUTSIDE}), FilterDefault.ACCEPT)


def _build_milter(milter: Milter, config: Config) -> ChainedFilter:
    timeouts = MilterTimeouts(
        milter.connect_timeout, milter.command_timeout, milter.content_timeout
    )
    return ChainedFilter(
        MilterFilter(milter.address, timeouts, config.receive.max_message_bytes),
        frozenset(milter.mail),
        milter.default_action,
    )


def _build_rspamd(rspamd: Rspamd, log: Log) -> ChainedFilter:
    client = RspamdClient(rspamd.url, rspamd.timeout.total_seconds(), MAX_ANSWER_OCTETS)
    name, settings_id = str(rspamd.url), rspamd.settings_id or ""
    return ChainedFilter(
        RspamdFilter(name, client, log, settings_id, rspamd.spam_header),
        frozenset(rspamd.mail),
        rspamd.default_action,
    )
