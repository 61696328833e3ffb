"""What is known here of the domains that we publish records for, as the settings say."""

from collections.abc import Callable, Iterator
from ipaddress import ip_address

from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.config.publishing import OwnPolicySection
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.network.key_pairs import find_server_names, load_chain
from letterlock.network.own_addresses import find_outgoing_addresses
from letterlock.network.public_addresses import is_public
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.services.publish.records import IpAddress, OwnDomain, OwnHost

Chain = tuple[bytes, ...]


def describe_domain(
    config: Config,
    domain: Domain,
    find_addresses: Callable[[], tuple[IpAddress, ...]] = find_outgoing_addresses,
) -> OwnDomain:
    """Say what is known of one of our domains. Raises LocalError for a certificate's file.

    `find_addresses` is asked where the settings name no address.
    """
    deliver = config.deliver
    sources = (deliver.source_ipv4, deliver.source_ipv6)
    return OwnDomain(
        domain,
        hosts=tuple(
            describe_host(config, find_addresses)
            if name == config.hostname
            else OwnHost(name, False)  # noqa: FBT003
            for name in list_mx_hosts(config)
        ),
        policy=make_policy(config) if domain in config.publishing.mta_sts.domains else None,
        tls_reports=config.publishing.tls_reports,
        senders=tuple(address for address in sources if address is not None),
        is_relayed=deliver.relayhost is not None,
    )


def list_mx_hosts(config: Config) -> tuple[Domain, ...]:
    """List the MX hosts of our domains, the best first."""
    return config.publishing.mx_hosts or (config.hostname,)


def make_policy(config: Config) -> MtaStsPolicy:
    """Make the MTA-STS policy of our domains: one for all."""
    section: OwnPolicySection = config.publishing.mta_sts
    patterns: tuple[str, ...] = section.mx or list_mx_hosts(config)
    return MtaStsPolicy(MtaStsMode(section.mode), patterns, section.max_age)


def describe_host(
    config: Config,
    find_addresses: Callable[[], tuple[IpAddress, ...]] = find_outgoing_addresses,
) -> OwnHost:
    """Say what is known of this host. Raises LocalError for a certificate's file."""
    return OwnHost(
        config.hostname,
        addresses=config.publishing.addresses or tuple(_find_addresses(config, find_addresses)),
        chains=find_chains(config),
    )


def find_chains(config: Config) -> tuple[Chain, ...]:
    """Read the chains that a client gets who asks for our host name: DER, leaf first.

    As `network.server_certificates` chooses: one of each type of key; without the name the first.
    """
    pairs = [load_chain(pair.certificate) for pair in config.tls.certificates]
    wildcard = f"*.{config.hostname.partition('.')[2]}"
    exact = [pair for pair in pairs if config.hostname in find_server_names(pair[0])]
    wide = [pair for pair in pairs if wildcard in find_server_names(pair[0])]
    chosen: dict[type, Chain] = {}
    for pair in [*exact, *wide] or pairs[:1]:
        chain = tuple(certificate.public_bytes(Encoding.DER) for certificate in pair)
        chosen.setdefault(type(pair[0].public_key()), chain)
    return tuple(chosen.values())


def _find_addresses(
    config: Config, find_addresses: Callable[[], tuple[IpAddress, ...]]
) -> Iterator[IpAddress]:
    found = [ip_address(listen.host) for listen in config.receive.listen]
    versions = {address.version for address in found if address.is_unspecified}
    if versions:
        found += [address for address in find_addresses() if address.version in versions]
    public = [address for address in found if is_public(address)]
    yield from dict.fromkeys([*public, *config.deliver.own_addresses])
