"""DNS messages: what is built and read agrees with dnspython, and no octets are too strange."""

import random
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain, parse_domain
from letterlock.protocols.dns.answers import CaaRecord, TlsaRecord
from letterlock.protocols.dns.codec import (
    MAX_EXTENDED_ERRORS,
    MAX_EXTRA_TEXT_OCTETS,
    UDP_PAYLOAD_OCTETS,
    build_query,
    parse_response,
)
from letterlock.protocols.dns.messages import (
    RDTYPES,
    ExtendedError,
    Malformed,
    MxRdata,
    Question,
    Response,
    SoaRdata,
    format_rcode,
)

EXAMPLE = parse_domain("example.com")
LABELS = st.binary(min_size=1, max_size=63)
NAMES = st.lists(LABELS, max_size=6).filter(lambda labels: sum(map(len, labels)) < 240)
TTLS = st.integers(0, 2**31 - 1)


def header(
    *,
    flags: int = 0x8180,
    questions: int = 0,
    answers: int = 0,
    authorities: int = 0,
    additionals: int = 0,
) -> bytes:
    return struct.pack(">6H", 7, flags, questions, answers, authorities, additionals)


def record(owner: bytes, rdtype: int, rdata: bytes, *, rdclass: int = 1, ttl: int = 60) -> bytes:
    return owner + struct.pack(">HHIH", rdtype, rdclass, ttl, len(rdata)) + rdata


def reason_of(message: bytes) -> str:
    parsed = parse_response(message)
    assert isinstance(parsed, Malformed)
    return parsed.reason


def parse(message: bytes) -> Response:
    parsed = parse_response(message)
    assert isinstance(parsed, Response)
    return parsed


