"""What a response means: aliases followed, records made, states combined."""

from ipaddress import IPv4Address, ip_address
from itertools import pairwise

import pytest

from letterlock.base.domains import Domain, parse_domain
from letterlock.protocols.dns.answers import (
    Answer,
    CnameLink,
    Existence,
    MxRecord,
    Security,
    SoaRecord,
)
from letterlock.protocols.dns.chains import (
    MAX_LINKS,
    Unfinished,
    join_answers,
    make_bogus,
    read_answer,
    weaker,
)
from letterlock.protocols.dns.extended_errors import format_extended_error
from letterlock.protocols.dns.messages import (
    RDTYPES,
    ExtendedError,
    MxRdata,
    Rdata,
    ResourceRecord,
    Response,
    SoaRdata,
)

NAME = parse_domain("example.com")
ADDRESS = IPv4Address("192.0.2.1")
SECURE = Security.SECURE


def rr(owner: str, rdtype: str, rdata: Rdata, ttl: int = 300) -> ResourceRecord:
    return ResourceRecord(owner, RDTYPES[rdtype], ttl, rdata)


def response(
    *answers: ResourceRecord,
    rcode: int = 0,
    negative_ttl: int | None = None,
    errors: tuple[ExtendedError, ...] = (),
) -> Response:
    return Response(
        query_id=1,
        rcode=rcode,
        is_authentic=False,
        question=None,
        answers=answers,
        negative_ttl=negative_ttl,
        extended_errors=errors,
    )


def read(rdtype: str, *answers: ResourceRecord, negative_ttl: int | None = 60) -> Answer:
    given = response(*answers, negative_ttl=negative_ttl)
    answer = read_answer(NAME, rdtype, given, SECURE)
    assert isinstance(answer, Answer)
    return answer


def test_records_are_given_once_and_in_their_order() -> None:
    """RFC 5321 §5.1: the order of addresses is the resolver's."""
    second = IPv4Address("192.0.2.2")
    rdatas = (second, ADDRESS, second)
    answer = read("A", *(rr(NAME, "A", rdata, ttl) for ttl, rdata in enumerate(rdatas, 7)))
    assert answer == Answer(
        NAME, "A", SECURE, Existence.RECORDS, (second, ADDRESS), owner=NAME, ttl=7
    )


def test_records_of_other_owners_and_types_are_ignored() -> None:
    others = rr("other.example", "A", ADDRESS), rr(NAME, "TXT", b"text")
    answer = read("A", *others)
    assert (answer.existence, answer.records, answer.ttl) == (Existence.NODATA, (), 60)


def test_an_alias_chain_is_followed_and_recorded() -> None:
    """RFC 1034 §3.6.2; RFC 7672 §2.1.3"""
    middle, end = Domain("b.example"), Domain("c.example")
    answer = read(
        "A", rr(end, "A", ADDRESS), rr(middle, "CNAME", end, ttl=9), rr(NAME, "CNAME", middle)
    )
    assert answer.records == (ADDRESS,)
    assert answer.owner == end
    assert answer.cnames == (CnameLink(NAME, middle, SECURE), CnameLink(middle, end, SECURE))
    assert answer.ttl == 9


def test_a_question_for_the_alias_itself_is_not_followed() -> None:
    answer = read("CNAME", rr(NAME, "CNAME", "b.example"), rr("b.example", "CNAME", "c.example"))
    assert answer.records == ("b.example",)
    assert answer.cnames == ()


def chain(length: int) -> list[ResourceRecord]:
    names = [NAME, *(Domain(f"n{number}.example") for number in range(length))]
    return [rr(a, "CNAME", b) for a, b in pairwise(names)]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([rr(NAME, "CNAME", NAME)], "its aliases form a loop"),
        (
            [rr(NAME, "CNAME", "b"), rr("b", "CNAME", "c"), rr("c", "CNAME", "b")],
            "its aliases form a loop",
        ),
        ([rr(NAME, "CNAME", "b"), rr(NAME, "CNAME", "c")], "a name has more than one alias"),
        ([rr(NAME, "CNAME", "b/c.example")], "an alias leads to a name that is no domain name"),
        (chain(MAX_LINKS + 1), f"it has more than {MAX_LINKS} aliases"),
    ],
)
def test_aliases_that_lead_nowhere_fail(answers: list[ResourceRecord], reason: str) -> None:
    answer = read("A", *answers)
    assert (answer.security, answer.reason) == (Security.FAILED, reason)


