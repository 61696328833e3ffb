"""The settings of what our own domains publish: DNS records, and MTA-STS policies over HTTPS.

How sections are written says `sections`.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from letterlock.base.config.values import Address, ListenAddress, Parsed, lasting
from letterlock.base.domains import Domain, DomainError, parse_domain

# RFC 3986 §2, §3; RFC 8460 §3 has "," ";" and "!" encoded.
_REPORT_URI = re.compile(r"(?:mailto|https):[A-Za-z0-9._~:/?#\[\]@$&'()*+=%-]{1,500}\Z")


class PolicyMode(StrEnum):
    """The modes of an MTA-STS policy (RFC 8461 §5)."""

    TESTING = "testing"
    ENFORCE = "enforce"
    NONE = "none"


def parse_report_uri(text: str) -> str:
    """Take a URI that RFC 8460 §3 allows for reports: `mailto:` or `https:`."""
    if not _REPORT_URI.match(text):
        raise ValueError('an address for reports such as "mailto:tls@example.org"')
    return text


def parse_mx_pattern(text: str) -> str:
    """Take `mx.example.org` or `*.example.org`; gives it in lower case and A-labels."""
    wildcard = "*." if text.startswith("*.") else ""
    try:
        return f"{wildcard}{parse_domain(text.removeprefix('*.'))}"
    except DomainError:
        raise ValueError('an MX host such as "mx1.example.org" or "*.example.org"') from None


MxPattern = Annotated[str, Parsed(parse_mx_pattern, "MX host or pattern")]
ReportUri = Annotated[str, Parsed(parse_report_uri, "mailto: or https: URI")]


@dataclass(frozen=True, slots=True)
class OwnPolicySection:
    """Serving the MTA-STS policies of our own domains over HTTPS (RFC 8461)."""

    domains: tuple[Domain, ...] = ()
    """The domains whose policy is served, at `https://mta-sts.DOMAIN/`. Unset: none."""

    mode: PolicyMode = PolicyMode.TESTING
    """`testing`: others report what fails, and deliver; `enforce`: they deliver only to the hosts
    in `mx`, with a certificate that is trusted. `none` takes a policy back: first that, and the
    record and the policy go when `letterlock dns check` says that nobody holds an older one."""

    max_age: Annotated[timedelta, lasting("1h", "365d")] = timedelta(days=14)
    """For how long others keep to the policy. RFC 8461 §3.2 has weeks in mind."""

    mx: tuple[MxPattern, ...] = ()
    """The hosts that the policy allows. `*.example.org` stands for one label. Unset: `mx_hosts`."""

    listen: tuple[ListenAddress, ...] = (ListenAddress("0.0.0.0", 443), ListenAddress("::", 443))  # noqa: S104 - the Internet asks
    """Addresses and ports to serve policies on. Others ask at port 443 only."""


@dataclass(frozen=True, slots=True)
class PublishingSection:
    """What our own domains publish: `letterlock dns records` and `dns check` go by it."""

    mx_hosts: tuple[Domain, ...] = ()
    """The MX hosts of our domains, the best first. Unset: `hostname` alone."""

    addresses: tuple[Address, ...] = ()
    """The public addresses of this host. Unset: those in `receive.listen`, or, where it listens on
    all, those by which it reaches the Internet; and `deliver.own_addresses`."""

    tls_reports: tuple[ReportUri, ...] = ()
    """Where others send their reports on our TLS (RFC 8460): `mailto:` or `https:` URIs. Unset:
    postmaster of each domain."""

    mta_sts: OwnPolicySection = field(default_factory=OwnPolicySection)
    """The policies that say which hosts take our mail, and that they prove who they are."""
