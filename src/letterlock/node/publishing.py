"""What is known here of the domains that we publish records for: settings, files, and the store."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.clock import Clock
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.network.acme_client import AcmeClient, AcmeFailed
from letterlock.network.dns import Resolver
from letterlock.network.key_pairs import find_server_names, load_chain
from letterlock.network.own_addresses import find_outgoing_addresses
from letterlock.network.public_addresses import is_public
from letterlock.node.certificate_stores import CertificateStores, make_stores
from letterlock.node.certifying import make_https
from letterlock.node.shared_database import name_command
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.publish.policies import find_held_hosts
from letterlock.services.publish.records import (
    POLICY_HOST_LABEL,
    AcmeAccount,
    DkimKey,
    IpAddress,
    OwnDomain,
    OwnHost,
    below,
)
from letterlock.storage.certificate_files import CertificateFiles
from letterlock.storage.certificates import CertificateId, RollOver, RollOverStage
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.served_policies import ServedPolicy

Chain = tuple[bytes, ...]
"""DER, leaf first."""

FindAddresses = Callable[[], tuple[IpAddress, ...]]


@dataclass(frozen=True, slots=True)
class Kept:
    """What the node keeps that bears on a domain's records. `notes` say what could not be found."""

    served: tuple[ServedPolicy, ...] = ()
    roll_overs: tuple[RollOver, ...] = ()
    accounts: tuple[AcmeAccount, ...] = ()
    dkim_keys: tuple[DkimKey, ...] = ()
    post_address: str | None = None
    notes: tuple[str, ...] = field(default=())


NOTHING_KEPT = Kept()


def describe_domain(
    config: Config,
    domain: Domain,
    chains: tuple[Chain, ...],
    kept: Kept,
    now: datetime,
    find_addresses: FindAddresses = find_outgoing_addresses,
) -> OwnDomain:
    """Say what is known of one of our domains. `chains` are those of `find_chains`.

    `find_addresses` is asked where the settings name no address.
    """
    deliver, hosts = config.deliver, list_mx_hosts(config)
    here = describe_host(config, chains, kept, find_addresses)
    sources = (deliver.source_ipv4, deliver.source_ipv6)
    is_policy_ours = domain in config.publishing.mta_sts.domains
    policy_host = below(POLICY_HOST_LABEL, domain) if is_policy_ours else None
    return OwnDomain(
        domain,
        hosts=tuple(
            here if name == config.hostname else OwnHost(name, is_here=False) for name in hosts
        ),
        policy=make_policy(config) if is_policy_ours else None,
        tls_reports=_list_report_uris(config, domain, kept.post_address),
        accounts=kept.accounts,
        senders=tuple(address for address in sources if address is not None),
        is_relayed=deliver.relayhost is not None,
        held_hosts=find_held_hosts(kept.served, hosts, now),
        served=kept.served,
        certificate_names=(config.hostname, *([policy_host] if policy_host else [])),
        dkim_keys=kept.dkim_keys,
    )


def _list_report_uris(config: Config, domain: Domain, posted: str | None) -> tuple[str, ...]:
    """List where reports go: mail first, which proves who wrote it, since some send to one only."""
    uris = config.publishing.tls_reports
    if posted is None or posted in uris:
        return uris
    return (*(uris or (f"mailto:postmaster@{domain}",)), posted)


def list_mx_hosts(config: Config) -> tuple[Domain, ...]:
    """List the MX hosts of our domains, the best first."""
    return config.publishing.mx_hosts or (config.hostname,)


def make_policy(config: Config) -> MtaStsPolicy:
    """Make the MTA-STS policy of our domains: one for all."""
    section = config.publishing.mta_sts
    patterns: tuple[str, ...] = section.mx or list_mx_hosts(config)
    return MtaStsPolicy(MtaStsMode(section.mode), patterns, section.max_age)


def describe_host(
    config: Config,
    chains: tuple[Chain, ...],
    kept: Kept,
    find_addresses: FindAddresses = find_outgoing_addresses,
) -> OwnHost:
    """Say what is known of this host."""
    past = [each for each in kept.roll_overs if each.stage is RollOverStage.SWITCHED]
    return OwnHost(
        config.hostname,
        addresses=config.publishing.addresses or tuple(_find_addresses(config, find_addresses)),
        chains=chains,
        next_keys=tuple(each.spki_sha256 for each in kept.roll_overs if each not in past),
        past_keys=tuple(each.spki_sha256 for each in past),
    )


