"""Chains are followed from the root, each question asked once, and not for ever."""

import dns.message
import dns.rrset
import pytest
from dns.rdtypes.ANY.DS import DS

from letterlock.network.zone_signing import ZoneKey, make_key
from letterlock.protocols.dns.dnssec_records import DsRecord
from letterlock.services.discover import trust_chains
from letterlock.services.discover.trust_chains import MAX_ALIASES, ChainFinder, Chains
from tests.fuzz.dnssec_chains import BEGINS, ENDS, NOW

KEYS = {zone: make_key() for zone in (".", "org", "example.org")}


class Dns:
    """Signed zones, and what is in them; remembers what was asked."""

    def __init__(self, records: dict[tuple[str, str], list[str]]) -> None:
        self.asked: list[tuple[str, str]] = []
        self.silent: set[tuple[str, str]] = set()
        self.is_endless = False
        """Whether what is not there is denied by hashes that nobody follows."""
        self._records = records
        for zone, key in KEYS.items():
            records[zone, "DNSKEY"] = [str(key.dnskey)]
            if zone != ".":
                records[zone, "DS"] = [str(key.make_ds(zone))]

    async def ask(self, name: str, rdtype: str) -> bytes | str:
        self.asked.append((name, rdtype))
        if (name, rdtype) in self.silent:
            return "no answer"
        message = dns.message.make_response(dns.message.make_query(name, rdtype))
        for kind in (rdtype, "CNAME"):
            if found := self._records.get((name, kind)):
                owner = f"{name.rstrip('.')}."
                rrset = dns.rrset.from_text(owner, 60, "IN", kind, *found)
                message.answer = [rrset, *_sign(rrset, name, kind)]
                break
        if self.is_endless and rdtype == "DS" and not message.answer:
            owner, rdata = f"{'0' * 32}.example.org.", f"1 0 2000 - {'1' * 32} A"
            rrset = dns.rrset.from_text(owner, 60, "IN", "NSEC3", rdata)
            message.authority = [rrset, *_sign(rrset, "example.org", "NSEC3")]
        return message.to_wire()


def _sign(rrset: dns.rrset.RRset, name: str, rdtype: str) -> list[dns.rrset.RRset]:
    above = "." if name == "org" else name.partition(".")[2]
    zone = above if rdtype == "DS" else max((z for z in KEYS if name.endswith(z)), key=len)
    key: ZoneKey = KEYS[zone]
    signature = dns.dnssec.sign(
        rrset,
        key.private,
        dns.name.from_text(zone),
        key.dnskey,
        inception=BEGINS,
        expiration=ENDS,
    )
    return [dns.rrset.from_rdata(rrset.name, 60, signature)]


def find_anchors() -> list[DsRecord]:
    ds: DS = KEYS["."].make_ds(".")
    return [DsRecord(ds.key_tag, int(ds.algorithm), int(ds.digest_type), ds.digest)]


async def follow(world: Dns, *questions: tuple[str, str]) -> Chains:
    return await ChainFinder(world.ask, find_anchors()).find(questions, NOW)


WAY = [
    (".", "DNSKEY"),
    ("org", "DS"),
    ("org", "DNSKEY"),
    ("example.org", "DS"),
    ("example.org", "DNSKEY"),
]


async def test_each_question_is_asked_once() -> None:
    """RFC 4033 §3.1: from the root down, and no further than who signed it"""
    world = Dns({("mx.example.org", "A"): ["192.0.2.1"], ("example.org", "MX"): ["10 mx."]})
    finder = ChainFinder(world.ask, find_anchors())
    asked = [("example.org", "MX"), ("mx.example.org", "A"), ("example.org", "MX")]
    chains = await finder.find(asked, NOW)
    assert [(each.name, each.status) for each in chains.records] == [
        ("example.org", "secure"),
        ("mx.example.org", "secure"),
    ]
    assert [each.zone for each in chains.zones] == [".", "org", "example.org"]
    assert sorted(world.asked) == sorted([*WAY, *asked[:2]])
    await finder.find(asked, NOW)
    assert len(world.asked) == len(WAY) + 2


