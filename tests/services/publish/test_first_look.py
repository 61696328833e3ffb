"""What a host of the first evening is told to look at, and that looking always ends."""

import asyncio
import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.network.greetings import Greeting
from letterlock.network.wire import Lost
from letterlock.protocols.dns.answers import Answer, MxRecord, Security, TlsaRecord
from letterlock.services.publish.findings import Code
from letterlock.services.publish.first_look import Remark, RemarkCode, list_remarks
from letterlock.services.publish.first_looking import (
    MAX_DOMAINS,
    OTHERS,
    FirstLooker,
    HostQuestion,
    OwnPort,
)
from letterlock.services.publish.records import IpAddress, OwnDomain, OwnHost, plan_records
from tests.fakes import FixtureResolver
from tests.services.publish.own import DOMAIN, HOST, KEY, POLICY

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "first-evening.md"
IPV4, IPV6 = ip_address("198.41.0.7"), ip_address("2001:500:200::7")
PRIVATE = ip_address("10.0.0.7")
OUTSIDE, OUTSIDE_IPV4 = Domain("mx.outside.example"), ip_address("198.41.0.25")
SIGNED, BOGUS = Domain("signed.example"), Domain("bogus.example")
MX_25 = OwnPort("127.0.0.1", 25, "receive.listen", is_smtp=True)
HTTP = OwnPort("127.0.0.1", 80, "certificates.http_listen", is_smtp=False)


class Backend(FixtureResolver):
    """A resolver that may be on this machine."""

    address = "127.0.0.1:53"
    is_trusted = True


class Silent(Backend):
    """One that never answers."""

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        del name, rdtype
        await asyncio.Event().wait()
        raise AssertionError


@dataclass
class World:
    """A host that is all right, in a DNS that is; fields and records may be changed."""

    dns: Backend = field(default_factory=Backend)
    greetings: dict[tuple[str, int], Greeting | Lost] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    seconds: float = 60.0

    def __post_init__(self) -> None:
        dns = self.dns
        dns.set(SIGNED, "NS", Domain("ns.example"), security=Security.SECURE)
        dns.fail(BOGUS, "NS", Security.BOGUS)
        dns.set(DOMAIN, "MX", MxRecord(10, HOST))
        self.set_addresses(IPV4)
        dns.set(OTHERS[0], "MX", MxRecord(20, Domain("worse.example")), MxRecord(5, OUTSIDE))
        dns.set(OUTSIDE, "A", OUTSIDE_IPV4)
        self.greetings[str(OUTSIDE_IPV4), 25] = Greeting("220 hello")

    def set_addresses(self, *addresses: IpAddress) -> None:
        """Give the host these, and each its name."""
        for version, rdtype in ((4, "A"), (6, "AAAA")):
            self.dns.set(HOST, rdtype, *(each for each in addresses if each.version == version))
        for address in addresses:
            self.dns.set(address.reverse_pointer, "PTR", HOST)

    async def greet(self, ip: str, port: int, seconds: float) -> Greeting | Lost:
        assert 0 < seconds < 60
        self.asked.append((ip, port))
        return self.greetings.get((ip, port), Lost("Connection refused"))

    async def look(self, question: HostQuestion | None = None) -> list[Remark]:
        looker = FirstLooker(
            self.dns, self.dns, self.greet, self.greet, SIGNED, BOGUS, seconds=self.seconds
        )
        return list(list_remarks(await looker.look(question or ask())))

    async def find(self, question: HostQuestion | None = None) -> list[str]:
        return [each.code for each in await self.look(question)]


def ask(
    *addresses: IpAddress, policy: bool = False, domains: tuple[Domain, ...] = (DOMAIN,)
) -> HostQuestion:
    """Ask about the host, whose addresses are of the Internet unless told."""
    known = addresses or (IPV4,)
    host = OwnHost(HOST, addresses=known)
    own = {each: OwnDomain(each, (host,), policy=POLICY if policy else None) for each in domains}
    return HostQuestion(HOST, known, known, {each: plan_records(one) for each, one in own.items()})


def test_the_guide_has_every_code() -> None:
    cells = [line.split("|")[1] for line in GUIDE.read_text("utf-8").splitlines() if "|" in line]
    named = set(re.findall(r"`([a-z0-9-]+)`", "".join(cells)))
    assert set(RemarkCode) <= named
    assert named <= {*RemarkCode, *Code, "code"}


