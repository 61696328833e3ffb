"""dns-01 as a whole: Pebble looks at a secondary, and we change the primary, BIND or Knot.

RFC 8555 §8.4, RFC 2136. Where all servers were not waited for, the secondary would not have it yet.
"""

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.base.clock import SystemClock
from letterlock.base.config.dns_changes import DnsChangeMethod, DnsChangesSection
from letterlock.base.domains import Domain
from letterlock.network.dns import StubResolver
from letterlock.network.dns_authority import Served, ask_authority
from letterlock.node.dns_changes import make_dns_changes
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.jws import make_account_key
from letterlock.protocols.acme.requests import OrderRequest
from letterlock.services.certify.authority import Authority, Terms, open_account
from letterlock.services.certify.issuing import Issued, Issuer, NotIssued, Patience
from tests.dnssec_lab.lab import serving
from tests.fakes import FakeLog
from tests.interop.pebble import Pebble, running_pebble
from tests.name_servers import (
    KEY,
    PRIMARY,
    SECONDARY,
    UPDATABLE,
    NameServers,
    updatable,
    write_key,
)
from tests.peers import program

CHALLENGE = Domain("_acme-challenge.example.org")
TARGET = Domain("mx2.acme.example.net")
ZONES = {
    "example.org.": f"_acme-challenge.mx2 CNAME {TARGET}.",
    "acme.example.net.": "",
}
PATIENCE = Patience(shortest=timedelta(milliseconds=20), longest=timedelta(milliseconds=100))

UNBOUND = """\
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  use-syslog: no
  num-threads: 1
  interface: {ip}@{port}
  port: {port}
  do-not-query-localhost: no
  module-config: "iterator"
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
forward-zone:
  name: "."
  forward-addr: {other}
"""

HOOK = """\
#!{python}
import sys
import dns.name, dns.query, dns.tsig, dns.update
word, name, value = sys.argv[1:]
key = dns.tsig.Key("{key}.", {secret!r})
update = dns.update.UpdateMessage("example.org.", keyring=key)
if word == "present":
    update.add(dns.name.from_text(name), 60, "TXT", value)
elif word == "cleanup":
    update.delete(dns.name.from_text(name), "TXT", value)
else:
    sys.exit("unknown: " + word)
sys.exit(dns.query.tcp(update, "{host}", port={port}, timeout=60).rcode())
"""

pytestmark = pytest.mark.peer("pebble", "bind9", "knot")


@pytest.fixture(scope="module", params=UPDATABLE)
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NameServers]:
    folder = tmp_path_factory.mktemp(request.param)
    with updatable(request.param, folder, ZONES, has_secondary=True) as running:
        yield running


@asynccontextmanager
async def pebble(servers: NameServers, folder: Path, host: str) -> AsyncIterator[Pebble]:
    name_server = f"{host}:{servers.port}"
    async with running_pebble("pebble", folder, name_server=name_server) as running:
        yield running


async def order(
    pebble: Pebble, servers: NameServers, section: DnsChangesSection, *names: str
) -> Issued | NotIssued:
    resolver = StubResolver(*servers.primary, random=Random(1))
    clock, log = SystemClock(), FakeLog()
    solver = make_dns_changes(section, resolver, clock).make_solver(log)
    assert solver is not None
    authority = await open_account(pebble.client(), make_account_key(), Terms(is_agreed=True))
    assert isinstance(authority, Authority), authority
    issuer = Issuer(authority, [solver], clock, PATIENCE)
    request = OrderRequest(frozenset(parse_identifier(name) for name in names))
    outcome = await issuer.issue(request, ec.generate_private_key(ec.SECP256R1()))
    assert log.texts == []
    return outcome


def by_update(servers: NameServers) -> DnsChangesSection:
    return DnsChangesSection(
        method=DnsChangeMethod.UPDATE,
        key_file=servers.key_file,
        port=servers.port,
        propagation_timeout=timedelta(minutes=1),
    )


@contextmanager
def following(folder: Path, servers: NameServers) -> Iterator[tuple[str, int]]:
    """Run a resolver that asks the secondary, and keeps nothing."""

    def write(port: int) -> Sequence[str]:
        config = folder / "unbound.conf"
        config.write_text(
            UNBOUND.format(
                folder=folder, ip=PRIMARY, port=port, other=f"{SECONDARY}@{servers.port}"
            )
        )
        return (str(program("unbound", "unbound")), "-d", "-p", "-c", str(config))

    with serving("unbound", folder, write, None, PRIMARY, "example.org.") as port:
        yield PRIMARY, port


async def find_left(servers: NameServers, name: Domain) -> frozenset[str]:
    found = await ask_authority(servers.primary, name, "TXT")
    assert isinstance(found, Served), found
    return found.values


async def test_a_wildcard_and_its_base_by_updates(servers: NameServers, tmp_path: Path) -> None:
    """RFC 8555 §8.4, RFC 2136 §2.5: two records at one name, and none afterwards."""
    names = ("example.org", "*.example.org", "mx1.example.org")
    async with pebble(servers, tmp_path, SECONDARY) as running:
        outcome = await order(running, servers, by_update(servers), *names)
    assert isinstance(outcome, Issued), outcome.lines
    assert await find_left(servers, CHALLENGE) == frozenset()
    assert await find_left(servers, Domain("_acme-challenge.mx1.example.org")) == frozenset()


async def test_by_a_program(servers: NameServers, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text(
        HOOK.format(
            python=sys.executable,
            key=KEY.name,
            secret=KEY.secret,
            host=PRIMARY,
            port=servers.port,
        ),
        encoding="utf-8",
    )
    hook.chmod(0o700)
    section = DnsChangesSection(method=DnsChangeMethod.EXEC, hook=hook, port=servers.port)
    async with pebble(servers, tmp_path, SECONDARY) as running:
        outcome = await order(running, servers, section, "example.org", "*.example.org")
    assert isinstance(outcome, Issued), outcome.lines
    assert await find_left(servers, CHALLENGE) == frozenset()


@pytest.mark.peer("unbound")
async def test_a_name_that_is_an_alias_into_another_zone(
    servers: NameServers, tmp_path: Path
) -> None:
    """Its own zone need not be ours to change. Authorities ask a resolver, which follows it."""
    with following(tmp_path, servers) as (host, port):
        name_server = f"{host}:{port}"
        async with running_pebble("pebble", tmp_path, name_server=name_server) as running:
            outcome = await order(running, servers, by_update(servers), "mx2.example.org")
    assert isinstance(outcome, Issued), outcome.lines
    assert await find_left(servers, TARGET) == frozenset()


async def test_a_wrong_key_is_told_before_the_authority_looks(
    servers: NameServers, tmp_path: Path
) -> None:
    """RFC 8555 §8.2, RFC 8945 §5.2.2."""
    write_key(tmp_path / "other.key", replace(KEY, secret=b"another"))
    section = replace(by_update(servers), key_file=tmp_path / "other.key")
    async with pebble(servers, tmp_path, SECONDARY) as running:
        outcome = await order(running, servers, section, "mx1.example.org")
    assert isinstance(outcome, NotIssued)
    (line,) = outcome.lines
    assert line == (
        "mx1.example.org: dns-01: TXT _acme-challenge.mx1.example.org:"
        f" 127.0.0.1:{servers.port}: BADSIG: the secret of the key acme-key (hmac-sha256)"
        " is another one there"
    )