def text_of(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name.labels != (b"",) else ""


# Queries


@given(
    labels=st.lists(
        st.from_regex(r"[a-z0-9_]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True),
        min_size=1,
        max_size=5,
    ),
    rdtype=st.sampled_from(sorted(RDTYPES)),
    query_id=st.integers(0, 0xFFFF),
    is_checking_disabled=st.booleans(),
)
def test_a_query_is_what_dnspython_reads(
    labels: list[str], rdtype: str, query_id: int, is_checking_disabled: bool
) -> None:
    """RFC 1035 §4.1, RFC 6891 §6.1"""
    name = Domain(".".join(labels))
    wire = build_query(name, rdtype, query_id, is_checking_disabled=is_checking_disabled)
    query = dns.message.from_wire(wire)
    assert query.id == query_id
    (question,) = query.question
    assert (question.name, question.rdclass, question.rdtype) == (
        dns.name.from_text(name),
        dns.rdataclass.IN,
        RDTYPES[rdtype],
    )
    expected = dns.flags.RD | dns.flags.AD | (dns.flags.CD if is_checking_disabled else 0)
    assert query.flags == expected
    assert (query.edns, query.payload, query.ednsflags) == (0, UDP_PAYLOAD_OCTETS, dns.flags.DO)


def test_a_query_can_go_without_edns() -> None:
    query = dns.message.from_wire(build_query(EXAMPLE, "MX", 1, has_edns=False))
    assert query.edns == -1


def test_every_type_has_the_number_that_dnspython_gives_it() -> None:
    assert {name: int(dns.rdatatype.from_text(name)) for name in RDTYPES} == RDTYPES


# Responses, with dnspython as the oracle


@st.composite
def rdatas(draw: st.DrawFn) -> tuple[str, Any]:
    rdtype = draw(
        st.sampled_from(["A", "AAAA", "MX", "CNAME", "NS", "PTR", "SOA", "TXT", "TLSA", "CAA"])
    )
    name = dns.name.Name([*draw(NAMES), b""])
    octets = {
        "A": draw(st.binary(min_size=4, max_size=4)),
        "AAAA": draw(st.binary(min_size=16, max_size=16)),
        # dnspython refuses a digest whose length is not its matching type's (RFC 6698 §2.1.3).
        "TLSA": draw(st.binary(min_size=2, max_size=2))
        + draw(st.sampled_from([b"\x01" + bytes(32), b"\x02" + bytes(64), b"\x00x", b"\x09x"])),
        # It refuses a tag that RFC 8659 §4.1 does not allow.
        "CAA": draw(st.binary(min_size=1, max_size=1))
        + draw(st.sampled_from([b"\x05issue", b"\x09ISSUEwild", b"\x01x"]))
        + draw(st.binary(max_size=300)),
    }
    if rdtype in octets:
        wire = octets[rdtype]
        return rdtype, dns.rdata.from_wire("IN", rdtype, wire, 0, len(wire))
    if rdtype == "TXT":
        strings = draw(st.lists(st.binary(max_size=255), min_size=1, max_size=3))
        wire = b"".join(bytes((len(s),)) + s for s in strings)
        return rdtype, dns.rdata.from_wire("IN", rdtype, wire, 0, len(wire))
    wire = name.to_digestable()
    if rdtype == "MX":
        wire = struct.pack(">H", draw(st.integers(0, 0xFFFF))) + wire
    if rdtype == "SOA":
        wire = wire + wire + struct.pack(">5I", *(draw(TTLS) for _ in range(5)))
    return rdtype, dns.rdata.from_wire("IN", rdtype, wire, 0, len(wire))


def as_ours(rdtype: str, rdata: Any) -> object:
    made: dict[str, Callable[[], object]] = {
        "A": lambda: IPv4Address(rdata.address),
        "AAAA": lambda: IPv6Address(rdata.address),
        "MX": lambda: MxRdata(rdata.preference, text_of(rdata.exchange)),
        "SOA": lambda: SoaRdata(text_of(rdata.mname), rdata.serial, rdata.minimum),
        "TXT": lambda: b"".join(rdata.strings),
        "TLSA": lambda: TlsaRecord(rdata.usage, rdata.selector, rdata.mtype, rdata.cert),
        "CAA": lambda: CaaRecord(rdata.flags, rdata.tag, rdata.value),
    }
    return made.get(rdtype, lambda: text_of(rdata.target))()


@given(
    owner=NAMES,
    contents=st.lists(st.tuples(NAMES, TTLS, rdatas()), max_size=8),
    rcode=st.integers(0, 4095),
    ad=st.booleans(),
    errors=st.lists(st.tuples(st.integers(0, 49151), st.text("abc xyz", max_size=20)), max_size=3),
)
def test_what_dnspython_writes_is_read_the_same(
    owner: list[bytes],
    contents: list[tuple[list[bytes], int, tuple[str, Any]]],
    rcode: int,
    ad: bool,
    errors: list[tuple[int, str]],
) -> None:
    """RFC 1035 §4.1, RFC 6891 §6.1.3, RFC 8914 §2: compression included."""
    asked = dns.name.Name([*owner, b""])
    query = dns.message.make_query(asked, "MX", use_edns=0)
    message = dns.message.make_response(query)
    options: list[dns.edns.Option] = [
        dns.edns.EDEOption(dns.edns.EDECode.make(code), text or None) for code, text in errors
    ]
    message.use_edns(0, options=options)
    message.set_rcode(dns.rcode.Rcode(rcode))
    message.flags |= dns.flags.AD if ad else 0
    for labels, ttl, (_, rdata) in contents:
        rrset = dns.rrset.from_rdata(dns.name.Name([*labels, b""]), ttl, rdata)
        message.answer.append(rrset)
    response = parse(message.to_wire(max_size=65535))
    assert response.query_id == query.id
    assert response.rcode == rcode
    assert response.is_authentic is ad
    assert response.question == Question(text_of(asked), 15)
    assert [(r.owner, r.ttl, r.rdata) for r in response.answers] == [
        (text_of(dns.name.Name([*labels, b""])), ttl, as_ours(rdtype, rdata))
        for labels, ttl, (rdtype, rdata) in contents
    ]
    assert [(e.code, e.text) for e in response.extended_errors] == errors


@given(st.binary(max_size=600))
def test_any_octets_are_a_response_or_malformed(octets: bytes) -> None:
    for message in (octets, header(questions=1, answers=2, additionals=1) + octets):
        assert isinstance(parse_response(message), Response | Malformed)


@given(seed=st.integers(), count=st.integers(1, 4))
def test_a_damaged_response_is_a_response_or_malformed(seed: int, count: int) -> None:
    wire = bytearray(sample_response())
    chooser = random.Random(seed)
    for _ in range(count):
        wire[chooser.randrange(len(wire))] = chooser.randrange(256)
    assert isinstance(parse_response(bytes(wire)), Response | Malformed)


def test_a_response_cut_anywhere_is_malformed() -> None:
    wire = sample_response()
    assert isinstance(parse_response(wire), Response)
    for size in range(len(wire)):
        assert isinstance(parse_response(wire[:size]), Malformed)


def sample_response() -> bytes:
    query = dns.message.make_query("example.com.", "MX", use_edns=0)
    message = dns.message.make_response(query)
    message.answer.append(
        dns.rrset.from_text("example.com.", 300, "IN", "MX", "10 mx1.example.com.", "20 .")
    )
    message.authority.append(
        dns.rrset.from_text("example.com.", 300, "IN", "SOA", "ns. admin. 1 2 3 4 5")
    )
    message.additional.append(dns.rrset.from_text("mx1.example.com.", 300, "IN", "A", "192.0.2.1"))
    message.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, "no keys")])
    return message.to_wire()