async def test_where_all_is_right_there_is_nothing_to_look_at() -> None:
    world = World()
    assert await world.look(replace(ask(), ports=(MX_25, HTTP))) == []
    assert world.asked == [("127.0.0.1", 25), ("127.0.0.1", 80), (str(OUTSIDE_IPV4), 25)]


async def test_without_a_network_only_this_machine_is_looked_at() -> None:
    world = World()
    world.greetings["127.0.0.1", 25] = Greeting("220 old.example ESMTP Postfix")
    question = replace(ask(), outgoing=(), known=(), ports=(MX_25,))
    taken, out = await world.look(question)
    assert taken.text.startswith("another program answers at port 25 of 127.0.0.1, and says 220 ol")
    assert taken.fix == "stop that program, or change receive.listen"
    assert out.code == "no-way-out"
    assert world.dns.asked == []


async def test_a_resolver_that_is_silent_holds_nobody_up() -> None:
    remarks = await World(dns=Silent(), seconds=0.05).look()
    assert [each.code for each in remarks] == ["no-dns"]


async def test_a_resolver_that_fails_is_told_of_as_one_that_does_not_answer() -> None:
    world = World()
    for name, rdtype in tuple(world.dns._answers):
        world.dns.fail(name, rdtype)
    for name, rdtype in ((f"_25._tcp.{HOST}", "TLSA"), (f"_mta-sts.{DOMAIN}", "TXT")):
        world.dns.fail(name, rdtype)
    assert await world.find() == ["no-dns"]


async def test_a_resolver_that_does_not_validate_is_no_resolver_for_dane() -> None:
    """RFC 7672 §2.1.1"""
    world = World()
    world.dns.is_trusted = False
    (remark,) = await world.look()
    assert (remark.code, "dns.resolver" in remark.fix) == ("no-dnssec", True)


async def test_behind_a_router_the_address_outside_is_to_be_named() -> None:
    question = replace(ask(), outgoing=(PRIVATE,), known=())
    (remark,) = await World().look(question)
    assert remark.code == "behind-a-router"
    assert "(10.0.0.7)" in remark.text
    assert "deliver.own_addresses" in remark.fix


@pytest.mark.parametrize(
    ("name", "found"),
    [(None, "ptr-missing"), (Domain("host.provider.example"), "ptr-differs")],
)
@pytest.mark.parametrize("is_published", [True, False])
async def test_the_reverse_name_is_looked_at_before_the_address_is_published(
    name: Domain | None, found: str, *, is_published: bool
) -> None:
    """RFC 5321 §4.1.4: who gives addresses takes days to name them."""
    world = World()
    if not is_published:
        world.dns.set(HOST, "A")
    world.dns.set(IPV4.reverse_pointer, "PTR", *([name] if name else []))
    if name:
        world.dns.set(name, "A", IPV4)
    codes = await world.find(replace(ask(), is_new=True))
    assert codes == [found]


async def test_that_a_host_has_no_address_yet_stands_among_the_records_to_publish() -> None:
    world = World()
    world.dns.set(HOST, "A")
    assert await world.find(replace(ask(), is_new=True)) == []
    assert await world.find(ask()) == ["address-missing"]


async def test_that_a_host_has_no_address_is_told_where_none_is_known_to_publish() -> None:
    """Behind a router the records to publish have none either: nothing else would tell."""
    world = World()
    world.dns.set(HOST, "A")
    plan = plan_records(OwnDomain(DOMAIN, (OwnHost(HOST),)))
    question = HostQuestion(HOST, (PRIVATE,), (), {DOMAIN: plan})
    for is_new in (True, False):
        codes = await world.find(replace(question, is_new=is_new))
        assert codes == ["behind-a-router", "address-missing"]


async def test_an_address_of_another_host_is_told() -> None:
    world = World()
    other = ip_address("198.41.0.99")
    world.set_addresses(IPV4, other)
    (remark,) = await world.look()
    assert remark.code == "address-foreign"


async def test_where_mail_goes_now_is_told() -> None:
    """RFC 5321 §5.1: the MX record is changed last."""
    world = World()
    hosts = [Domain(f"mx{number}.old.example") for number in range(5)]
    world.dns.set(DOMAIN, "MX", *(MxRecord(10, host) for host in hosts))
    (remark,) = await world.look()
    assert remark.code == "mx-elsewhere"
    assert remark.text == (
        f"mail for {DOMAIN} goes to mx0.old.example, mx1.old.example, mx2.old.example and 2 more"
        " now"
    )
    world.dns.set(DOMAIN, "MX", MxRecord(10, HOST), MxRecord(20, hosts[0]))
    assert await world.find() == []


