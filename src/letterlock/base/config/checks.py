"""What must hold between several settings; what one key may hold is in its type (`sections`)."""

from collections.abc import Iterator, Sequence

from letterlock.base.config.authority import CaSection
from letterlock.base.config.certificates import CertificatesSection
from letterlock.base.config.choices import ChallengeKind, LogFormat, LogSink, QueueEngine
from letterlock.base.config.conflicts import Conflict
from letterlock.base.config.dkim import DkimAlgorithm
from letterlock.base.config.dns_changes import DnsChangeMethod, DnsChangesSection
from letterlock.base.config.filters import Milter, Rspamd
from letterlock.base.config.inbound_checks import find_inbound_conflicts
from letterlock.base.config.locate import KeyPath
from letterlock.base.config.logs import LogSection
from letterlock.base.config.sections import Config
from letterlock.base.config.values import Network, format_duration

LEAST_PREFIX = {4: 8, 6: 7}
"""The widest networks that somebody can own: 10.0.0.0/8 and fc00::/7. Wider is an open relay."""
_TRUSTED = (
    ("receive", "relay_from"),
    ("receive", "bare_newline_exceptions"),
    ("receive", "proxy_from"),
    ("receive", "xclient_from"),
    ("receive", "xforward_from"),
    ("submission", "proxy_from"),
    ("submission", "xclient_from"),
)


def find_conflicts(config: Config) -> list[Conflict]:
    """Find every contradiction."""
    return [
        *_check_domains(config),
        *_check_receive(config),
        *_check_submission(config),
        *_check_filters(config),
        *_check_mailboxes(config),
        *_check_queue(config),
        *_check_deliver(config),
        *_check_policy_service(config),
        *_check_certificates(config),
        *_check_dns_changes(config.dns_changes),
        *_check_publishing(config),
        *_check_dkim(config),
        *find_inbound_conflicts(config),
        *_check_posts(config),
        *_check_authority(config.ca),
        *_check_log(config.log),
    ]


def _check_log(section: LogSection) -> Iterator[Conflict]:
    to = ("log", "to")
    if section.to is LogSink.FILE and section.file is None:
        yield Conflict(("log", "file"), 'must be set for to = "file"', (to, ("log",)))
    if section.format is LogFormat.JSON and section.to in (LogSink.JOURNAL, LogSink.SYSLOG):
        others = (to, ("log",))
        message = f'"json" is for "stderr" and "file"; to = "{section.to}" has a form of its own'
        yield Conflict(("log", "format"), message, others)


def _check_domains(config: Config) -> Iterator[Conflict]:
    if not config.domains:
        # RFC 5321 §4.5.1: postmaster's mail must end somewhere.
        yield Conflict(("domains",), "must hold at least one domain")
    for index in _find_repeated(config.domains):
        yield Conflict(("domains", index), "stands here twice")


def _check_receive(config: Config) -> Iterator[Conflict]:
    receive = config.receive
    for section, key in _TRUSTED:
        networks: tuple[Network, ...] = getattr(getattr(config, section), key)
        for index, network in enumerate(networks):
            if network.prefixlen < LEAST_PREFIX[network.version]:
                danger = "would be an open relay" if key == "relay_from" else "is too wide"
                yield Conflict((section, key, index), f"{network} {danger}")
    for index in _find_repeated(receive.listen):
        yield Conflict(("receive", "listen", index), "stands here twice")
    if receive.session_timeout < receive.idle_timeout:
        yield Conflict(
            ("receive", "session_timeout"),
            f"must not be less than idle_timeout ({format_duration(receive.idle_timeout)})",
            (("receive", "idle_timeout"),),
        )
    has_certificates = config.tls.certificates or config.certificates.authorities
    if receive.require_tls and not has_certificates:
        yield Conflict(
            ("receive", "require_tls"),
            "needs a certificate in tls.certificates",
            (("tls", "certificates"), ("tls",)),
        )


