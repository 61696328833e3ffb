"""The relevant record set: where the climb ends, and what is never taken for no records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.caa.relevant import (
    LookupFailed,
    NoRecords,
    RecordSet,
    ends_climb,
    find_relevant,
    list_climb,
)
from letterlock.protocols.dns.answers import Answer, CaaRecord, Existence, Record, Security

SECURE, INSECURE = Security.SECURE, Security.INSECURE
NAME = Domain("x.y.example")
ISSUE = CaaRecord(0, b"issue", b"ca.example")
OTHER = CaaRecord(0, b"issue", b"other.example")


def found(name: str, *records: Record, security: Security = SECURE, ttl: int = 60) -> Answer:
    owner = Domain(name)
    return Answer(owner, "CAA", security, Existence.RECORDS, records, owner=owner, ttl=ttl)


def nothing(
    name: str, security: Security = SECURE, existence: Existence = Existence.NODATA
) -> Answer:
    return Answer(Domain(name), "CAA", security, existence, ttl=60)


def failed(name: str, security: Security = Security.FAILED) -> Answer:
    return Answer(Domain(name), "CAA", security, reason="no answer")


EMPTY = [nothing("x.y.example"), nothing("y.example"), nothing("example")]


def test_the_climb_goes_up_to_the_top_level_domain_and_not_to_the_root() -> None:
    """RFC 8659 §3; rule 158"""
    assert list(list_climb(NAME)) == ["x.y.example", "y.example", "example"]
    assert list(list_climb(Domain("localhost"))) == ["localhost"]
    assert len(list(list_climb(Domain(".".join("a" * 127))))) == 127


@pytest.mark.parametrize(
    ("answer", "is_end"),
    [
        (nothing("a.b"), False),
        (nothing("a.b", existence=Existence.NXDOMAIN), False),
        (found("a.b", ISSUE), True),
        (found("a.b"), True),
        (failed("a.b"), True),
        (failed("a.b", Security.BOGUS), True),
    ],
)
def test_the_climb_ends_at_records_and_at_failures(answer: Answer, is_end: bool) -> None:
    """RFC 8659 §3: what stands above a set, or above a failure, does not matter.

    Rules 158 and 161.
    """
    assert ends_climb(answer) is is_end


@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_first_set_on_the_way_up_is_the_relevant_one(at: int) -> None:
    """RFC 8659 §3; rule 158"""
    lookups: list[Answer] = list(EMPTY)
    lookups[at] = found(EMPTY[at].name, ISSUE, ttl=300)
    lookups[at + 1 :] = [found(answer.name, OTHER) for answer in EMPTY[at + 1 :]]
    place = EMPTY[at].name
    expected = RecordSet(NAME, place, (ISSUE,), SECURE, 300, place)
    assert find_relevant(NAME, lookups) == expected
    assert find_relevant(NAME, lookups[: at + 1]) == expected


def test_nothing_up_to_the_top_level_domain_is_no_records() -> None:
    """RFC 8659 §3: names that do not exist have none, and neither have empty ones in between.

    Rule 160.
    """
    assert find_relevant(NAME, EMPTY) == NoRecords(NAME, SECURE)
    lookups = [nothing("x.y.example", existence=Existence.NXDOMAIN), *EMPTY[1:]]
    assert find_relevant(NAME, lookups) == NoRecords(NAME, SECURE)


def test_all_is_as_sure_as_its_weakest_lookup() -> None:
    """RFC 8659 §5.1, RFC 4035 §4.3; rule 162"""
    lookups = [nothing("x.y.example", INSECURE), *EMPTY[1:]]
    assert find_relevant(NAME, lookups) == NoRecords(NAME, INSECURE)
    lookups[1] = found("y.example", ISSUE)
    relevant = find_relevant(NAME, lookups)
    assert isinstance(relevant, RecordSet)
    assert relevant.security is INSECURE


@pytest.mark.parametrize("security", [Security.FAILED, Security.BOGUS])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_failed_lookup_is_never_no_records(security: Security, at: int) -> None:
    """RFC 8659 §3, §6.4: also where there are records above it. Rule 161"""
    lookups: list[Answer] = list(EMPTY)
    lookups[at] = failed(EMPTY[at].name, security)
    lookups[at + 1 :] = [found(answer.name, ISSUE) for answer in EMPTY[at + 1 :]]
    expected = LookupFailed(NAME, EMPTY[at].name, security, "no answer")
    assert find_relevant(NAME, lookups) == expected


def test_a_failure_above_a_set_does_not_matter() -> None:
    """RFC 8659 §3; rule 161"""
    lookups = [found("x.y.example", ISSUE), failed("y.example"), failed("example")]
    assert isinstance(find_relevant(NAME, lookups), RecordSet)


@pytest.mark.parametrize(
    ("lookups", "at"),
    [
        ([], "x.y.example"),
        (EMPTY[:1], "y.example"),
        (EMPTY[:2], "example"),
        (EMPTY[1:], "x.y.example"),
        ([EMPTY[0], *EMPTY], "y.example"),
        ([EMPTY[0], EMPTY[2]], "y.example"),
        ([Answer(NAME, "TXT", SECURE, Existence.RECORDS, (b"",))], "x.y.example"),
        ([found("z.y.example", ISSUE)], "x.y.example"),
    ],
)
def test_what_was_not_looked_up_counts_as_failed(lookups: list[Answer], at: str) -> None:
    """RFC 8659 §3: other names' lookups do not stand in for it. Rules 161 and 177"""
    expected = LookupFailed(NAME, Domain(at), Security.FAILED, "it was not looked up")
    assert find_relevant(NAME, lookups) == expected


@pytest.mark.parametrize("records", [(), (b"\0\5issue",), (ISSUE, b"odd")])
def test_records_that_cannot_be_read_are_a_failure(records: tuple[Record, ...]) -> None:
    """RFC 8659 §4.1; rule 165"""
    relevant = find_relevant(NAME, [found(NAME, *records)])
    assert isinstance(relevant, LookupFailed)
    assert relevant.reason == "it has records that cannot be read"


def test_a_top_level_domain_that_does_not_exist_is_a_failure_unless_names_are_private() -> None:
    """RFC 8659 §3 would climb past it; public names there cannot be. Rule 160"""
    lookups = [*EMPTY[:2], nothing("example", existence=Existence.NXDOMAIN)]
    assert find_relevant(NAME, lookups) == LookupFailed(
        NAME, Domain("example"), Security.FAILED, "there is no such top-level domain"
    )
    assert find_relevant(NAME, lookups, may_lack_top=True) == NoRecords(NAME, SECURE)


def test_an_alias_leads_to_records_that_count_for_the_name() -> None:
    """RFC 8659 §3, §7: the target is not climbed from; its records are those of the name.

    Rule 159.
    """
    answer = Answer(
        NAME, "CAA", SECURE, Existence.RECORDS, (ISSUE,), owner=Domain("caa.host.example"), ttl=5
    )
    relevant = find_relevant(NAME, [answer])
    assert relevant == RecordSet(NAME, NAME, (ISSUE,), SECURE, 5, Domain("caa.host.example"))


@given(st.permutations([ISSUE, OTHER, CaaRecord(128, b"TBS", b"x"), CaaRecord(0, b"iodef", b"y")]))
def test_the_order_of_records_does_not_matter(records: list[CaaRecord]) -> None:
    """RFC 2181 §5: a set has no order"""
    expected = find_relevant(NAME, [found(NAME, *sorted(records, key=str))])
    assert find_relevant(NAME, [found(NAME, *records)]) == expected
