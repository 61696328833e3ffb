"""The parts of `[ca]`: what is issued, with which keys, how names are validated, how often.

How sections are written says `sections`; the section itself is in `authority`.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from letterlock.base.config.choices import ChallengeKind
from letterlock.base.config.values import (
    MAX_PORT,
    Between,
    Network,
    Parsed,
    ResolverAddress,
    format_duration,
    lasting,
    parse_address,
    parse_duration,
    parse_https_url,
    parse_ip_address,
    parse_listen_address,
)
from letterlock.base.domains import Domain

_RATE = re.compile(r"([1-9][0-9]{0,6}) in (\S+)\Z")
_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
_PROXY = re.compile(r"(socks5|http)://(\S+?)/?\Z")

Port = Annotated[int, Between(1, MAX_PORT)]


class CertifiedKey(StrEnum):
    """Kinds of keys that are certified."""

    P256 = "ec-p256"
    P384 = "ec-p384"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"


class Region(StrEnum):
    """The service regions of the Regional Internet Registries."""

    AFRINIC = "AFRINIC"
    APNIC = "APNIC"
    ARIN = "ARIN"
    LACNIC = "LACNIC"
    RIPE = "RIPE NCC"


@dataclass(frozen=True, slots=True)
class Rate:
    """So often in a time: all of it at once, too."""

    count: int
    period: timedelta

    def __str__(self) -> str:
        return f"{self.count} in {format_duration(self.period)}"


def parse_rate(text: str) -> Rate:
    """Parse `300 in 3h`. Raises ValueError."""
    found = _RATE.match(text)
    period = parse_duration(found[2]) if found else timedelta()
    if not found or not timedelta() < period <= timedelta(days=366):
        raise ValueError('a number and a time of at most 366 days, such as "300 in 3h"')
    return Rate(int(found[1]), period)


def parse_word(text: str) -> str:
    """Parse the name of a profile or perspective. Raises ValueError."""
    if not _WORD.match(text):
        raise ValueError('a word of small letters, digits and "-", such as "shortlived"')
    return text


def parse_proxy(text: str) -> str:
    """Parse `socks5://192.0.2.1:1080` or `http://[2001:db8::1]:3128`. Raises ValueError."""
    found = _PROXY.match(text)
    try:
        address = parse_listen_address(found[2]) if found else None
    except ValueError:
        address = None
    if found is None or address is None or address.port == 0:
        raise ValueError(
            'a proxy with an IP address and a port: "socks5://192.0.2.1:1080" or '
            '"http://192.0.2.1:3128"'
        )
    return f"{found[1]}://{address}"


def parse_source(text: str) -> str:
    """Parse an address of this machine. Raises ValueError."""
    return str(parse_ip_address(text))


@dataclass(frozen=True, slots=True)
class IssuingKey:
    """An authority's certificate and key."""

    certificate: Path
    """Its certificate in PEM, and behind it those above it, but for the root."""

    root: Path
    """The root's certificate in PEM, which those who trust the authority have."""

    key: Path | None = None
    """Its private key in PEM, encrypted. Unset: the key is in the token of `[ca.pkcs11]`."""

    passphrase_file: Path | None = None
    """A file with the passphrase of `key`, which only the authority's user can read; with systemd
    a credential, `/run/credentials/letterlock-ca.service/NAME`."""

    token_key: str | None = None
    """The label of the key in the token."""

    alternates: tuple[Path, ...] = ()
    """Other chains, as PEM files: certificates of the same key by other roots."""


