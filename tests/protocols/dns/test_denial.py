"""What NSEC and NSEC3 records prove, and what they don't: RFC 4035 §5.4, RFC 5155 §8."""

from dataclasses import replace

import dns.dnssec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.dns.denial import (
    MAX_ITERATIONS,
    Nsec,
    Nsec3,
    TooManyIterationsError,
    TypeBitmap,
    find_types,
    is_opted_out,
    make_labels,
    proves_no_data,
    proves_no_name,
    proves_wildcard,
)

A, NS, CNAME, SOA, MX, DNAME, DS, RRSIG, TLSA = 1, 2, 5, 6, 15, 39, 43, 46, 52
ZONE = "example"
SALT = bytes.fromhex("ab")


def bits(*types: int) -> TypeBitmap:
    windows: dict[int, bytearray] = {}
    for rdtype in types:
        window, place = divmod(rdtype, 256)
        windows.setdefault(window, bytearray(32))[place // 8] |= 0x80 >> place % 8
    return TypeBitmap(tuple((number, bytes(octets)) for number, octets in windows.items()))


def nsec(owner: str, after: str, *types: int) -> Nsec:
    return Nsec(make_labels(owner), make_labels(after), bits(*types, RRSIG))


def hash_name(name: str, iterations: int = 1) -> bytes:
    """By dnspython."""
    text = dns.dnssec.nsec3_hash(f"{name}.", SALT.hex(), iterations, 1)
    return int(text, 32).to_bytes(20)


def chain(*names: tuple[str, *tuple[int, ...]], is_opt_out: bool = False) -> list[Nsec3]:
    """Make the whole chain of a zone's NSEC3 records."""
    hashed = sorted((hash_name(name), types) for name, *types in names)
    return [
        Nsec3(
            make_labels(ZONE),
            owner,
            hashed[(place + 1) % len(hashed)][0],
            bits(*types),
            SALT,
            1,
            is_opt_out,
        )
        for place, (owner, types) in enumerate(hashed)
    ]


PLAIN = [
    nsec("example", "a.example", NS, SOA, MX),
    nsec("a.example", "cut.example", A),
    nsec("cut.example", "x.ent.example", NS),
    nsec("x.ent.example", "moved.example", A),
    nsec("moved.example", "w.example", DNAME),
    nsec("w.example", "*.w.example", A),
    nsec("*.w.example", "z.example", A),
    nsec("z.example", "example", CNAME),
]
HASHED = chain(
    ("example", NS, SOA, MX),
    ("a.example", A),
    ("cut.example", NS),
    ("ent.example",),
    ("x.ent.example", A),
    ("moved.example", DNAME),
    ("w.example", A),
    ("*.w.example", A),
    ("z.example", CNAME),
)
BOTH = pytest.mark.parametrize("records", [PLAIN, HASHED], ids=["nsec", "nsec3"])


def test_types_are_read_from_their_windows() -> None:
    """RFC 4034 §4.1.2"""
    bitmap = bits(A, TLSA, 257)
    assert [rdtype for rdtype in range(600) if rdtype in bitmap] == [A, TLSA, 257]
    assert 300 not in TypeBitmap(((0, b"\x40"), (1, b"")))


@pytest.mark.parametrize("name", ["example", "a.example", "x.ent.example", "w.w.example", "q"])
def test_a_hash_is_as_others_make_it(name: str) -> None:
    """RFC 5155 §5"""
    (record,) = chain((name, A))
    is_inside = name.endswith(ZONE)
    assert (find_types(make_labels(name), [record]) is not None) is is_inside


@BOTH
@pytest.mark.parametrize(
    ("name", "rdtype", "expected"),
    [
        ("a.example", MX, True),
        ("a.example", A, False),
        ("example", TLSA, True),
        ("example", DS, False),  # The zone's own: only the zone above can say that.
        ("cut.example", DS, True),
        ("cut.example", A, False),  # RFC 6840 §4.1
        ("ent.example", A, True),
        ("q.w.example", MX, True),
        ("q.w.example", A, False),
        ("z.example", A, False),  # an alias
        ("b.example", A, False),  # no name at all, and no wildcard
        ("below.cut.example", A, False),
    ],
)
def test_no_data_is_proved(
    records: list[Nsec | Nsec3], name: str, rdtype: int, *, expected: bool
) -> None:
    """RFC 4035 §5.4, RFC 5155 §8.5 to §8.7"""
    assert proves_no_data(make_labels(name), rdtype, records) is expected


@BOTH
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("b.example", True),
        ("b.a.example", True),
        ("zz.example", True),
        ("a.example", False),
        ("ent.example", False),
        ("q.w.example", False),  # the wildcard stands for it
        ("q.cut.example", False),  # RFC 6840 §4.1: from above a cut
        ("q.moved.example", False),  # and from above a DNAME
    ],
)
def test_no_name_is_proved(records: list[Nsec | Nsec3], name: str, *, expected: bool) -> None:
    """RFC 4035 §5.4, RFC 5155 §8.4"""
    assert proves_no_name(make_labels(name), records) is expected


