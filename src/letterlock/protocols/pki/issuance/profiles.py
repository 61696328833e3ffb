"""Profiles of server certificates: how long, for which keys, for which names.

RFC 5280 §4.2.1.10 (name constraints), Baseline Requirements 4.2.2 and 7.1.2.7 (names, uses), 6.3.2
(validity). A private network says with `NameRules` which names its authority is for: they bind
each order, and stand as name constraints in the authority's own certificate.
"""

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network

from cryptography import x509

from letterlock.base.domains import MAX_DOMAIN_OCTETS, Domain
from letterlock.protocols.pki.issuance.subject_keys import KEY_KINDS, KeyKind
from letterlock.protocols.pki.names import CertificateNames, IpAddress

IpNetwork = IPv4Network | IPv6Network

MIN_LIFETIME = timedelta(days=6)
MAX_LIFETIME = timedelta(days=200)
MAX_BACKDATED = timedelta(hours=48)
"""Baseline Requirements 7.1.2.7: notBefore lies within 48 hours of the signature."""
MAX_NAMES = 100
DOMAIN_VALIDATED = x509.ObjectIdentifier("2.23.140.1.2.1")
"""Baseline Requirements 7.1.6.1: somebody showed control of each name, and no more is known."""
MAX_FAULTS_SHOWN = 20

