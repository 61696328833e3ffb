"""What follows from hosts and trials together: RFC 5321 §5.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.dns.answers import Security
from letterlock.services.deliver.delivery import Routing
from letterlock.services.discover.next_hop import NextHopError, parse_next_hop
from letterlock.services.discover.routes import MxHost, NoRoute
from letterlock.services.explain.explainer import parse_question
from letterlock.services.explain.explanation import (
    Explanation,
    Fate,
    Followed,
    HostExplanation,
    Question,
    find_fate,
)
from tests.services.deliver.outbound import HOST
from tests.services.explain.asking import RESOLVER

FATES = st.sampled_from(Fate)


@pytest.mark.parametrize(
    ("fates", "fate"),
    [
        ([], Fate.DELIVER),
        ([Fate.BOUNCE, Fate.UNDECIDABLE, Fate.DEFER, Fate.DELIVER], Fate.DELIVER),
        ([Fate.BOUNCE, Fate.UNDECIDABLE, Fate.DEFER], Fate.DEFER),
        ([Fate.BOUNCE, Fate.UNDECIDABLE], Fate.UNDECIDABLE),
        ([Fate.BOUNCE, Fate.BOUNCE], Fate.BOUNCE),
    ],
)
def test_one_host_that_takes_it_is_enough(fates: list[Fate], fate: Fate) -> None:
    assert find_fate(fates) is fate


@given(st.lists(FATES, min_size=1), st.lists(FATES, min_size=1))
def test_hosts_together_are_no_worse_than_apart(first: list[Fate], second: list[Fate]) -> None:
    """RFC 5321 §5.1: however they are divided, and in whatever order."""
    together = find_fate([*first, *second])
    assert together is find_fate([find_fate(second), find_fate(first)])


@pytest.mark.parametrize(
    ("route", "fate"),
    [
        (NoRoute(is_permanent=True, status="5.1.10", reason="null MX"), Fate.BOUNCE),
        (
            NoRoute(is_permanent=False, status="4.4.3", reason="x", mx_security=Security.BOGUS),
            Fate.DEFER,
        ),
        (
            NoRoute(is_permanent=False, status="4.4.3", reason="x", mx_security=Security.FAILED),
            Fate.UNDECIDABLE,
        ),
        (
            NoRoute(
                is_permanent=False,
                status="4.4.3",
                reason="x",
                hosts=(MxHost(None, 10, error="x", is_passing=True, is_undecided=True),),
            ),
            Fate.UNDECIDABLE,
        ),
    ],
)
def test_without_a_route_it_depends_on_who_said_so(route: NoRoute, fate: Fate) -> None:
    question = Question("example.com", parse_next_hop("example.com"))
    assert Explanation(question, RESOLVER, Followed(route, (), None, None)).fate is fate


@pytest.mark.parametrize(
    ("host", "fate"),
    [
        (MxHost(None, 10, error="none"), Fate.BOUNCE),
        (MxHost(None, 10, error="bogus", is_passing=True), Fate.DEFER),
        (MxHost(None, 10, error="no answer", is_passing=True, is_undecided=True), Fate.UNDECIDABLE),
    ],
)
def test_a_host_without_addresses_is_what_its_lookup_was(host: MxHost, fate: Fate) -> None:
    assert HostExplanation(host).fate is fate
    assert HostExplanation(host).best_trial is None


ROUTING = Routing(frozenset({"ours.example"}), {}, None, 2525)


@pytest.mark.parametrize(
    ("text", "name", "key", "port"),
    [
        ("bob@B\u00fccher.example", "xn--bcher-kva.example", "xn--bcher-kva.example", 2525),
        ('"a@b"@example.com', "example.com", "example.com", 2525),
        (f"[{HOST}]", f"[{HOST}]", f"[{HOST}]", 2525),
        ("[192.0.2.1]:587", "[192.0.2.1]:587", "[192.0.2.1]:587", 587),
        ("bob@[IPv6:2001:db8::1]", "[2001:db8::1]", "[2001:db8::1]", 2525),
    ],
)
def test_a_question_is_an_address_a_domain_or_a_host(
    text: str, name: str, key: str, port: int
) -> None:
    question = parse_question(text, ROUTING)
    assert question.next_hop is not None
    assert (question.name, question.next_hop.key, question.next_hop.port) == (name, key, port)
    assert not question.is_routed


def test_a_domain_of_ours_has_no_next_hop() -> None:
    assert parse_question("bob@Ours.example", ROUTING) == Question("ours.example", None)


@pytest.mark.parametrize(
    "text",
    ["", "bob@", "a@b@c", "a b@c", "a b", "192.0.2.1", "example.com:0", "[]", "x" * 400],
)
def test_anything_else_is_no_question(text: str) -> None:
    with pytest.raises(NextHopError):
        parse_question(text, ROUTING)