def test_the_sample_is_read() -> None:
    response = parse(sample_response())
    exchanges = {answer.rdata for answer in response.answers}
    assert exchanges == {MxRdata(10, "mx1.example.com"), MxRdata(20, "")}
    assert response.negative_ttl == 5
    assert response.extended_errors == (ExtendedError(6, "no keys"),)


# Single rules

A_RDATA = bytes((192, 0, 2, 1))
LONG_NAME = b"".join(b"\x3f" + b"a" * 63 for _ in range(3)) + b"\x3d" + b"a" * 61 + b"\0"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "the message ends too early"),
        (header(flags=0x0100), "the message is no response to a query"),
        (header(flags=0xA180), "the message is no response to a query"),
        (header(questions=2), "the message has more than one question"),
        (header(questions=1) + b"\0\0\x0f\0\x03", "the question is not of class IN"),
        (
            header(answers=1) + record(b"\xc0\x0c", 1, A_RDATA),
            "a compression pointer does not point back",
        ),
        (
            header(answers=1) + record(b"\x01a\xc0\x0c", 1, A_RDATA),
            "a compression pointer does not point back",
        ),
        (
            header(answers=1) + record(b"\xc0\xff", 1, A_RDATA),
            "a compression pointer does not point back",
        ),
        (header(answers=1) + record(b"\x41a\0", 1, A_RDATA), "a label is of an unknown type"),
        (header(authorities=1) + record(b"\x81a\0", 1, A_RDATA), "a label is of an unknown type"),
        (
            header(answers=1) + record(b"\x01b" + LONG_NAME, 1, A_RDATA),
            "a name has more than 255 octets",
        ),
        (
            header(answers=2)
            + record(LONG_NAME, 1, A_RDATA)
            + record(b"\x01b\xc0\x0c", 1, A_RDATA),
            "a name has more than 255 octets",
        ),
        (header(answers=1) + record(b"\0", 1, b"abc"), "an address record has a wrong length"),
        (header(answers=1) + record(b"\0", 28, A_RDATA), "an address record has a wrong length"),
        (
            header(answers=1) + record(b"\0", 15, b"\0\x01\x01a\0x"),
            "a record's data is not as long as its length says",
        ),
        (
            header(answers=1) + record(b"\0", 16, b"\x05ab") + b"cde",
            "a record's data is not as long as its length says",
        ),
        (header(answers=1) + record(b"\0", 16, b""), "a TXT record has no string"),
        (header(answers=1) + record(b"\0", 52, b"abcd")[:-1], "the message ends too early"),
        (header(answers=1) + record(b"\0", 52, b"ab"), "a TLSA record is too short"),
        (header(answers=1) + record(b"\0", 257, b""), "a CAA record is shorter than its tag"),
        (header(answers=1) + record(b"\0", 257, b"\0"), "a CAA record is shorter than its tag"),
        (
            header(answers=1) + record(b"\0", 257, b"\0\5issu"),
            "a CAA record is shorter than its tag",
        ),
        (
            header(additionals=2) + record(b"\0", 41, b"") * 2,
            "the message has more than one OPT record",
        ),
        (
            header(additionals=1) + record(b"\0", 41, b"\0\x0f\0\x05\0\x01"),
            "an EDNS option is longer than its record",
        ),
        (
            header(additionals=1) + record(b"\0", 41, b"\0\x0f\0\x01\0"),
            "an extended error has no code",
        ),
    ],
)
def test_what_breaks_the_format_is_named(message: bytes, reason: str) -> None:
    """RFC 1035 §4.1.4, §2.3.4; RFC 6891 §6.1.1"""
    assert reason_of(message) == reason