async def test_what_was_not_answered_is_asked_again() -> None:
    world = Dns({("example.org", "MX"): ["10 mx."]})
    world.silent.add(("org", "DNSKEY"))
    finder = ChainFinder(world.ask, find_anchors())
    (state,) = (await finder.find([("example.org", "MX")], NOW)).records
    assert state.status == "undecided"
    assert state.broken is not None
    assert state.broken.evidence == "DNSKEY of org: no answer"
    world.silent.clear()
    (state,) = (await finder.find([("example.org", "MX")], NOW)).records
    assert state.status == "secure"


async def test_a_zone_of_which_nothing_is_known_ends_the_chain() -> None:
    """Whether the failed question was for a zone or only for a name below one"""
    world = Dns({("example.org", "MX"): ["10 mx."]})
    world.silent.add(("example.org", "DS"))
    chains = await follow(world, ("example.org", "MX"), ("example.org", "A"))
    assert [(each.status, each.zone) for each in chains.records] == [
        ("undecided", "example.org"),
        ("undecided", "example.org"),
    ]
    assert [each.zone for each in chains.zones] == [".", "org", "example.org"]


async def test_what_is_not_denied_is_a_zone_only_if_it_says_so() -> None:
    """RFC 4035 §5.4: no DS record, and no proof of that"""
    records = {("a.example.org", "SOA"): ["ns. host. 1 2 3 4 5"]}
    chains = await follow(Dns(records), ("x.a.example.org", "A"), ("x.b.example.org", "A"))
    above, below = chains.records
    assert above.broken is not None
    assert below.broken is not None
    assert (above.status, above.zone) == ("bogus", "a.example.org")
    assert (below.status, below.zone) == ("bogus", "example.org")
    assert above.broken.what == "DS of a.example.org"
    assert below.broken.what == "A of x.b.example.org"


async def test_where_it_is_open_whether_a_zone_begins_it_says_so_itself() -> None:
    """RFC 5155 §6, RFC 9276 §3.2"""
    world = Dns({("a.example.org", "SOA"): ["ns. host. 1 2 3 4 5"]})
    world.is_endless = True
    chains = await follow(world, ("x.a.example.org", "A"), ("x.b.example.org", "A"))
    above, below = chains.records
    assert (above.status, above.zone) == ("insecure", "a.example.org")
    assert below.zone == "example.org"


async def test_aliases_are_followed_and_not_for_ever() -> None:
    world = Dns(
        {
            ("a.example.org", "CNAME"): ["mx.example.org."],
            ("mx.example.org", "A"): ["192.0.2.1"],
            ("loop.example.org", "CNAME"): ["loop.example.org."],
            ("odd.example.org", "CNAME"): [r"a\.b.example.org."],
        }
    )
    chains = await follow(world, ("a.example.org", "A"), ("odd.example.org", "A"))
    assert [(each.name, each.outcome, each.alias) for each in chains.records] == [
        ("a.example.org", "alias", "mx.example.org"),
        ("mx.example.org", "records", None),
        ("odd.example.org", "alias", r"a\.b.example.org"),
    ]
    looped = await follow(world, ("loop.example.org", "A"))
    assert len(looped.records) == 1
    many = {(f"a{at}.example.org", "CNAME"): [f"a{at + 1}.example.org."] for at in range(20)}
    assert len((await follow(Dns(many), ("a0.example.org", "A"))).records) == MAX_ALIASES + 1


async def test_names_of_one_domain_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_chains, "MAX_NAMES", 2)
    names = [(f"{label}.example.org", "A") for label in "abc"]
    assert len((await follow(Dns({}), *names)).records) == 2


async def test_names_of_many_labels_are_bounded() -> None:
    world = Dns({})
    await follow(world, (".".join([*"abcdefghijklmnopqrst", "example", "org"]), "A"))
    assert len(world.asked) < 50


async def test_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_chains, "MAX_SECONDS", -1.0)
    world = Dns({})
    (state,) = (await follow(world, ("example.org", "MX"))).records
    assert (state.status, world.asked) == ("undecided", [])
    assert state.broken is not None
    assert state.broken.evidence.startswith("DNSKEY of .: not asked for")


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_chains, "MAX_KEPT", 1)
    world = Dns({("example.org", "MX"): ["10 mx."]})
    await follow(world, ("example.org", "MX"))
    assert len(world.asked) > len(WAY) + 1
