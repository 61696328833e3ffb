"""DNS: what a name server answers, and what the small server of demo and tests is asked."""

import functools

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rrset

from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.dns.answers import Answer, CaaRecord, Existence, Security
from letterlock.protocols.dns.chains import MAX_LINKS, Unfinished, join_answers, read_answer
from letterlock.protocols.dns.codec import MAX_EXTENDED_ERRORS, build_query, parse_response
from letterlock.protocols.dns.messages import RDTYPES, Malformed, MxRdata, Response
from tests.fuzz.target import Target, take_choices

_NAME = Domain("example.com")
_TYPES = ("A", "AAAA", "MX", "CNAME", "TXT", "PTR", "TLSA", "SOA", "CAA")
_WORDS = (
    *(b"\xc0\x0c", b"\xc0\x00", b"\0\x05\0\1", b"\0\x0f\0\1", b"\0\x10\0\1", b"\0\x06\0\1"),
    *(b"\0\0\x29\x04\xd0", b"\0\x0f\0\2\0\6", b"\x3f" + b"a" * 63, b"\x07example\x03com\0", b"\0"),
    *(b"\x81\xa0", b"\x83\x80", b"\0\1\0\1\0\0\0\0", b"\0\x34\0\1", b"\0\x1c\0\1", b"\0\x01\0\1"),
    *(b"\1\1\0\1", b"\0\5issue"),
)


def _make_response(*records: str, rcode: int = 0, authority: str | None = None) -> bytes:
    query = dns.message.make_query("example.com.", "MX", use_edns=0)
    query.id = 1
    message = dns.message.make_response(query)
    message.set_rcode(dns.rcode.Rcode(rcode))
    message.flags |= dns.flags.AD
    for record in records:
        owner, rdtype, rdata = record.split(" ", 2)
        message.answer.append(dns.rrset.from_text(owner, 300, "IN", rdtype, rdata))
    if authority is not None:
        message.authority.append(dns.rrset.from_text("example.com.", 60, "IN", "SOA", authority))
    message.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.STALE_ANSWER, "old")])
    return message.to_wire()


_RESPONSES = (
    _make_response("example.com. MX 10 mx1.example.com.", "example.com. MX 0 ."),
    _make_response(
        "example.com. CNAME a.example.net.",
        "a.example.net. CNAME b.example.net.",
        "b.example.net. A 192.0.2.1",
        "b.example.net. AAAA 2001:db8::1",
    ),
    _make_response('example.com. TXT "v=STSv1; id=1" "x"', "example.com. TLSA 3 1 1 " + "00" * 32),
    _make_response(
        'example.com. CAA 0 issue "ca.example; accounturi=https://ca.example/1"',
        'example.com. CAA 128 tbs "Unknown"',
    ),
    _make_response(rcode=3, authority="ns. hostmaster. 1 2 3 4 60"),
)


def check_response(octets: bytes) -> None:
    """A response is read as dnspython reads it, or is malformed; what it means is bounded."""
    (choice,), wire = take_choices(octets, 1)
    response = parse_response(wire)
    if isinstance(response, Malformed):
        assert response.reason.isprintable()
        return
    assert len(response.extended_errors) <= MAX_EXTENDED_ERRORS
    assert all(error.text.isprintable() for error in response.extended_errors)
    if response.is_truncated:
        return
    _compare(response, wire)
    asked = _find_domain(response)
    for name in {asked, _NAME}:
        for security in (Security.SECURE, Security.INSECURE):
            _check_answer(name, _TYPES[choice % len(_TYPES)], response, security)


def _compare(response: Response, wire: bytes) -> None:
    try:
        expected = dns.message.from_wire(
            wire, ignore_trailing=True, one_rr_per_rrset=True, raise_on_truncation=False
        )
    except (dns.exception.DNSException, ValueError, IndexError):
        return
    assert response.query_id == expected.id
    assert response.rcode == expected.rcode()
    assert response.is_authentic == bool(expected.flags & dns.flags.AD)
    records = [each for each in expected.answer if each.rdclass == dns.rdataclass.IN]
    assert len(records) == len(response.answers)
    for ours, theirs in zip(response.answers, records, strict=True):
        assert dns.name.from_text(ours.owner) == theirs.name
        assert (ours.rdtype, ours.ttl) == (theirs.rdtype, theirs.ttl)
        (rdata,) = theirs
        match ours.rdata:
            case MxRdata(preference, exchange):
                assert preference == rdata.preference
                assert dns.name.from_text(exchange) == rdata.exchange
            case str(target) if ours.rdtype in (2, 5, 12):
                assert dns.name.from_text(target) == rdata.target
            case CaaRecord(flags, tag, value):
                assert (flags, tag, value) == (rdata.flags, rdata.tag, rdata.value)
            case bytes(text) if ours.rdtype == RDTYPES["TXT"]:
                assert text == b"".join(rdata.strings)
            case _:
                pass


def _find_domain(response: Response) -> Domain:
    try:
        return parse_domain(response.question.name) if response.question else _NAME
    except DomainError:
        return _NAME


def _check_answer(name: Domain, rdtype: str, response: Response, security: Security) -> None:
    answer = read_answer(name, rdtype, response, security)
    if isinstance(answer, Unfinished):
        assert answer.start.cnames[-1].target == answer.target
        rest = Answer(answer.target, rdtype, Security.INSECURE)
        answer = join_answers(answer.start, rest)
        assert answer.security is not Security.SECURE
    assert answer.name == name
    assert len(answer.cnames) <= MAX_LINKS
    assert answer.ttl >= 0
    assert answer.reason.isprintable()
    if answer.is_answer:
        assert response.rcode in (0, 3)
        assert answer.security in (security, Security.INSECURE)
    if answer.existence is Existence.NXDOMAIN:
        assert response.rcode == 3
        assert not answer.records


@functools.cache
def _server() -> ZoneServer:
    return ZoneServer({"example.com": "@ MX 10 mx\nmx A 192.0.2.1\nalias CNAME mx"})


def check_query(octets: bytes) -> None:
    """The server of demo and tests gives an answer that can be read, or none; it never falls."""
    (choice,), wire = take_choices(octets, 1)
    answer = _server().answer(wire, is_datagram=bool(choice & 1))
    assert answer is None or isinstance(parse_response(answer), Response | Malformed)


TARGETS = (
    Target(
        "dns-response",
        check_response,
        tuple(bytes((at,)) + wire for at, wire in enumerate(_RESPONSES)),
        _WORDS,
        2048,
        runs=750,
    ),
    Target(
        "dns-query",
        check_query,
        tuple(b"\1" + build_query(Domain(name), "A", 1) for name in ("example.com", "a.alias")),
        _WORDS,
        512,
        runs=500,
    ),
)