def test_the_longest_name_is_read() -> None:
    """RFC 1035 §2.3.4: 255 octets"""
    message = header(answers=2) + record(LONG_NAME, 1, A_RDATA) + record(b"\xc0\x0c", 1, A_RDATA)
    owners = {answer.owner for answer in parse(message).answers}
    assert len(owners) == 1
    assert len(owners.pop()) == 253


def test_a_pointer_may_point_to_a_pointer_and_to_the_root() -> None:
    """RFC 1035 §4.1.4"""
    first = record(b"\x01A\0", 1, A_RDATA)  # at 12; its root at 14
    second = record(b"\xc0\x0c", 1, A_RDATA)
    third = record(b"\x01b\xc0" + bytes((12 + len(first),)), 1, A_RDATA)
    fourth = record(b"\x01c\xc0\x0e", 1, A_RDATA)
    fifth = record(b"\xc0\x0e", 1, A_RDATA)
    message = header(answers=5) + first + second + third + fourth + fifth
    assert [answer.owner for answer in parse(message).answers] == ["a", "a", "b.a", "c", ""]


def test_a_known_root_adds_no_dot() -> None:
    root = record(b"\0", 1, A_RDATA)  # at 12
    message = header(answers=2) + root + record(b"\x01a\xc0\x0c", 1, A_RDATA)
    assert [answer.owner for answer in parse(message).answers] == ["", "a"]


def test_odd_octets_in_a_name_are_escaped() -> None:
    """RFC 1035 §5.1"""
    name = b"\x08a.b c\\\xc3\x00\0"
    (answer,) = parse(header(answers=1) + record(name, 1, A_RDATA)).answers
    assert answer.owner == r"a\.b\032c\\\195\000"


def test_records_of_another_class_are_left_out() -> None:
    chaos = record(b"\0", 1, b"odd", rdclass=3)
    assert parse(header(answers=1) + chaos).answers == ()
    soa = b"\0\0" + bytes(20)
    assert parse(header(authorities=1) + record(b"\0", 6, soa, rdclass=3)).negative_ttl is None


def test_a_ttl_with_its_highest_bit_set_is_nothing() -> None:
    """RFC 2181 §8"""
    (answer,) = parse(header(answers=1) + record(b"\0", 1, A_RDATA, ttl=1 << 31)).answers
    assert answer.ttl == 0


@pytest.mark.parametrize(("ttl", "minimum", "negative"), [(60, 5, 5), (5, 60, 5)])
def test_a_negative_answer_is_kept_for_the_lesser_of_ttl_and_minimum(
    ttl: int, minimum: int, negative: int
) -> None:
    soa = record(b"\0", 6, b"\0\0" + struct.pack(">5I", 1, 2, 3, 4, minimum), ttl=ttl)
    other = record(b"\x01a\0", 2, b"\0")
    assert parse(header(authorities=3) + other + soa + other).negative_ttl == negative