def test_the_same_alias_twice_is_one() -> None:
    link = rr(NAME, "CNAME", "b.example")
    assert len(read("A", link, link).cnames) == 1


def test_as_many_aliases_as_allowed_are_followed() -> None:
    answer = read("A", *chain(MAX_LINKS))
    assert len(answer.cnames) == MAX_LINKS


def test_a_reverse_name_may_be_delegated_through_a_name_that_is_no_domain() -> None:
    name = Domain("1.2.0.192.in-addr.arpa")
    between = "1.0/25.2.0.192.in-addr.arpa"
    given = response(rr(name, "CNAME", between), rr(between, "PTR", "host.example"))
    answer = read_answer(name, "PTR", given, SECURE)
    assert isinstance(answer, Answer)
    assert (answer.records, answer.owner, answer.cnames) == (("host.example",), None, ())


def test_a_response_that_ends_at_an_alias_is_unfinished() -> None:
    """RFC 7672 §2.1.3: a CNAME without its target's data. Rule 30"""
    given = response(rr(NAME, "CNAME", "b.example", ttl=5))
    answer = read_answer(NAME, "A", given, SECURE)
    assert isinstance(answer, Unfinished)
    assert (answer.target, answer.start.ttl) == ("b.example", 5)
    assert answer.start.cnames == (CnameLink(NAME, Domain("b.example"), SECURE),)


@pytest.mark.parametrize(("rcode", "negative_ttl"), [(0, 60), (3, None), (3, 60)])
def test_an_alias_whose_target_has_nothing_is_an_answer(
    rcode: int, negative_ttl: int | None
) -> None:
    alias = rr(NAME, "CNAME", "b.example")
    answer = read_answer(NAME, "A", response(alias, rcode=rcode, negative_ttl=negative_ttl), SECURE)
    assert isinstance(answer, Answer)
    assert answer.existence is (Existence.NXDOMAIN if rcode else Existence.NODATA)


def start_at(target: str, security: Security = SECURE, ttl: int = 5) -> Answer:
    links = (CnameLink(NAME, Domain(target), security),)
    return Answer(NAME, "A", security, owner=Domain(target), cnames=links, ttl=ttl)


def test_joined_answers_are_as_secure_as_the_weaker_one() -> None:
    """RFC 7672 §2.1.3: an insecure alias makes all behind it insecure. Rule 30"""
    target = Domain("b.example")
    rest = Answer(target, "A", SECURE, Existence.RECORDS, (ADDRESS,), owner=target, ttl=300)
    joined = join_answers(start_at(target, Security.INSECURE), rest)
    assert joined.security is Security.INSECURE
    assert (joined.name, joined.owner, joined.records, joined.ttl) == (NAME, target, (ADDRESS,), 5)
    assert [link.security for link in joined.cnames] == [Security.INSECURE]


@pytest.mark.parametrize("back_to", [NAME, Domain("b.example")])
def test_joined_answers_may_not_form_a_loop(back_to: Domain) -> None:
    target = Domain("b.example")
    rest = Answer(target, "A", SECURE, cnames=(CnameLink(target, back_to, SECURE),))
    joined = join_answers(start_at(target), rest)
    assert (joined.security, joined.reason) == (Security.FAILED, "its aliases form a loop")


def test_joined_answers_are_bounded() -> None:
    names = [Domain("b.example"), *(Domain(f"n{n}.example") for n in range(MAX_LINKS))]
    links = [CnameLink(a, b, SECURE) for a, b in pairwise(names)]
    rest = Answer(names[0], "A", SECURE, cnames=tuple(links))
    joined = join_answers(start_at(names[0]), rest)
    assert (joined.name, joined.security) == (NAME, Security.FAILED)