def find_chains(config: Config) -> tuple[Chain, ...]:
    """Read the chains that a client gets who asks for our host name, one of each type of key.

    As `network.server_certificates` chooses them; without one for the name the first. Raises
    LocalError. To be read before becoming the data's owner, who may not be allowed to.
    """
    configured = [pair.certificate for pair in config.tls.certificates]
    files = CertificateFiles(config.certificates_dir)
    managed = list(_find_managed(config, files)) if config.certificates.authorities else []
    pairs = [load_chain(path) for path in (*configured, *managed)]
    if not pairs and _is_there(files.self_signed[0]):
        pairs = [load_chain(files.self_signed[0])]
    wildcard = f"*.{config.hostname.partition('.')[2]}"
    exact = [pair for pair in pairs if config.hostname in find_server_names(pair[0])]
    wide = [pair for pair in pairs if wildcard in find_server_names(pair[0])]
    chosen: dict[type, Chain] = {}
    for pair in [*exact, *wide] or pairs[:1]:
        chain = tuple(certificate.public_bytes(Encoding.DER) for certificate in pair)
        chosen.setdefault(type(pair[0].public_key()), chain)
    return tuple(chosen.values())


async def load_kept(config: Config, domain: Domain, resolver: Resolver, clock: Clock) -> Kept:
    """Look beside a running node what it keeps; an authority is asked for its name in CAA records.

    Nothing where no node ever was. What can't be read is in the notes.
    """
    try:
        if config.queue.engine is QueueEngine.SQLITE and not _is_there(config.node_database):
            return NOTHING_KEPT
        stores = make_stores(config, name_command(config), clock)
        await stores.database.open()
    except (LocalError, StoreUnavailable) as error:
        return Kept(notes=(_explain_unreadable(error),))
    try:
        served = await stores.served.list_served(domain, clock.now())
        roll_overs = await _list_roll_overs(config, stores)
        urls = {each.directory: each.url for each in await stores.accounts.list_accounts()}
    except StoreUnavailable as error:
        return Kept(notes=(_explain_unreadable(error),))
    finally:
        await stores.database.close()
    accounts, notes = await _find_accounts(config, urls, resolver, clock)
    return Kept(tuple(served), tuple(roll_overs), tuple(accounts), notes=tuple(notes))


def _find_managed(config: Config, files: CertificateFiles) -> Iterator[Path]:
    """Give the chains that the node got for its own name, as far as they are there."""
    for key_type in (KeyType.ECDSA, KeyType.RSA):
        path, _ = files.paths(CertificateId(config.hostname, key_type))
        if _is_there(path):
            yield path


async def _list_roll_overs(config: Config, stores: CertificateStores) -> list[RollOver]:
    """List the changes of keys of the host that are under way."""
    if not config.certificates.authorities:
        return []
    which = [CertificateId(config.hostname, kind) for kind in (KeyType.ECDSA, KeyType.RSA)]
    states = [await stores.certificates.load(each) for each in which]
    return [state.rollover for state in states if state is not None and state.rollover is not None]


async def _find_accounts(
    config: Config, urls: dict[str, str | None], resolver: Resolver, clock: Clock
) -> tuple[list[AcmeAccount], list[str]]:
    """Find our accounts, with the authorities' names in CAA records, which they tell themselves."""
    accounts, notes = [], []
    methods = tuple(kind.value for kind in config.certificates.challenges)
    for section in config.certificates.authorities:
        url = urls.get(section.directory)
        if url is None:
            continue
        https = make_https(section, resolver, clock)
        directory = await AcmeClient(https, parse_url(section.directory), clock).fetch_directory()
        if isinstance(directory, AcmeFailed):
            notes.append(f"CAA: not known, since {section.directory} fails: {directory.reason}")
        elif not directory.caa_identities:
            notes.append(f"CAA: {section.directory} does not say its name in CAA records")
        else:
            accounts.append(AcmeAccount(directory.caa_identities[0], url, methods))
    return accounts, notes


def _find_addresses(config: Config, find_addresses: FindAddresses) -> Iterator[IpAddress]:
    found: Sequence[IpAddress] = [ip_address(listen.host) for listen in config.receive.listen]
    versions = {address.version for address in found if address.is_unspecified}
    if versions:
        found = [*found, *(each for each in find_addresses() if each.version in versions)]
    public = [address for address in found if is_public(address)]
    yield from dict.fromkeys([*public, *config.deliver.own_addresses])


def _is_there(path: Path) -> bool:
    """Look for a file. Raises LocalError where that can't be seen."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror}") from error
    return True


def _explain_unreadable(error: Exception) -> str:
    return (
        "what the node keeps (accounts, roll-overs, policies served) cannot be read by this "
        f"command: {error}"
    )
