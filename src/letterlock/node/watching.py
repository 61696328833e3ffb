"""What certificates in use are watched with, as the settings say."""

from letterlock.base.clock import Clock
from letterlock.base.config.choices import TlsVersion
from letterlock.base.config.sections import Config
from letterlock.network.dns import Resolver
from letterlock.network.http_client import HttpClient
from letterlock.node.shared_database import name_node
from letterlock.services.certify.exporting import Exporting
from letterlock.services.certify.revocation import RevocationFinder
from letterlock.services.certify.served import OwnServers
from letterlock.services.certify.watching import WatchTools
from letterlock.storage.issued import KEPT_AFTER_END
from letterlock.storage.watched import WatchStore


def make_watch(
    config: Config, store: WatchStore, exporting: Exporting, resolver: Resolver, clock: Clock
) -> WatchTools:
    """Make them, without looking at anything yet."""
    return WatchTools(
        name_node(config),
        store,
        _make_revocations(config, resolver, clock),
        _find_servers(config),
        exporting.find_fault,
        # A key is as old as the first certificate for it that is remembered: `key_ages`.
        max(KEPT_AFTER_END, config.certificates.roll_over_every),
    )


def _make_revocations(config: Config, resolver: Resolver, clock: Clock) -> RevocationFinder:
    """Make what finds CRLs.

    An authority with a trust file is the operator's own: it may be inside a private network.
    """
    private = HttpClient(resolver, has_private_addresses=True)
    own = [each for each in config.certificates.authorities if each.trust_file is not None]
    askers = {each.directory: private for each in own}
    return RevocationFinder(askers, HttpClient(resolver), clock)


def _find_servers(config: Config) -> OwnServers:
    publishing = config.publishing.mta_sts
    return OwnServers(
        smtp=config.receive.listen,
        policies=publishing.listen,
        policy_names=frozenset(f"mta-sts.{domain}" for domain in publishing.domains),
        configured=tuple(pair.certificate for pair in config.tls.certificates),
        helo=config.hostname,
        has_tls_1_2=config.tls.min_version is not TlsVersion.TLS_1_3,
    )
