"""Signatures are asked for from the names that mail rests on up to the root, each once."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.check.facts import AddressFacts, DomainFacts, HostFacts, State
from letterlock.protocols.check.signatures import Signature
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.policy.facts import TlsaFacts, TlsaStatus
from letterlock.services.check import signed
from letterlock.services.check.signed import SignatureLooker

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DOMAIN, HOST = Domain("example.org"), Domain("mx.example.net")
TLSA = TlsaFacts(TlsaStatus.USABLE, HOST, (TlsaRecord(3, 1, 1, bytes(32)),))
PARENTS = {"example.org": "org", "example.net": "net", "org": ".", "net": ".", ".": "."}


def make_domain(
    *addresses: str,
    tlsa: TlsaFacts | None = TLSA,
    name: Domain | None = HOST,
    mx: Security | None = Security.SECURE,
) -> DomainFacts:
    seen = tuple(AddressFacts(ip_address(ip), Security.SECURE, State.OK) for ip in addresses)
    return DomainFacts(DOMAIN, (HostFacts(name, 10, seen, tlsa),), mx)


class World:
    """Zones that are signed, but for those in `silent`; remembers what was asked."""

    def __init__(self, *silent: str) -> None:
        self.asked: list[tuple[str, str]] = []
        self._silent = silent

    async def ask(self, name: str, rdtype: str) -> tuple[Signature, ...] | str:
        self.asked.append((name, rdtype))
        if name in self._silent:
            return "no answer"
        zone = next(z for z in PARENTS if z in (".", name) or name.endswith(f".{z}"))
        if rdtype == "DS":
            zone = PARENTS[name]
        return (Signature(name, rdtype, zone, NOW, NOW + timedelta(days=9)),)


async def test_each_name_and_each_zone_above_it_is_asked_for() -> None:
    world = World()
    looker = SignatureLooker(world.ask)
    found = await looker.look(make_domain("192.0.2.1", "2001:db8::1", "192.0.2.2"), 26)
    assert set(world.asked) == {
        ("example.org", "MX"),
        ("mx.example.net", "A"),
        ("mx.example.net", "AAAA"),
        ("_26._tcp.mx.example.net", "TLSA"),
        *((zone, rdtype) for zone in PARENTS for rdtype in ("DNSKEY", "DS") if zone != "."),
        (".", "DNSKEY"),
    }
    assert len(world.asked) == len(set(world.asked)) == len(found.signatures)
    assert found.undecided == ()
    await looker.look(make_domain("192.0.2.1"), 26)
    assert len(world.asked) == len(found.signatures)


@pytest.mark.parametrize(
    ("domain", "asked"),
    [
        (make_domain(mx=None, tlsa=None), set[tuple[str, str]]()),
        (make_domain("192.0.2.1", name=None, tlsa=None), {("example.org", "MX")}),
    ],
)
async def test_where_there_is_nothing_to_ask_for_nothing_is(
    domain: DomainFacts, asked: set[tuple[str, str]]
) -> None:
    world = World("example.org")
    await SignatureLooker(world.ask).look(domain, 25)
    assert set(world.asked) == asked


async def test_what_nobody_answers_is_undecided() -> None:
    world = World("example.org")
    found = await SignatureLooker(world.ask).look(make_domain("192.0.2.1", tlsa=None), 25)
    assert found.undecided == ("signature of MX of example.org: no answer",)
    assert {each.name for each in found.signatures} == {"mx.example.net", "example.net", "net", "."}


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed, "MAX_KEPT", 1)
    world = World("example.org", "mx.example.net")
    looker = SignatureLooker(world.ask)
    for _ in range(2):
        await looker.look(make_domain("192.0.2.1", tlsa=None), 25)
    assert len(world.asked) > 2
