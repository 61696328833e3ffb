"""What was seen of a domain from outside: hosts, their addresses, and what each shows to whom.

RFC 5321 §5.1 (hosts), RFC 6066 §3 (a server may show another certificate to clients that send no
name, or another one), RFC 3207 §4. Nothing is judged here but whether there is an answer at all: a
host that refuses to talk to us has not failed.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from letterlock.base.domains import Domain
from letterlock.protocols.check.deep import DeepFacts
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.policy.facts import MtaStsFacts, TlsaFacts
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed

IpAddress = IPv4Address | IPv6Address


class AskedSni(StrEnum):
    """Which server name a probe sends."""

    OWN = "own"
    """As a correct sender does: the TLSA base domain, else the MX host's name."""
    NONE = "none"
    WRONG = "wrong"
    """A name that the host cannot know."""


class State(StrEnum):
    """What came of a probe."""

    OK = "ok"
    FINDING = "finding"
    """It was answered, and something is wrong."""
    BLOCKED = "blocked"
    """We were put off or refused: 421, 450, greylisting, a tarpit, a policy. It tells of us."""
    UNREACHABLE = "unreachable"
    NOT_TESTED = "not tested"


class ProbeStep(StrEnum):
    """What a probe waits for, in this order."""

    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    HANDSHAKE = "handshake"
    EHLO_UNDER_TLS = "ehlo-under-tls"


@dataclass(frozen=True, slots=True)
class StepTime:
    """How long a step took, up to its end or to where it failed."""

    step: ProbeStep
    seconds: float


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to one address, and the answer.

    `key` None: whichever type of key the server prefers. `sni` is the name that was sent, None for
    none. `handshake` is None where it did not come so far: then `starttls` is the reply to
    STARTTLS, None where it was not offered. `strict_failure`: how the handshake failed for a client
    that insists on TLS 1.2 and good ciphers, where one of any age came through. `detail` says in
    one line what came of it.

    `hello` and `hello_under_tls` are the replies to EHLO, None where it did not come to one or was
    not asked. `unoffered` is what came of STARTTLS that was not offered, and answered with 220 all
    the same: senders do not use it, so it is no `handshake`. `begun` None: nothing was asked.
    """

    asked: AskedSni
    state: State
    sni: str | None = None
    key: KeyType | None = None
    handshake: Handshake | HandshakeFailed | None = None
    strict_failure: HandshakeFailed | None = None
    starttls: Reply | None = None
    is_starttls_offered: bool = False
    offers_requiretls: bool = False
    """Under TLS, in the second EHLO."""
    detail: str = ""
    transcript: tuple[str, ...] = ()
    """What was said, printable and bounded: `>` by us, `<` by the host, `!` besides."""
    hello: Reply | None = None
    hello_under_tls: Reply | None = None
    unoffered: Handshake | HandshakeFailed | None = None
    begun: datetime | None = None
    times: tuple[StepTime, ...] = ()

    def find_seconds(self, step: ProbeStep) -> float | None:
        """Give how long a step took; None: it did not come to it."""
        return next((each.seconds for each in self.times if each.step is step), None)


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """One address of a host, with the DNSSEC state of the answer that it came in."""

    ip: IpAddress
    security: Security
    state: State
    probes: tuple[Probe, ...] = ()
    detail: str = ""
    deep: DeepFacts | None = None
    """None: it was not asked for, or there was no TLS to look at."""

    def find(self, asked: AskedSni, key: KeyType | None = None) -> Probe | None:
        """Find the probe that asked so; None: it was not asked."""
        return next((each for each in self.probes if each.asked is asked and each.key is key), None)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """One MX host. `tlsa` None: it has no name, or was not looked up."""

    name: Domain | None
    preference: int
    addresses: tuple[AddressFacts, ...] = ()
    tlsa: TlsaFacts | None = None
    error: str | None = None
    is_undecided: bool = False
    is_bogus: bool = False
    """Its addresses did not validate."""


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """A domain as it is seen from outside.

    `mx_security` is the state of the MX lookup, None where there was none. `is_own_host`: it found
    no MX records. `no_route` says why there is nowhere to go; None: there is.
    """

    domain: Domain
    hosts: tuple[HostFacts, ...]
    mx_security: Security | None
    mta_sts: MtaStsFacts | None = None
    expanded_domain: Domain | None = None
    no_route: str | None = None
    is_no_route_permanent: bool = False
    is_unasked: bool = False
    """The resolver answers nothing, whatever it is asked: `no_route` tells of it alone."""
    has_null_mx: bool = False
    """It says itself that it takes no mail (RFC 7505 §3)."""
    is_own_host: bool = False

    @property
    def naming_security(self) -> Security | None:
        """The state of the records that name its hosts; None: none do, it is its own host.

        As for a delivery (`policy.facts.Published`): then its name is from the address.
        """
        return None if self.is_own_host else self.mx_security