@BOTH
def test_each_part_of_a_proof_is_needed(records: list[Nsec | Nsec3]) -> None:
    name = make_labels("b.a.example")
    assert proves_no_name(name, records)
    needed = [each for each in records if not proves_no_name(name, _without(records, each))]
    assert needed
    assert not proves_no_name(name, [])
    assert not proves_no_data(name, A, [])


def _without(records: list[Nsec | Nsec3], left_out: Nsec | Nsec3) -> list[Nsec | Nsec3]:
    return [each for each in records if each is not left_out]


@BOTH
def test_a_wildcard_may_stand_for_what_is_not_there(records: list[Nsec | Nsec3]) -> None:
    """RFC 4035 §5.3.4, RFC 5155 §8.8"""
    assert proves_wildcard(make_labels("q.w.example"), 2, records)
    assert not proves_wildcard(make_labels("a.example"), 1, records)
    assert not proves_wildcard(make_labels("q.w.example"), 2, [])


def test_a_wildcard_says_nothing_of_a_name_that_may_be_there() -> None:
    """RFC 5155 §8.7"""
    name = make_labels("q.w.example")
    hashed = hash_name("q.w.example")
    assert proves_no_data(name, MX, HASHED)
    without = [each for each in HASHED if not each.covers(hashed)]
    assert len(without) == len(HASHED) - 1
    assert find_types(make_labels("*.w.example"), without) is not None
    assert find_types(make_labels("w.example"), without) is not None
    assert not proves_no_data(name, MX, without)


def test_unsigned_zones_may_be_left_out() -> None:
    """RFC 5155 §6, §8.6: then nothing proves whether there is one"""
    names = (("example", NS, SOA), ("a.example", A))
    opted_out, complete = chain(*names, is_opt_out=True), chain(*names)
    unlisted = make_labels("unlisted.example")
    assert is_opted_out(unlisted, opted_out)
    assert proves_no_data(unlisted, DS, opted_out)
    assert not proves_no_data(unlisted, A, opted_out)
    assert not is_opted_out(unlisted, complete)
    assert not is_opted_out(make_labels("a.example"), opted_out)
    assert not is_opted_out(unlisted, [])


def test_a_zone_that_hashes_for_ever_is_not_followed() -> None:
    """RFC 9276 §3.2"""
    many = replace(HASHED[0], iterations=MAX_ITERATIONS + 1)
    for prove in (proves_no_name, is_opted_out, find_types):
        with pytest.raises(TooManyIterationsError):
            prove(make_labels("b.example"), [many])
    assert not is_opted_out(
        make_labels("b.example"), [replace(HASHED[0], iterations=MAX_ITERATIONS)]
    )


def test_records_of_other_parameters_count_for_nothing() -> None:
    """RFC 5155 §8.2"""
    name = make_labels("b.example")
    mixed = [HASHED[0], *(replace(each, salt=b"") for each in HASHED[1:])]
    assert proves_no_name(name, HASHED)
    assert not proves_no_name(name, mixed)


def test_hashes_say_nothing_of_names_of_other_zones() -> None:
    for name in ("example.org", "org", "."):
        assert not proves_wildcard(make_labels(name), 1, HASHED)
        assert find_types(make_labels(name), HASHED) is None


NAMES = st.lists(st.sampled_from(["a", "b", "w", "*", "cut", "ent", "x", "z"]), max_size=3)


@given(NAMES, st.lists(st.sampled_from([*PLAIN, *HASHED]), max_size=6), st.sampled_from([A, DS]))
def test_a_part_proves_no_more_than_the_whole(
    labels: list[str], part: list[Nsec | Nsec3], rdtype: int
) -> None:
    """What is proved by some records is true of the zone that they are of."""
    name = make_labels(".".join([*labels, ZONE]))
    if proves_no_name(name, part):
        assert find_types(name, PLAIN) is None
    if proves_no_data(name, rdtype, part) and (types := find_types(name, PLAIN)) is not None:
        assert rdtype not in types
