"""Domains that publish TLSA records and MTA-STS policies, in the DNSSEC lab, with their MX hosts.

The hosts are six servers: `good` has a certificate that is trusted, for all its names, `other` one
that is for none of its own, `own` one that it signed itself, `plain` no TLS, `expired` one that has
ended, and `shy` a good one that it shows to who asks for its name only. Each domain's outcome is in
the tests that send there.
"""

import re
import socket
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256, sha512
from pathlib import Path

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.policy_host import PolicyHost
from letterlock.network.server_certificates import ServerCertificates
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.pki.throwaway_ca import GOOD_LEAF, Issued, self_signed
from tests.dnssec_lab.fault_proxy import Fault
from tests.dnssec_lab.lab import LOOPBACK, DnssecLab, running_lab
from tests.interop.background import in_background
from tests.journeys.running_node import NodeFiles
from tests.misbehaving import GOOD_EXTENSIONS, Conduct, Server, TlsConduct, serving
from tests.network.certificates import NOW, authority, issue, write_pair

ENDED = replace(GOOD_LEAF, not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))
SIGNED, UNSIGNED = "secure.example", "unsigned.example"
SERVERS = ("good", "other", "own", "plain", "expired", "shy")
GOOD, OTHER, OWN, PLAIN, EXPIRED, SHY = SERVERS
ENFORCE, TESTING, UNLISTED, MISSING = "enforce", "testing", "enforce, elsewhere", "404"


@dataclass(frozen=True, slots=True)
class Mx:
    """An MX host: which server it is, and its TLSA record."""

    server: str
    tlsa: str = ""
    """Words for the records. `ee`: of its key. `ta`: of the authority. `other`, `other-512`: of
    another key. `unusable`: usage 1."""
    is_hidden: bool = False
    """Every question for its records fails."""
    host: str = ""
    """Its name, where it is another domain's host; what is published of it is there."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a domain publishes: MX hosts in their order, and its MTA-STS policy."""

    hosts: tuple[Mx, ...]
    policy: str = ""


WITH_TLSA = {
    "ee.secure.example": Published((Mx(OWN, "ee"),)),
    "ta.secure.example": Published((Mx(GOOD, "ta"),)),
    "other.secure.example": Published((Mx(GOOD, "other"),)),
    "next.secure.example": Published((Mx(GOOD, "other"), Mx(OWN, "ee"))),
    "unprovable.secure.example": Published((Mx(OWN, "unusable"),)),
    "unprovable-plain.secure.example": Published((Mx(PLAIN, "unusable"),)),
    "stripped.secure.example": Published((Mx(PLAIN, "other"),)),
    "rolling.secure.example": Published((Mx(OWN, "other ee"),)),
    "weaker.secure.example": Published((Mx(OWN, "ee other-512"),)),
    "unnamed.secure.example": Published((Mx(OTHER, "ta"),)),
    "none.secure.example": Published((Mx(OWN),)),
    "hidden.secure.example": Published((Mx(GOOD, "ta", is_hidden=True),)),
    "hidden-next.secure.example": Published((Mx(GOOD, "ta", is_hidden=True), Mx(OWN, "ee"))),
    "insecure.unsigned.example": Published((Mx(OWN, "other"),)),
    "half.unsigned.example": Published((Mx(OWN, host="mx1.ee.secure.example"),)),
    "half-other.unsigned.example": Published((Mx(GOOD, host="mx1.other.secure.example"),)),
    "ee-expired.secure.example": Published((Mx(EXPIRED, "ee"),)),
    "ta-expired.secure.example": Published((Mx(EXPIRED, "ta"),)),
    "ee-shy.secure.example": Published((Mx(SHY, "ee"),)),
}
"""Those without a policy: what Postfix knows of as well."""