_ALL_NETWORKS: tuple[IpNetwork, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_WILDCARD = "*."
# What a host is called. Of labels with hyphens in the third and fourth place only
# A-labels are names (RFC 5890 §2.3.1).
_HOST_LABEL = re.compile(r"(?!..--|-)[a-z0-9-]{1,63}(?<!-)|xn--[a-z0-9-]{0,58}[a-z0-9]")
_REVERSE = (".in-addr.arpa", ".ip6.arpa")


@dataclass(frozen=True, slots=True)
class NameRules:
    """Which names an authority is for. With nothing permitted all are that are not excluded.

    A domain stands for itself and all names below it, as in RFC 5280 §4.2.1.10; where a domain or
    a network is permitted, names and addresses that are in none of them are refused.
    """

    permitted_domains: tuple[Domain, ...] = ()
    permitted_networks: tuple[IpNetwork, ...] = ()
    excluded_domains: tuple[Domain, ...] = ()
    excluded_networks: tuple[IpNetwork, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether nothing is permitted by name, and so all is."""
        return not (self.permitted_domains or self.permitted_networks)


@dataclass(frozen=True, slots=True)
class Profile:
    """What certificates of one kind are like. Raises ValueError for what must not be."""

    name: str
    lifetime: timedelta = timedelta(days=90)
    """From the first second of validity to the last, both counted; backdating is part of it."""
    backdated: timedelta = timedelta(hours=1)
    """How long before its making a certificate becomes valid: for clocks that are slow."""
    key_kinds: frozenset[KeyKind] = KEY_KINDS
    max_names: int = MAX_NAMES
    has_common_name: bool = False
    """Whether the first name that fits becomes the common name; the subject is empty without."""
    has_client_auth: bool = False
    """Whether servers may show the certificate as clients too. Public authorities ended it."""
    may_have_wildcards: bool = True
    may_have_addresses: bool = True
    may_have_single_labels: bool = False
    """Names without a dot: on a private network only."""
    public_suffixes: Container[str] = frozenset()
    """Names right below which no wildcard may stand; `public_suffixes` has the public ones."""
    policy: x509.ObjectIdentifier = DOMAIN_VALIDATED
    rules: NameRules = field(default_factory=NameRules)

    def __post_init__(self) -> None:
        if not MIN_LIFETIME <= self.lifetime <= MAX_LIFETIME:
            raise ValueError(f"profile {self.name}: certificates are valid for 6 to 200 days")
        if not timedelta() <= self.backdated <= MAX_BACKDATED:
            raise ValueError(f"profile {self.name}: at most 48 hours may be backdated")
        if not 1 <= self.max_names <= MAX_NAMES:
            raise ValueError(f"profile {self.name}: a certificate has 1 to {MAX_NAMES} names")
        if not self.key_kinds or not self.key_kinds <= KEY_KINDS:
            raise ValueError(f"profile {self.name}: kinds of keys are {', '.join(KEY_KINDS)}")


def find_name_faults(names: CertificateNames, profile: Profile) -> dict[str, str]:
    """Say which names a certificate of a profile cannot have, and why each, in one line.

    Names are in the form of an order: lower case, a wildcard with its asterisk. Says of the first
    MAX_FAULTS_SHOWN. The number of names is `is_countable`'s.
    """
    found: dict[str, str] = {}
    for text, fault in _name_faults(names, profile):
        found.setdefault(text, fault)
        if len(found) == MAX_FAULTS_SHOWN:
            break
    return found


def is_countable(names: CertificateNames, profile: Profile) -> bool:
    """Whether a certificate of a profile may have so many names: one at least."""
    return 1 <= len(names.texts) <= profile.max_names


def make_name_constraints(rules: NameRules) -> x509.NameConstraints | None:
    """Make the constraints of an authority's certificate; None for rules that bind nothing.

    RFC 5280 §4.2.1.10: a kind of name that no permitted subtree is about is not bound. So of two
    kinds the one of which nothing is permitted is excluded as a whole.
    """
    permitted: list[x509.GeneralName] = [x509.DNSName(each) for each in rules.permitted_domains]
    permitted += [x509.IPAddress(each) for each in rules.permitted_networks]
    excluded: list[x509.GeneralName] = [x509.DNSName(each) for each in rules.excluded_domains]
    excluded += [x509.IPAddress(each) for each in rules.excluded_networks]
    if not rules.is_open and not rules.permitted_domains:
        # The empty name: every name is below it.
        excluded.append(x509.DNSName(""))
    if not rules.is_open:
        versions = {each.version for each in rules.permitted_networks}
        excluded += [x509.IPAddress(each) for each in _ALL_NETWORKS if each.version not in versions]
    if not permitted and not excluded:
        return None
    return x509.NameConstraints(permitted or None, excluded or None)


def _name_faults(names: CertificateNames, profile: Profile) -> Iterator[tuple[str, str]]:
    for text in names.dns:
        if (fault := _find_domain_fault(text, profile)) is not None:
            yield text, fault
    for ip in names.ips:
        if not profile.may_have_addresses:
            yield str(ip), "no certificates for IP addresses are issued"
        elif not _is_address_permitted(ip, profile.rules):
            yield str(ip), "this authority is not for the address"


def _find_domain_fault(text: str, profile: Profile) -> str | None:
    base = text.removeprefix(_WILDCARD)
    if base != text and not profile.may_have_wildcards:
        return "no certificates for wildcards are issued"
    if (fault := _find_host_fault(base)) is not None:
        return fault
    if base != text and base in profile.public_suffixes:
        return "a wildcard right below a public suffix would speak for everybody's names"
    if "." not in base and not (profile.may_have_single_labels and base == text):
        return "it has no dot: such a name belongs to no one"
    if not _is_domain_permitted(text, base, profile.rules):
        return "this authority is not for the name"
    return None


def _find_host_fault(name: str) -> str | None:
    labels = name.split(".")
    if len(name) > MAX_DOMAIN_OCTETS or not all(_HOST_LABEL.fullmatch(each) for each in labels):
        return "it is not the name of a host: lower-case letters, digits and hyphens in labels"
    if labels[-1].isdigit():
        return "its last label is a number"
    if f".{name}".endswith(_REVERSE):
        return "it is a name of the reverse tree (Baseline Requirements 4.2.2)"
    return None


def _is_domain_permitted(text: str, base: str, rules: NameRules) -> bool:
    if _is_below(base, rules.excluded_domains):
        return False
    # `*.example.com` would speak for the excluded `mail.example.com`.
    if text != base and base in {each.partition(".")[2] for each in rules.excluded_domains}:
        return False
    return rules.is_open or _is_below(base, rules.permitted_domains)


def _is_address_permitted(ip: IpAddress, rules: NameRules) -> bool:
    if any(ip in network for network in rules.excluded_networks):
        return False
    return rules.is_open or any(ip in network for network in rules.permitted_networks)


def _is_below(name: str, domains: Iterable[str]) -> bool:
    return any(name == domain or name.endswith(f".{domain}") for domain in domains)