@dataclass(frozen=True, slots=True)
class IssuedProfile:
    """A kind of certificate that clients can ask for."""

    name: Annotated[str, Parsed(parse_word, "word")]
    """What clients ask for."""

    description: str
    """What it is, for people: the directory shows it."""

    lifetime: Annotated[timedelta, lasting("6d", "200d")] = timedelta(days=90)
    """How long a certificate is valid."""

    keys: tuple[CertifiedKey, ...] = tuple(CertifiedKey)
    """The kinds of keys that are certified."""

    challenges: tuple[ChallengeKind, ...] = tuple(ChallengeKind)
    """How names may be proved. A wildcard is proved by `dns-01` alone."""

    max_names: Annotated[int, Between(1, 100)] = 100
    """How many names a certificate may have."""

    wildcards: bool = True
    """Whether names may be wildcards."""

    addresses: bool = True
    """Whether names may be IP addresses."""

    single_labels: bool = False
    """Whether names may have no dot: on a private network only."""

    common_name: bool = False
    """Whether the first name stands in the subject too, for old clients."""

    client_auth: bool = False
    """Whether servers may show the certificate as clients too."""

    order_lifetime: Annotated[timedelta, lasting("1h", "30d")] = timedelta(days=7)
    """How long an order waits for its proofs and its request."""

    reuse: Annotated[timedelta, lasting("0s", "200d")] = timedelta(days=10)
    """How long a name that was proved needs no new proof. CAA is looked at again all the same."""


@dataclass(frozen=True, slots=True)
class RemotePerspective:
    """Another place from which names are looked at."""

    name: Annotated[str, Parsed(parse_word, "word")]
    """What it is called in the audit log."""

    region: Region
    """The registry's region that it is in."""

    resolver: ResolverAddress
    """The resolver there: it should keep nothing (Unbound: `cache-max-ttl: 0`,
    `cache-max-negative-ttl: 0`). With `proxy` it is asked through that, by TCP."""

    proxy: Annotated[str, Parsed(parse_proxy, "proxy's URL")] | None = None
    """What connects from there: `socks5://ADDRESS:PORT` or `http://ADDRESS:PORT` (CONNECT), without
    a password, so by a tunnel or a network of your own."""

    source: Annotated[str, Parsed(parse_source, "IP address")] | None = None
    """Without a proxy: the address of this machine from which connections go, where it is in
    several networks."""


def _usual_profiles() -> tuple[IssuedProfile, ...]:
    return (
        IssuedProfile("default", "90 days, for servers"),
        IssuedProfile("shortlived", "6 days, for servers", timedelta(days=6)),
    )


@dataclass(frozen=True, slots=True)
class CaNamesSection:
    """Which names the authority is for. Nothing permitted: all that are not excluded.

    `letterlock ca init` puts these rules into the authority's own certificate too, so that who
    trusts it trusts it for nothing else; a change later binds orders alone.
    """

    permitted_domains: tuple[Domain, ...] = ()
    """Domains for which, and below which, certificates are issued."""

    permitted_networks: tuple[Network, ...] = ()
    """Networks for whose addresses certificates are issued."""

    excluded_domains: tuple[Domain, ...] = ()
    """Domains for which, and below which, none are."""

    excluded_networks: tuple[Network, ...] = ()
    """Networks for whose addresses none are."""


@dataclass(frozen=True, slots=True)
class CaValidationSection:
    """How it is found out whether who asks controls a name."""

    resolver: ResolverAddress | None = None
    """The resolver that is asked from here: it validates DNSSEC, and keeps nothing. Unset: the one
    of `[dns]`."""

    needs_dnssec: bool = True
    """Whether the resolver's word on DNSSEC must count: that it is on this machine, `dns.trust_ad`
    is set, or `dns.backend` is `libunbound`. Only for names that are private this may be false, and
    not where `ca.public` is set."""

    private_names: bool = False
    """Whether names may be below a top-level domain that the public DNS does not know, such as
    `corp.`: then CAA of the top level need not answer."""

    networks: tuple[Network, ...] = ()
    """Private networks, or loopback, that names may lead to. Unset: addresses of the Internet
    only, so that nobody can have our own network looked into."""

    perspectives: tuple[RemotePerspective, ...] = ()
    """More places from which each name is looked at (Baseline Requirements 3.2.2.9)."""

    min_remotes: Annotated[int, Between(0, 50)] = 0
    """How many of those there must be. A public authority must have five from 15 December 2026."""

    min_regions: Annotated[int, Between(1, 5)] = 2
    """In how many regions those must be that agree, where there are two perspectives or more."""

    timeout: Annotated[timedelta, lasting("1s", "2m")] = timedelta(seconds=30)
    """How long a look from one place may take."""

    tries: Annotated[int, Between(1, 10)] = 3
    """How often a challenge is looked for before it has failed. A look that finds a wrong answer is
    the last."""

    try_gap: Annotated[timedelta, lasting("0s", "10m")] = timedelta(seconds=5)
    """How long to wait between two tries."""

    at_once: Annotated[int, Between(1, 1000)] = 64
    """How many names a process validates at a time; others wait."""

    http_port: Port = 80
    """The port of `http-01`. Other than 80 only on a network where all is one's own."""

    https_port: Port = 443
    """The port of `tls-alpn-01`, as above."""

    def find_ports(self) -> dict[int, int]:
        """Give the ports that stand in the place of others."""
        return {80: self.http_port, 443: self.https_port}