def test_of_a_truncated_response_only_the_question_is_read() -> None:
    """RFC 2181 §9"""
    message = header(flags=0x8380, questions=1, answers=9) + b"\x01a\0\0\x0f\0\x01" + b"\xff"
    response = parse(message)
    assert response.is_truncated
    assert response.question == Question("a", 15)


def test_extended_errors_are_bounded_and_printable() -> None:
    """RFC 8914 §2"""
    text = b"line\r\nend\xff" + b"x" * 300
    option = struct.pack(">HHH", 15, 2 + len(text), 9) + text
    other = struct.pack(">HH", 10, 2) + b"no"
    options = other + option * 12
    response = parse(header(additionals=1) + record(b"\0", 41, options))
    assert len(response.extended_errors) == MAX_EXTENDED_ERRORS
    assert response.extended_errors[0].text.startswith("line??end\N{REPLACEMENT CHARACTER}x")
    assert len(response.extended_errors[0].text) <= MAX_EXTRA_TEXT_OCTETS


def test_other_types_are_given_as_octets_and_trailing_octets_are_ignored() -> None:
    message = header(answers=1) + record(b"\0", 99, b"abc") + b"junk"
    assert [answer.rdata for answer in parse(message).answers] == [b"abc"]


def test_tlsa_data_of_any_length_is_given_as_published() -> None:
    """RFC 6698 §2.1: whether a record can be used is judged later, and it spoils no other."""
    message = header(answers=2) + record(b"\0", 52, b"\3\1\1") + record(b"\0", 52, b"\xff\2\x09ab")
    assert [answer.rdata for answer in parse(message).answers] == [
        TlsaRecord(3, 1, 1, b""),
        TlsaRecord(255, 2, 9, b"ab"),
    ]


def test_caa_tags_of_any_octets_are_given_as_published() -> None:
    """RFC 8659 §4.1: who judges says what such a tag means, and it spoils no other record."""
    rdatas = (b"\x80\x05issue;", b"\0\0x", b"\x01\x03\xff-aca.example")
    message = header(answers=3) + b"".join(record(b"\0", 257, rdata) for rdata in rdatas)
    assert [answer.rdata for answer in parse(message).answers] == [
        CaaRecord(128, b"issue", b";"),
        CaaRecord(0, b"", b"x"),
        CaaRecord(1, b"\xff-a", b"ca.example"),
    ]


def test_a_response_may_have_no_question() -> None:
    assert parse(header(flags=0x8185)).question is None


def test_response_codes_have_names() -> None:
    assert [format_rcode(number) for number in (0, 5, 23)] == ["NOERROR", "REFUSED", "RCODE23"]


@pytest.mark.parametrize("shape", ["targets", "chain"])
def test_hostile_compression_takes_linear_time(shape: str) -> None:
    """A full message of pointers is read in far less than a second."""
    names = b"".join(b"\x01a" for _ in range(120)) + b"\0"
    if shape == "targets":
        block = b"".join(b"\xc0\x17" for _ in range(15000))
    else:
        block = b"\xc0\x17" + b"".join(
            struct.pack(">H", 0xC000 | (23 + len(names) + 2 * i)) for i in range(8000)
        )
    first = record(b"\0", 99, names + block)  # the names begin at offset 23
    space = (65535 - 12 - len(first)) // 16
    offsets = [23 + len(names) + 2 * (i % 8000) for i in range(space)]
    rest = b"".join(record(struct.pack(">H", 0xC000 | o), 1, A_RDATA) for o in offsets)
    message = header(answers=1 + space) + first + rest
    started = time.process_time()
    assert isinstance(parse_response(message), Response)
    assert time.process_time() - started < 1