async def test_a_null_mx_is_told() -> None:
    """RFC 7505 §3"""
    world = World()
    world.dns.set(DOMAIN, "MX", MxRecord(0, None))
    assert await world.find() == ["mx-null"]


async def test_a_policy_that_somebody_serves_is_told_unless_it_is_ours() -> None:
    """RFC 8461 §5: senders go by it, whatever the MX record says."""
    world = World()
    world.dns.set(f"_mta-sts.{DOMAIN}", "TXT", b"v=STSv1; id=1")
    assert await world.find() == ["mta-sts-there"]
    assert await world.find(ask(policy=True)) == []


async def test_tlsa_records_of_a_host_before_are_told_to_a_new_one() -> None:
    """RFC 7672 §3.1; of a host that is there, `dns check` compares them with its keys."""
    world = World()
    world.dns.set(f"_25._tcp.{HOST}", "TLSA", TlsaRecord(3, 1, 1, bytes.fromhex(KEY)))
    assert await world.find(replace(ask(), is_new=True)) == ["tlsa-there"]
    assert await world.find() == []


async def test_where_port_25_of_others_is_closed_it_is_told_for_each_ip_version() -> None:
    world = World()
    world.set_addresses(IPV4, IPV6)
    world.dns.set(OUTSIDE, "AAAA", ip_address("2001:500:200::25"))
    world.greetings["2001:500:200::25", 25] = Lost("timed out", is_timeout=True)
    (remark,) = await world.look(ask(IPV4, IPV6))
    assert remark.code == "port-25-closed"
    assert remark.text.endswith(
        f"by IPv6, so no mail leaves: {OUTSIDE}[2001:500:200::25]: timed out"
    )
    assert 'deliver.families = ["ipv4"]' in remark.fix
    world.greetings[str(OUTSIDE_IPV4), 25] = Lost("Connection refused")
    assert await world.find(ask(IPV4, IPV6)) == ["port-25-closed"] * 2
    # Another one that answers is enough.
    world.dns.set(OTHERS[1], "MX", MxRecord(0, Domain("second.example")))
    world.dns.set("second.example", "A", ip_address("198.41.0.26"))
    world.greetings["198.41.0.26", 25] = Greeting("")
    assert await world.find(ask(IPV4, IPV6)) == ["port-25-closed"]


async def test_nobody_is_asked_where_another_host_sends_our_mail() -> None:
    world = World()
    assert await world.find(replace(ask(), sends_itself=False)) == []
    assert world.asked == []


async def test_that_the_others_are_not_found_says_nothing_of_port_25() -> None:
    world = World()
    world.dns.set(OTHERS[0], "MX", MxRecord(0, None))
    world.dns.set(OTHERS[1], "MX", MxRecord(0, Domain("second.example")))
    assert await world.find() == []


async def test_our_own_node_is_not_another_program() -> None:
    """RFC 5321 §4.2: its greeting begins with its name; then all ports are its own."""
    world = World()
    world.greetings["127.0.0.1", 25] = Greeting(f"220 {HOST} ESMTP Letterlock")
    world.greetings["127.0.0.1", 80] = Greeting("")
    question = replace(ask(), ports=(MX_25, HTTP))
    assert await world.find(question) == []
    world.greetings["127.0.0.1", 25] = Lost("Connection refused")
    (remark,) = await world.look(question)
    assert (remark.code, remark.fix.split()[-1]) == ("port-taken", "certificates.http_listen")
    assert remark.text == (
        "another program answers at port 80 of 127.0.0.1: the node can't listen there"
    )


async def test_what_others_say_cannot_break_a_line() -> None:
    world = World()
    world.greetings["127.0.0.1", 25] = Greeting("220 \x1b[31m\x00" + "x" * 500)
    (remark,) = await world.look(replace(ask(), ports=(MX_25,)))
    assert remark.text.isprintable()
    assert len(remark.text) < 200


async def test_how_many_domains_are_looked_at_is_bounded() -> None:
    world = World()
    domains = tuple(Domain(f"d{number}.example") for number in range(MAX_DOMAINS + 5))
    await world.find(ask(domains=domains))
    assert len([name for name, rdtype in world.dns.asked if rdtype == "MX"]) == MAX_DOMAINS + 1