@dataclass(frozen=True, slots=True)
class CaLimitsSection:
    """How often clients may do what costs something. `""`: as often as they like."""

    accounts_per_address: Rate | None = field(default=Rate(100, timedelta(hours=1)))
    """New accounts from one IP address, and of IPv6 from one /48."""

    orders_per_account: Rate | None = None
    """New orders of one account."""

    certificates_per_name_set: Rate | None = None
    """Certificates for just the same names. Orders that replace a certificate in its window for
    renewal are not counted."""

    failures_per_name: Rate | None = field(default=Rate(60, timedelta(hours=1)))
    """Failed validations of one name by one account."""

    pause_page: Annotated[str, Parsed(parse_https_url, "https URL")] | None = None
    """A page of yours that tells whom to write to. With it, names that fail day after day for
    months, and never succeed, are paused: who orders one again is sent there, until
    `letterlock ca unpause`."""


@dataclass(frozen=True, slots=True)
class CaTokenSection:
    """A PKCS#11 token (HSM) that keeps the key that issues: `letterlock ca init` makes it there."""

    module: Path | None = None
    """The token's library, such as `/usr/lib/softhsm/libsofthsm2.so`. Unset: keys are in files."""

    token: str | None = None
    """The token's label."""

    pin_file: Path | None = None
    """A file with its PIN, which only the authority's user can read."""


USUAL_PROFILES = _usual_profiles()


@dataclass(frozen=True, slots=True)
class CaIncidentsSection:
    """What is done about certificates that an incident affects: `letterlock ca incident`."""

    after_replaced: Annotated[timedelta, lasting("1s", "5d")] = timedelta(hours=1)
    """How long after its replacement was issued a certificate is revoked: by then its owner's
    servers use the new one. At the incident's deadline all that is left is revoked."""

    mail: bool = True
    """Whether the contacts of accounts get a mail, through this machine's node: it is left in
    `drop_dir` of `[send]`."""

    sender: Annotated[str, Parsed(parse_address, "mail address")] | None = None
    """The address that mails come from, and answers go to; the audit's alarms, too. Unset: the
    first of `contacts` that is a mail address, else `contact`."""


@dataclass(frozen=True, slots=True)
class CaAuditSection:
    """The authority's own audit: each certificate against the log of decisions, and that log."""

    enabled: bool = True
    """Whether it runs."""

    every: Annotated[timedelta, lasting("10m", "30d")] = timedelta(days=1)
    """How often all certificates that have not ended, and the whole log, are gone through. What is
    new is looked at within a minute."""

    halt: bool = False
    """Whether issuing stops when it finds something. It is told in the log and by mail in any
    case."""


@dataclass(frozen=True, slots=True)
class CaStatusSection:
    """The page on which everybody sees how the authority stands: `status`, below its URL."""

    page: bool = True
    """Whether there is one: whether certificates are issued, incidents with their progress, and
    the signed head of the audit log."""

    host_checks: bool = True
    """Whether people can ask there if a host is affected. It is then asked from here which
    certificates it shows, at addresses of the Internet and those of `networks` in
    `[ca.validation]`, at most ten times an hour for each of them."""
