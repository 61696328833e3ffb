"""Names in certificates: whether one speaks for the host we wanted.

RFC 9525 §6.3 (domain names), §6.4 (addresses), §2 (the common name is never looked at). Ours and
not a library's: one odd name in a certificate must not spoil its good ones. Which names are wanted
is decided in `protocols.policy`; the common name that DANE-TA allows (RFC 7672 §3.2.3) is not here.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from letterlock.base.domains import MAX_DOMAIN_OCTETS, Domain, DomainError, parse_domain

IpAddress = IPv4Address | IPv6Address

MAX_NAMES_SHOWN = 5

# RFC 9525 §6.3: the wildcard is the whole left-most label. Labels as in `base.domains`.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PRESENTED = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\Z")


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """The subjectAltName's dNSName and iPAddress entries, as they stand in the certificate."""

    dns: tuple[str, ...] = ()
    ips: tuple[IpAddress, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        return self.dns + tuple(str(ip) for ip in self.ips)


@dataclass(frozen=True, slots=True)
class Match:
    """Which reference identifier was met, and by which name of the certificate."""

    reference: str
    presented: str


def find_match(names: CertificateNames, references: Iterable[str]) -> Match | None:
    """Find the first reference that a name of the certificate meets.

    A reference is a domain name (with U-labels or A-labels, with or without a final dot),
    `.example.com` for every name below it at any depth (Postfix's `smtp_tls_policy_maps`), or an
    address. A reference that is none of these meets nothing.
    """
    presented = [_normal(name) for name in names.dns]
    for reference in references:
        if ip := parse_ip(reference):
            if ip in names.ips:
                return Match(reference, str(ip))
            continue
        for name, original in zip(presented, names.dns, strict=True):
            if name is not None and _is_met(reference, name):
                return Match(reference, original)
    return None


def explain_mismatch(names: CertificateNames, references: Sequence[str]) -> str:
    """Say in one line which names the certificate has, and which were wanted."""
    texts = names.texts
    held = ", ".join(texts[:MAX_NAMES_SHOWN]) or "no name at all"
    more = f" and {len(texts) - MAX_NAMES_SHOWN} more" if len(texts) > MAX_NAMES_SHOWN else ""
    return f"the certificate is for {held}{more}; wanted: {' or '.join(references)}"


@lru_cache(maxsize=4096)
def parse_ip(text: str) -> IpAddress | None:
    """Read an address, also as an SMTP literal (`[192.0.2.1]`, `[IPv6:2001:db8::1]`); else None."""
    inner = text.removeprefix("[").removesuffix("]")
    if inner is not text and inner[:5].lower() == "ipv6:":
        inner = inner[5:]
    try:
        return ip_address(inner)
    except ValueError:
        return None


def _normal(presented: str) -> str | None:
    # None: not a name that can match anything (RFC 9525 §6.3 says to ignore such wildcards).
    lower = presented.lower()
    if len(lower) > MAX_DOMAIN_OCTETS or not _PRESENTED.match(lower):
        return None
    return lower


def _is_met(reference: str, presented: str) -> bool:
    try:
        domain = parse_domain(reference.removeprefix("."))
    except DomainError:
        return False
    if reference.startswith("."):
        # What `*.example.com` covers is below example.com: it is enough, as in Postfix.
        return presented.endswith("." + domain)
    return _covers(presented, domain)


def _covers(presented: str, domain: Domain) -> bool:
    if not presented.startswith("*."):
        return presented == domain
    return presented[2:] == domain.partition(".")[2]