def _check_submission(config: Config) -> Iterator[Conflict]:
    section = config.submission
    enabled = ("submission", "enabled")
    has_certificates = config.tls.certificates or config.certificates.authorities
    if section.enabled and not has_certificates:
        message = "needs a certificate: tls.certificates, or certificates.authorities"
        yield Conflict(enabled, message, (("tls", "certificates"), ("tls",)))
    if section.enabled and not (section.listen or section.listen_starttls):
        yield Conflict(enabled, "needs addresses in listen or listen_starttls")
    taken = {("receive", "listen"): config.receive.listen}
    for key in ("listen", "listen_starttls"):
        path, addresses = ("submission", key), getattr(section, key)
        for index in _find_repeated(addresses):
            yield Conflict((*path, index), "stands here twice")
        for index, address in enumerate(addresses):
            for other, theirs in taken.items():
                if address.port and address in theirs:
                    text = f"{address} is in {'.'.join(other)} already"
                    yield Conflict((*path, index), text, (other,))
        taken[path] = addresses


def _check_filters(config: Config) -> Iterator[Conflict]:
    section = config.filter
    for index in _find_repeated([each.address for each in section.milters]):
        yield Conflict(("filter", "milters", index, "address"), "stands here twice")
    for index in _find_repeated([each.url for each in section.rspamd]):
        yield Conflict(("filter", "rspamd", index, "url"), "stands here twice")
    lists: dict[str, Sequence[Milter | Rspamd]]
    lists = {"milters": section.milters, "rspamd": section.rspamd}
    for key, filters in lists.items():
        for index, each in enumerate(filters):
            path: KeyPath = ("filter", key, index, "mail")
            if not each.mail:
                yield Conflict(path, "must hold at least one: outside, submission or local")
            for again in _find_repeated(each.mail):
                yield Conflict((*path, again), "stands here twice")
    for index, network in enumerate(section.exempt):
        if network.prefixlen < LEAST_PREFIX[network.version]:
            yield Conflict(("filter", "exempt", index), f"{network} is too wide")


def _check_mailboxes(config: Config) -> Iterator[Conflict]:
    local = config.local
    for index, mailbox in enumerate(local.mailboxes):
        domain = mailbox.partition("@")[2]
        if domain and domain not in config.domains:
            yield Conflict(
                ("local", "mailboxes", index), f"{domain} is not in domains", (("domains",),)
            )
    for index in _find_repeated(local.mailboxes):
        yield Conflict(("local", "mailboxes", index), "stands here twice")
    if local.postmaster not in (None, "postmaster", *local.mailboxes):
        yield Conflict(
            ("local", "postmaster"),
            f"{local.postmaster} is not in mailboxes",
            (("local", "mailboxes"),),
        )


def _check_queue(config: Config) -> Iterator[Conflict]:
    queue = config.queue
    if queue.retry_max < queue.retry_min:
        yield Conflict(
            ("queue", "retry_max"),
            f"must not be less than retry_min ({format_duration(queue.retry_min)})",
            (("queue", "retry_min"),),
        )
    has_url = queue.url is not None
    has_url_file = queue.url_file is not None
    if has_url and has_url_file:
        yield Conflict(("queue", "url_file"), "must not be given beside url")
    if queue.engine is QueueEngine.POSTGRES and not (has_url or has_url_file):
        yield Conflict(
            ("queue", "engine"),
            "needs url or url_file, the address of the PostgreSQL database",
            (("queue", "url"), ("queue", "url_file")),
        )
    if queue.engine is QueueEngine.SQLITE and (has_url or has_url_file):
        key = "url" if has_url else "url_file"
        yield Conflict(("queue", key), 'goes with engine = "postgres" only', (("queue", "engine"),))


def _check_deliver(config: Config) -> Iterator[Conflict]:
    deliver = config.deliver
    if (deliver.client_certificate is None) != (deliver.client_key is None):
        key = "client_key" if deliver.client_key else "client_certificate"
        yield Conflict(
            ("deliver", key),
            "needs client_certificate and client_key, both",
            (("deliver", "client_certificate"), ("deliver", "client_key")),
        )
    if not deliver.families:
        yield Conflict(("deliver", "families"), 'must hold "ipv6", "ipv4" or both')
    for index in _find_repeated(deliver.families):
        yield Conflict(("deliver", "families", index), "stands here twice")


