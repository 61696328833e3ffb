"""What gets certificates, as the settings say: for the process that keeps them, and for commands.

Everything is in the node's database, so that it does not matter who asks an authority, nor where
the authority comes to look.
"""

import random
from collections.abc import Iterator, Sequence

from letterlock.base.clock import Clock
from letterlock.base.config.certificates import Authority as AuthoritySettings
from letterlock.base.config.choices import ChallengeKind, KeyKind
from letterlock.base.config.dns_changes import DnsChangeMethod
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.sections import Config
from letterlock.base.log import Log
from letterlock.network.acme_client import AcmeClient
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.dns import Resolver
from letterlock.network.https_client import HttpsClient
from letterlock.node.certificate_stores import CertificateStores
from letterlock.node.dns_changes import DnsChanges, make_dns_changes
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.protocols.acme.jws import ExternalAccount, KeyUnusable, parse_mac_key
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.certify.accounts import Accounts
from letterlock.services.certify.authority import Authority, Terms
from letterlock.services.certify.issuing import Issuer
from letterlock.services.certify.left import LeftOrders
from letterlock.services.certify.overview import Wanted
from letterlock.services.certify.renewing import Renewer, Source
from letterlock.services.certify.solvers import Solver
from letterlock.services.certify.solving.alpn import AlpnSolver
from letterlock.services.certify.solving.http import HttpSolver
from letterlock.services.certify.solving.stored import OwnListeners
from letterlock.services.certify.solving.webroot import WebrootSolver
from letterlock.services.certify.tlsa_zone import OwnTlsaRecords
from letterlock.services.certify.tools import Tools
from letterlock.services.certify.waits import Waits
from letterlock.services.deliver.anchors import AnchorFiles
from letterlock.services.discover.caa import CaaFinder
from letterlock.storage.certificates import CertificateId
from letterlock.storage.challenges import ChallengeStore

_KEY_TYPES = {KeyKind.ECDSA: KeyType.ECDSA, KeyKind.RSA: KeyType.RSA}


def list_wanted(config: Config) -> tuple[CertificateId, ...]:
    """List the certificates that the node keeps: the settings' names, and nothing on demand."""
    if not config.certificates.authorities:
        return ()
    names = [
        config.hostname,
        *(f"mta-sts.{domain}" for domain in config.publishing.mta_sts.domains),
        *config.certificates.names,
    ]
    key_types = [_KEY_TYPES[kind] for kind in config.certificates.key_types]
    return tuple(CertificateId(name, kind) for name in dict.fromkeys(names) for kind in key_types)


def find_settings(config: Config) -> Wanted:
    """Give what the settings say of certificates, for showing them."""
    return Wanted(
        list_wanted(config),
        tuple(each.directory for each in config.certificates.authorities),
        config.certificates.takeover_after,
        is_dns_ours=config.dns_changes.method in {DnsChangeMethod.UPDATE, DnsChangeMethod.EXEC},
    )


def load_terms(config: Config) -> dict[str, Terms]:
    """Load what we say to each authority. Raises SettingFaults for a key that can't be used."""
    contacts = (f"mailto:{config.contact}",)
    return {
        section.directory: Terms(contacts, section.agree_to_terms, load_external(index, section))
        for index, section in enumerate(config.certificates.authorities)
    }


def make_tools(
    config: Config, stores: CertificateStores, resolver: Resolver, clock: Clock, log: Log
) -> Tools:
    """Make what certificates are tended with. Raises LocalError for keys that can't be used."""
    section = config.certificates
    random_source = random.SystemRandom()
    changes = make_dns_changes(config.dns_changes, resolver, clock)
    solvers = _make_solvers(config, stores.challenges, changes, clock, log)
    clients = {each.directory: make_https(each, resolver, clock) for each in section.authorities}
    accounts = Accounts(
        stores.accounts,
        lambda directory: AcmeClient(clients[directory], parse_url(directory), clock),
        load_terms(config),
        clock,
    )

    def make_issuer(authority: Authority, methods: Sequence[ChallengeType]) -> Issuer:
        usable = [solver for method in methods for solver in solvers if solver.kind == method]
        return Issuer(authority, usable, clock)

    zone = OwnTlsaRecords(resolver, changes.finder, changes.tlsa_changer)
    renewer = Renewer(
        sources={
            each.directory: Source(each.directory, each.profile, each.top_issuer)
            for each in section.authorities
        },
        accounts=accounts,
        make_issuer=make_issuer,
        methods=tuple(solver.kind for solver in solvers),
        issued=stores.issued,
        zone=zone,
        # A public authority refuses names of a private network by itself.
        caa=CaaFinder(resolver, clock, may_lack_top=True),
        clock=clock,
        left=LeftOrders(clock),
    )
    return Tools(
        store=stores.certificates,
        issued=stores.issued,
        renewer=renewer,
        accounts=accounts,
        zone=zone,
        directories=tuple(each.directory for each in section.authorities),
        takeover_after=section.takeover_after,
        clock=clock,
        log=log,
        chance=random_source.random,
        watched=stores.watched,
        waits=Waits(clock),
    )


def make_https(section: AuthoritySettings, resolver: Resolver, clock: Clock) -> HttpsClient:
    """Make what asks an authority."""
    files = () if section.trust_file is None else (section.trust_file,)
    anchors = AnchorFiles(files, clock.monotonic)
    # The operator named it: an authority inside a private network is as good as any.
    return HttpsClient(resolver, ClientContexts(), anchors.load, clock, has_private_addresses=True)


def _make_solvers(
    config: Config, store: ChallengeStore, changes: DnsChanges, clock: Clock, log: Log
) -> list[Solver]:
    """Make one for each way to prove names, in the order of the settings."""
    section = config.certificates

    def make(kind: ChallengeKind) -> Iterator[Solver]:
        match kind:
            case ChallengeKind.HTTP if section.webroot is not None:
                yield WebrootSolver(section.webroot, clock)
            case ChallengeKind.HTTP:
                yield HttpSolver(store, clock, OwnListeners(section.http_listen))
            case ChallengeKind.ALPN:
                yield AlpnSolver(store, clock, OwnListeners(section.alpn_listen))
            case ChallengeKind.DNS:
                if (solver := changes.make_solver(log)) is not None:
                    yield solver

    return [solver for kind in section.challenges for solver in make(kind)]


def load_external(index: int, section: AuthoritySettings) -> ExternalAccount | None:
    """Load the key of an external account; `index` is the authority's in the settings.

    Raises SettingFaults.
    """
    if section.eab_key_id is None or section.eab_key_file is None:
        return None
    key = ("certificates", "authorities", index, "eab_key_file")
    try:
        text = section.eab_key_file.read_text("ascii")
        mac_key = parse_mac_key(text.strip())
    except OSError as error:
        raise refuse_setting(key, f"{section.eab_key_file}: {error.strerror}") from error
    except (UnicodeDecodeError, KeyUnusable) as error:
        message = f"{section.eab_key_file}: a MAC key is base64url of at least 16 octets"
        raise refuse_setting(key, message) from error
    return ExternalAccount(section.eab_key_id, mac_key, section.eab_algorithm.value)
