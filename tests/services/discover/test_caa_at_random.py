"""Climbing over random zones comes to what RFC 8659's own pseudo-code comes to."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.network.dns_cache import CachingResolver
from letterlock.protocols.caa.decide import CaaDecision, Issuance, decide
from letterlock.protocols.caa.relevant import LookupFailed, NoRecords, RecordSet, Relevant
from letterlock.protocols.dns.answers import Answer, CaaRecord, Existence, Security
from letterlock.services.discover.caa import CaaFinder
from tests.fakes import FakeClock

RECORDS = {
    text: CaaRecord(flags, tag, value)
    for text, flags, tag, value in (
        ("ours", 0, b"issue", b"ca.example"),
        ("other", 0, b"issue", b"other.example"),
        ("nobody", 0, b"issue", b";"),
        ("ours-wild", 0, b"issuewild", b"ca.example"),
        ("nobody-wild", 128, b"issuewild", b";"),
        ("iodef", 128, b"iodef", b"mailto:a@b.example"),
        ("unknown", 0, b"tbs", b"x"),
        ("critical", 128, b"tbs", b"x"),
    )
}


@dataclass(frozen=True)
class Place:
    """What DNS says at a name: `failed`, `nothing`, or records by their names above."""

    records: frozenset[str] = frozenset()
    is_failed: bool = False


PLACES = st.one_of(
    st.just(Place()),
    st.just(Place(is_failed=True)),
    st.frozensets(st.sampled_from(sorted(RECORDS)), min_size=1).map(Place),
)
LABELS = st.sampled_from(["a", "b"])
NAMES = st.lists(LABELS, min_size=0, max_size=4).map(lambda labels: ".".join([*labels, "example"]))
ZONES = st.dictionaries(NAMES, PLACES, max_size=12)


class RandomResolver:
    """DNS with these places, and nothing at all others."""

    def __init__(self, zones: dict[str, Place]) -> None:
        self._zones = zones
        self.asked: list[str] = []

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        place = self._zones.get(name, Place())
        if rdtype == "CAA":
            self.asked.append(name)
        if place.is_failed:
            return Answer(name, rdtype, Security.FAILED, reason="no answer")
        existence = Existence.RECORDS if place.records else Existence.NODATA
        records = tuple(RECORDS[each] for each in place.records)
        return Answer(name, rdtype, Security.SECURE, existence, records, owner=name, ttl=60)


def find_by_pseudo_code(zones: dict[str, Place], domain: str) -> tuple[str, Place] | None:
    """RFC 8659 §3, as it stands there; the first thing that is not empty, and where."""
    while domain:
        place = zones.get(domain, Place())
        if place.records or place.is_failed:
            return domain, place
        domain = domain.partition(".")[2]
    return None


def decide_by_the_text(records: frozenset[str], *, is_wildcard: bool) -> CaaDecision:
    """RFC 8659 §4.1 to §4.5, for the records above."""
    if "critical" in records:
        return CaaDecision.DENY
    plain = records & {"ours", "other", "nobody"}
    wild = records & {"ours-wild", "nobody-wild"}
    counted = wild if is_wildcard and wild else plain
    is_ours = bool(counted & {"ours", "ours-wild"})
    return CaaDecision.ALLOW if is_ours or not counted else CaaDecision.DENY


@given(ZONES, st.lists(st.tuples(NAMES, st.booleans()), min_size=1, max_size=8))
async def test_every_name_gets_what_the_standard_s_own_words_give_it(
    zones: dict[str, Place], names: list[tuple[str, bool]]
) -> None:
    """RFC 8659 §3: also where many names share parents, and one memory.

    Rules 158, 161 and 177.
    """
    clock = FakeClock()
    resolver = RandomResolver(zones)
    finder = CaaFinder(CachingResolver(resolver, clock), clock)
    for text, is_wildcard in names:
        name = Domain(text)
        relevant = (await finder.find(name)).relevant
        expected = find_by_pseudo_code(zones, text)
        assert describe(relevant) == expected
        verdict = decide(relevant, Issuance(name, is_wildcard, ("ca.example",)))
        if expected is None:
            assert verdict.decision is CaaDecision.ALLOW
        elif expected[1].is_failed:
            assert verdict.decision is CaaDecision.ERROR
        else:
            decision = decide_by_the_text(expected[1].records, is_wildcard=is_wildcard)
            assert verdict.decision is decision
    assert len(resolver.asked) == len(set(resolver.asked))


def describe(relevant: Relevant) -> tuple[str, Place] | None:
    match relevant:
        case NoRecords():
            return None
        case LookupFailed(at=at):
            return at, Place(is_failed=True)
        case RecordSet(found_at=at, records=records):
            names = {record: name for name, record in RECORDS.items()}
            return at, Place(frozenset(names[record] for record in records))