WITH_POLICY = {
    "enforce.unsigned.example": Published((Mx(GOOD),), ENFORCE),
    "enforce-next.unsigned.example": Published((Mx(OWN), Mx(PLAIN), Mx(GOOD)), ENFORCE),
    "enforce-own.unsigned.example": Published((Mx(OWN),), ENFORCE),
    "enforce-plain.unsigned.example": Published((Mx(PLAIN),), ENFORCE),
    "unlisted.unsigned.example": Published((Mx(GOOD),), UNLISTED),
    "testing.unsigned.example": Published((Mx(OWN),), TESTING),
    "testing-plain.unsigned.example": Published((Mx(PLAIN),), TESTING),
    "missing.unsigned.example": Published((Mx(OWN),), MISSING),
    "partial.secure.example": Published((Mx(OWN, "unusable"), Mx(OWN), Mx(GOOD, "ta")), ENFORCE),
    "both-other.secure.example": Published((Mx(GOOD, "other"),), ENFORCE),
    "both-own.secure.example": Published((Mx(OWN, "ee"),), ENFORCE),
    "enforce-expired.unsigned.example": Published((Mx(EXPIRED),), ENFORCE),
    "enforce-shy.unsigned.example": Published((Mx(SHY),), ENFORCE),
}
DOMAINS = {**WITH_TLSA, **WITH_POLICY}


@dataclass(frozen=True, slots=True)
class PublishedDomains:
    """They run: the lab that answers for them, their hosts, and the host of their policies."""

    lab: DnssecLab
    servers: Mapping[str, Server]
    policy_port: int

    @property
    def port(self) -> int:
        """The port of all MX hosts."""
        return self.servers[GOOD].port

    def find_mails(self, sender: str) -> list[str]:
        """Give the servers that were told MAIL with this sender."""
        return [
            name
            for name, server in self.servers.items()
            if any(f"<{sender}>" in line for line in server.seen.mails)
        ]

    def find_clear_mails(self) -> list[str]:
        """Give every MAIL that came without TLS."""
        return [line for server in self.servers.values() for line in server.seen.mails_in_clear]

    def make_node(self, folder: Path) -> NodeFiles:
        """Give a node that sends to these domains."""
        host, port = self.lab.resolver
        files = sending_node(folder, f"{host}:{port}", self.port, self.policy_port)
        # The checker asks what nobody here answers, too.
        files.change("dns", timeout="5s", signed_name=SIGNED, bogus_name="bogus.example")
        return files


def sending_node(folder: Path, resolver: str, port: int, policy_port: int) -> NodeFiles:
    """Give a node that sends by what is published, and trusts the tests' authority.

    `port` is that of MX hosts, `policy_port` that of policy hosts.
    """
    files = NodeFiles(folder, hostname="relay.example.net", domains=("example.net",))
    trust = folder / "ca.pem"
    trust.write_bytes(authority().pem)
    files.change("dns", resolver=resolver)
    files.change("deliver", port=port)
    files.change("policy", trust_files=[str(trust)])
    files.change("mta_sts", port=policy_port, private_addresses=True)
    return files


def host_names(domain: str) -> list[str]:
    """Give the names of a domain's MX hosts, in their order."""
    hosts = DOMAINS[domain].hosts if domain in DOMAINS else ()
    return [mx.host or f"mx{number}.{domain}" for number, mx in enumerate(hosts, start=1)]


def find_word(lines: Sequence[str], domain: str) -> str:
    """Give what a log says of the last TLS connection to a domain's hosts: `Verified`, or so."""
    hosts = "|".join(map(re.escape, host_names(domain)))
    shape = re.compile(rf"(\w+) TLS connection established to (?:{hosts})\[")
    words = [found[1] for line in lines if (found := shape.search(line))]
    return words[-1] if words else ""


@contextmanager
def published_domains(
    folder: Path, *, ip: str = LOOPBACK, port: int | None = None
) -> Iterator[PublishedDomains]:
    """Run them all; `ip` and `port` are the resolver's. Needs the peers nsd, unbound and ldns."""
    certificates = {
        GOOD: issue(tuple(_names_of(GOOD))),
        OTHER: issue(("other.invalid",)),
        OWN: _sign_own(),
        EXPIRED: authority().issue(tuple(_names_of(EXPIRED)), now=NOW, shape=ENDED),
        SHY: issue(tuple(_names_of(SHY))),
    }
    with in_background(_serve(folder, certificates)) as (servers, policy_port):
        additions: dict[str, list[str]] = {SIGNED: [], UNSIGNED: []}
        for domain, published in DOMAINS.items():
            zone = SIGNED if domain.endswith(SIGNED) else UNSIGNED
            additions[zone] += _records(domain, published, servers, certificates)
        texts = {f"{zone}.": "\n".join(lines) for zone, lines in additions.items()}
        with running_lab(folder, texts, ip=ip, port=port) as lab, _hiding(lab):
            yield PublishedDomains(lab, servers, policy_port)