def _check_policy_service(config: Config) -> Iterator[Conflict]:
    service = config.policy_service
    if not service.listen and service.socket is None:
        yield Conflict(("policy_service", "listen"), "must hold an address, or socket be given")
    for index in _find_repeated(service.listen):
        yield Conflict(("policy_service", "listen", index), "stands here twice")


def _check_certificates(config: Config) -> Iterator[Conflict]:
    section = config.certificates
    for key in ("key_types", "challenges"):
        if not getattr(section, key):
            yield Conflict(("certificates", key), "must hold at least one")
    for key in ("names", "key_types", "challenges", "http_listen", "alpn_listen"):
        for index in _find_repeated(getattr(section, key)):
            yield Conflict(("certificates", key, index), "stands here twice")
    for index in _find_repeated([each.directory for each in section.authorities]):
        yield Conflict(("certificates", "authorities", index), "stands here twice")
    yield from _check_authorities(section)
    if ChallengeKind.DNS in section.challenges:
        if config.dns_changes.method is DnsChangeMethod.NONE:
            message = "dns-01 needs a method in dns_changes"
            place = section.challenges.index(ChallengeKind.DNS)
            yield Conflict(
                ("certificates", "challenges", place), message, (("dns_changes", "method"),)
            )
        return
    for index, name in enumerate(section.names):
        if name.startswith("*."):
            message = f"{name}: a wildcard can be proved by dns-01 only"
            yield Conflict(
                ("certificates", "names", index), message, (("certificates", "challenges"),)
            )


def _check_authorities(section: CertificatesSection) -> Iterator[Conflict]:
    for index, authority in enumerate(section.authorities):
        if (authority.eab_key_id is None) != (authority.eab_key_file is None):
            message = "needs eab_key_id and eab_key_file, both"
            yield Conflict(("certificates", "authorities", index), message)


def _check_publishing(config: Config) -> Iterator[Conflict]:
    hosts, policies = config.publishing.mx_hosts, config.publishing.mta_sts
    if hosts and config.hostname not in hosts:
        text = f"must hold hostname ({config.hostname})"
        yield Conflict(("publishing", "mx_hosts"), text, (("hostname",),))
    for index in _find_repeated(hosts):
        yield Conflict(("publishing", "mx_hosts", index), "stands here twice")
    path: KeyPath = ("publishing", "mta_sts", "domains")
    for index, domain in enumerate(policies.domains):
        if domain not in config.domains:
            yield Conflict((*path, index), f"{domain} is not in domains", (("domains",),))
    for index in _find_repeated(policies.domains):
        yield Conflict((*path, index), "stands here twice")
    if policies.domains and not policies.listen:
        yield Conflict(("publishing", "mta_sts", "listen"), "must hold an address")
    if policies.domains and policies.mx:
        for host in hosts or (config.hostname,):
            # RFC 8461 §4.1: `*` is one whole label.
            if not {host, f"*.{host.partition('.')[2]}"} & set(policies.mx):
                text = f"must list {host}, or others would not deliver to it"
                yield Conflict((*path[:-1], "mx"), text, (("publishing", "mx_hosts"),))


def _check_posts(config: Config) -> Iterator[Conflict]:
    if not config.tlsrpt.posts.enabled:
        return
    enabled: KeyPath = ("tlsrpt", "posts", "enabled")
    if not (config.tls.certificates or config.certificates.authorities):
        message = "needs a certificate: tls.certificates, or certificates.authorities"
        yield Conflict(enabled, message, (("tls", "certificates"), ("tls",)))
    if not config.publishing.mta_sts.listen:
        others: tuple[KeyPath, ...] = (("publishing", "mta_sts", "listen"),)
        yield Conflict(enabled, "needs an address in publishing.mta_sts.listen", others)


def _check_dkim(config: Config) -> Iterator[Conflict]:
    section = config.dkim
    if not section.algorithms:
        yield Conflict(("dkim", "algorithms"), 'must hold "rsa", "ed25519" or both')
    for key in ("domains", "algorithms"):
        for index in _find_repeated(getattr(section, key)):
            yield Conflict(("dkim", key, index), "stands here twice")
    selector, following = section.find_selector(config.hostname), section.next_selector
    suffix = f"-{DkimAlgorithm.ED25519}"
    if following in {selector, f"{selector}{suffix}"} or selector == f"{following}{suffix}":
        message = f"must be another than selector ({selector}), whose keys it would take"
        yield Conflict(("dkim", "next_selector"), message, (("dkim", "selector"),))