def test_states_are_ordered_by_trust() -> None:
    order = [SECURE, Security.INSECURE, Security.BOGUS, Security.FAILED]
    for weak, first in enumerate(order):
        for strong, second in enumerate(order):
            assert weaker(first, second) is order[max(weak, strong)]


def test_null_mx_has_no_exchange() -> None:
    """RFC 7505 §3"""
    assert read("MX", rr(NAME, "MX", MxRdata(0, ""))).records == (MxRecord(0, None),)


def test_an_mx_whose_host_is_no_domain_name_is_skipped_but_known_to_exist() -> None:
    """RFC 5321 §5.1: with an MX record present, the domain itself is no mail host."""
    answer = read("MX", rr(NAME, "MX", MxRdata(0, r"bad\032name.example")))
    assert (answer.existence, answer.records) == (Existence.RECORDS, ())
    assert answer.reason == (
        r"1 record skipped: a name in it is no domain name ('bad\032name.example')"
    )
    several = [rr(NAME, "MX", MxRdata(each, f"{each}\\032.example")) for each in range(5)]
    assert read("MX", *several).reason == (
        "5 records skipped: a name in it is no domain name "
        r"('0\032.example', '1\032.example', '2\032.example')"
    )


def test_names_texts_and_zone_heads_become_values() -> None:
    assert read("NS", rr(NAME, "NS", "ns.example")).records == ("ns.example",)
    assert read("TXT", rr(NAME, "TXT", b"text")).records == (b"text",)
    soa = rr(NAME, "SOA", SoaRdata("ns.example", 7, 60))
    assert read("SOA", soa).records == (SoaRecord(Domain("ns.example"), 7, 60),)


@pytest.mark.parametrize(
    ("rcode", "errors", "reason"),
    [
        (2, (), "the name server said SERVFAIL"),
        (5, (ExtendedError(18, ""),), "the name server said REFUSED (Prohibited)"),
        (
            2,
            (ExtendedError(22, "at ns1"), ExtendedError(6, "")),
            "the name server said SERVFAIL (No Reachable Authority: at ns1)",
        ),
    ],
)
def test_other_codes_are_failures(
    rcode: int, errors: tuple[ExtendedError, ...], reason: str
) -> None:
    """RFC 8914 §2"""
    answer = read_answer(NAME, "A", response(rcode=rcode, errors=errors), SECURE)
    assert isinstance(answer, Answer)
    assert (answer.security, answer.reason) == (Security.FAILED, reason)
    assert answer.extended_error == (errors[0].code if errors else None)


def test_the_extended_error_of_an_answer_is_kept() -> None:
    """RFC 8914 §2: it may come with any response."""
    given = response(rr(NAME, "A", ADDRESS), errors=(ExtendedError(3, ""),))
    answer = read_answer(NAME, "A", given, SECURE)
    assert isinstance(answer, Answer)
    assert answer.extended_error == 3


def test_extended_errors_have_names() -> None:
    """RFC 8914 §4"""
    assert format_extended_error(7, "") == "Signature Expired"
    assert format_extended_error(24, "x") == "Invalid Data: x"
    assert format_extended_error(30, "") == "extended error 30"


def test_an_address_is_not_an_answer_to_another_question() -> None:
    answer = read("AAAA", rr(NAME, "A", ip_address("192.0.2.1")))
    assert answer.existence is Existence.NODATA


@pytest.mark.parametrize(
    ("words", "reason"),
    [("", "DNSSEC validation failed"), ("expired", "DNSSEC validation failed (expired)")],
)
def test_what_does_not_validate_says_why(words: str, reason: str) -> None:
    """RFC 4035 §4.3; rule 26"""
    answer = make_bogus(NAME, "A", words, 7)
    assert (answer.security, answer.reason, answer.extended_error) == (Security.BOGUS, reason, 7)
    assert not answer.is_answer