@contextmanager
def _hiding(lab: DnssecLab) -> Iterator[None]:
    with ExitStack() as stack:
        for name, mx in _hosts():
            if mx.is_hidden:
                stack.enter_context(lab.failing(f"_tcp.{name}", "TLSA", Fault.SERVFAIL))
        yield


def _hosts() -> Iterator[tuple[str, Mx]]:
    for domain, published in DOMAINS.items():
        yield from zip(host_names(domain), published.hosts, strict=True)


def _names_of(server: str) -> Iterator[str]:
    return (name for name, mx in _hosts() if mx.server == server and not mx.host)


def _sign_own() -> Issued:
    return self_signed(tuple(_names_of(OWN)), now=NOW)


def _records(
    domain: str,
    published: Published,
    servers: Mapping[str, Server],
    certificates: Mapping[str, Issued],
) -> Iterator[str]:
    for number, (host, mx) in enumerate(zip(host_names(domain), published.hosts, strict=True)):
        yield f"{domain}. MX {10 * number} {host}."
        if mx.host:
            continue
        server = servers[mx.server]
        yield f"{host}. A {server.ip}"
        for kind in mx.tlsa.split():
            yield f"_{server.port}._tcp.{host}. TLSA {_tlsa(kind, mx, certificates)}"
    if published.policy:
        yield f'_mta-sts.{domain}. TXT "v=STSv1; id=1;"'
        yield f"mta-sts.{domain}. A {LOOPBACK}"


def _tlsa(kind: str, mx: Mx, certificates: Mapping[str, Issued]) -> str:
    match kind:
        case "ee":
            return f"3 1 1 {key_digest(certificates[mx.server])}"
        case "ta":
            return f"2 0 0 {authority().der.hex()}"
        case "unusable":
            return f"1 1 1 {sha256(b'any key').hexdigest()}"
        case "other-512":
            return f"3 1 2 {sha512(b'another key').hexdigest()}"
        case _:
            return f"3 1 1 {sha256(b'another key').hexdigest()}"


def key_digest(issued: Issued) -> str:
    facts = read_certificate(issued.der)
    assert isinstance(facts, CertificateFacts)
    return facts.spki_sha256


@asynccontextmanager
async def _serve(
    folder: Path, certificates: Mapping[str, Issued]
) -> AsyncIterator[tuple[dict[str, Server], int]]:
    by_sni = tuple((name, certificates[SHY]) for name in _names_of(SHY))
    # REQUIRETLS is offered by the one that can be proved.
    conducts = (
        Conduct(certificates[GOOD], extensions=(*GOOD_EXTENSIONS, "REQUIRETLS")),
        Conduct(certificates[OTHER]),
        Conduct(certificates[OWN]),
        Conduct(has_starttls=False),
        Conduct(certificates[EXPIRED]),
        Conduct(self_signed(("nobody.invalid",), now=NOW), tls=TlsConduct(by_sni=by_sni)),
    )
    names = tuple(f"mta-sts.{domain}" for domain, item in DOMAINS.items() if item.policy)
    async with serving(*conducts) as servers, policies_of(folder, _find_policy, names) as port:
        yield dict(zip(SERVERS, servers, strict=True)), port


def _find_policy(domain: Domain) -> bytes | None:
    published = DOMAINS.get(domain)
    if published is None or published.policy in ("", MISSING):
        return None
    mode = TESTING if published.policy == TESTING else ENFORCE
    mx = "mx.elsewhere.example" if published.policy == UNLISTED else f"*.{domain}"
    return format_policy(mode, mx)


def format_policy(mode: str, *mx: str, max_age: int = 604800) -> bytes:
    """Write a policy file."""
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {each}" for each in mx)]
    return "\n".join([*lines, f"max_age: {max_age}", ""]).encode()


@asynccontextmanager
async def policies_of(
    folder: Path, find: Callable[[Domain], bytes | None], names: tuple[str, ...]
) -> AsyncIterator[int]:
    """Run a policy host with a certificate for these names; gives its port."""
    pair = write_pair(folder, issue(names), "policy-host")
    host = PolicyHost(find, ServerCertificates([pair]), SystemClock())
    listener = socket.create_server((LOOPBACK, 0))
    port: int = listener.getsockname()[1]
    async with TaskGroup() as tasks:
        running = tasks.create_task(host.run([listener]))
        try:
            yield port
        finally:
            running.cancel()