def _check_dns_changes(section: DnsChangesSection) -> Iterator[Conflict]:
    if section.method is DnsChangeMethod.EXEC and section.hook is None:
        message = 'must be given with method = "exec"'
        yield Conflict(("dns_changes", "hook"), message, (("dns_changes", "method"),))


def _check_authority(section: CaSection) -> Iterator[Conflict]:
    names = [each.name for each in section.profiles]
    if not names:
        yield Conflict(("ca", "profiles"), "must hold at least one")
    for index, profile in enumerate(section.profiles):
        for key in ("keys", "challenges"):
            if not getattr(profile, key):
                yield Conflict(("ca", "profiles", index, key), "must hold at least one")
    if section.default_profile not in (None, *names):
        message = f"{section.default_profile} is none of profiles"
        yield Conflict(("ca", "default_profile"), message, (("ca", "profiles"),))
    places = [each.name for each in section.validation.perspectives]
    for index in _find_repeated(names):
        yield Conflict(("ca", "profiles", index, "name"), "stands here twice")
    for index in _find_repeated(places):
        yield Conflict(("ca", "validation", "perspectives", index, "name"), "stands here twice")
    if section.validation.min_remotes > len(places):
        message = f"{len(places)} are in perspectives: nothing could ever be validated"
        others: tuple[KeyPath, ...] = (("ca", "validation", "perspectives"),)
        yield Conflict(("ca", "validation", "min_remotes"), message, others)
    yield from _check_public(section)
    if not section.listen:
        yield Conflict(("ca", "listen"), "must hold an address")
    yield from _check_authority_keys(section)
    yield from _check_authority_database(section)


def _check_public(section: CaSection) -> Iterator[Conflict]:
    """Find what only a private one may do without (Baseline Requirements 3.2.2.8.1, 4.2.2)."""
    if not section.public:
        return
    others: tuple[KeyPath, ...] = (("ca", "public"),)
    if not section.validation.needs_dnssec:
        message = "a public authority validates DNSSEC"
        yield Conflict(("ca", "validation", "needs_dnssec"), message, others)
    if section.validation.private_names:
        message = "a public authority issues for names of the public DNS only"
        yield Conflict(("ca", "validation", "private_names"), message, others)


def _check_authority_keys(section: CaSection) -> Iterator[Conflict]:
    token = section.pkcs11
    if token.module is not None and token.token is None:
        yield Conflict(("ca", "pkcs11", "token"), "must be given with module", (("ca", "pkcs11"),))
    for index, issuer in enumerate(section.issuers):
        if (issuer.key is None) == (issuer.token_key is None):
            yield Conflict(("ca", "issuers", index), "needs either key or token_key")
        if issuer.token_key is not None and token.module is None:
            message = "needs module in [ca.pkcs11]"
            others: tuple[KeyPath, ...] = (("ca", "pkcs11", "module"),)
            yield Conflict(("ca", "issuers", index, "token_key"), message, others)


def _check_authority_database(section: CaSection) -> Iterator[Conflict]:
    has_url, has_file = section.database_url is not None, section.database_url_file is not None
    if has_url and has_file:
        yield Conflict(("ca", "database_url_file"), "must not be given beside database_url")
    if section.database is QueueEngine.POSTGRES and not (has_url or has_file):
        others = (("ca", "database_url"), ("ca", "database_url_file"))
        yield Conflict(("ca", "database"), "needs database_url or database_url_file", others)
    if section.database is QueueEngine.SQLITE and (has_url or has_file):
        key = "database_url" if has_url else "database_url_file"
        message = 'goes with database = "postgres" only'
        yield Conflict(("ca", key), message, (("ca", "database"),))


def _find_repeated(items: Sequence[object]) -> list[int]:
    return [index for index, item in enumerate(items) if item in items[:index]]
