"""What is told is what delivery does: every situation is explained, tried, and then sent to.

RFC 7672 §2.2, RFC 8461 §5, RFC 8689 §4.2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import MxRecord, Security
from letterlock.protocols.policy.judge import ClearFallback, FallbackRule
from letterlock.protocols.policy.requirement import Level, Requirement
from letterlock.protocols.policy.table import TableEntry, WrongEntry
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.services.deliver.outgoing import MAX_ADDRESSES
from letterlock.services.deliver.story import describe_requirement
from letterlock.services.discover.routes import MAX_ADDRESSES_PER_HOST
from letterlock.services.explain.document import describe_explanation
from letterlock.services.explain.explanation import Explanation, Fate
from letterlock.services.queue.outcomes import Result
from tests.misbehaving import GOOD_EXTENSIONS, Act, Conduct
from tests.services.deliver.outbound import DOMAIN, HOST, leaf, only, stories
from tests.services.deliver.published import (
    ANOTHERS,
    SECOND_HOST,
    UNUSABLE,
    Hosts,
    going_to,
    tlsa,
    untrusted,
)
from tests.services.explain.asking import ask

GOOD = Conduct(leaf())
SECOND_GOOD = Conduct(leaf((SECOND_HOST,)))
WILD_LEAF = untrusted()
WILD = Conduct(WILD_LEAF)
CLEAR = Conduct()
REQUIRETLS = Conduct(leaf(), extensions=(*GOOD_EXTENSIONS, "REQUIRETLS"))
NOT_STARTED = Conduct(leaf(), answers={"STARTTLS": "454 not now"})
BROKEN_TLS = Conduct(leaf(), instead_of_tls=Act.RESET)
UNWILLING = Conduct(leaf(), answers={"banner": "554 go away"})

FATES = {
    Fate.DELIVER: Result.DELIVERED,
    Fate.DEFER: Result.DEFERRED,
    Fate.UNDECIDABLE: Result.DEFERRED,
    Fate.BOUNCE: Result.FAILED,
}


def nothing(_: Hosts) -> None:
    """Publish nothing."""


def entry(level: Level, *, text: str = "") -> Callable[[Hosts], None]:
    def add(hosts: Hosts) -> None:
        hosts.node.entries[DOMAIN] = TableEntry(DOMAIN, level, "table:1", reason=text)

    return add


def wrong_entry(hosts: Hosts) -> None:
    hosts.node.entries[DOMAIN] = WrongEntry(DOMAIN, "table:1:level", "no such level")


def missing_trust_file(hosts: Hosts) -> None:
    files = (str(hosts.node.folder / "no-such.pem"),)
    hosts.node.entries[DOMAIN] = TableEntry(DOMAIN, Level.VERIFY, "table:1", trust_files=files)


def without_address(hosts: Hosts) -> None:
    hosts.node.resolver.set(HOST, "A")
    hosts.node.resolver.set(HOST, "AAAA")


def fallback(rule: FallbackRule) -> Callable[[Hosts], None]:
    def turn(hosts: Hosts) -> None:
        hosts.node.fallback = ClearFallback(rule, timedelta(minutes=5))

    return turn


def both(*steps: Callable[[Hosts], None]) -> Callable[[Hosts], None]:
    def take(hosts: Hosts) -> None:
        for step in steps:
            step(hosts)

    return take


@dataclass(frozen=True)
class Case:
    """A situation, and what a message comes to."""

    name: str
    fate: Fate
    conducts: Sequence[Conduct] = (GOOD,)
    publish: Callable[[Hosts], None] = nothing
    mx: Security = Security.SECURE
    demand: TlsDemand = TlsDemand.NORMAL


CASES = [
    Case("nothing published", Fate.DELIVER, (WILD,)),
    Case("clear at may", Fate.DELIVER, (CLEAR,)),
    Case("TLS breaks at may", Fate.DELIVER, (BROKEN_TLS,)),
    Case("TLS breaks, and no clear text", Fate.DEFER, (BROKEN_TLS,), fallback(FallbackRule.NEVER)),
    Case("TLS breaks, clear text later", Fate.DEFER, (BROKEN_TLS,), fallback(FallbackRule.AFTER)),
    Case("no STARTTLS after all", Fate.DELIVER, (NOT_STARTED,)),
    Case(
        "no STARTTLS after all, no clear text",
        Fate.DEFER,
        (NOT_STARTED,),
        fallback(FallbackRule.NEVER),
    ),
    Case("a refusal", Fate.BOUNCE, (UNWILLING,)),
    Case("one host refuses", Fate.DELIVER, (UNWILLING, SECOND_GOOD)),
    Case("encrypt, in clear", Fate.DEFER, (CLEAR,), entry(Level.ENCRYPT)),
    Case("verify", Fate.DELIVER, (GOOD,), entry(Level.VERIFY)),
    Case("verify, self-signed", Fate.DEFER, (WILD,), entry(Level.VERIFY)),
    Case("none", Fate.DELIVER, (GOOD,), entry(Level.NONE)),
    Case("dane-only without records", Fate.DEFER, (GOOD,), entry(Level.DANE_ONLY)),
    Case("a wrong entry", Fate.DEFER, (GOOD,), wrong_entry),
    Case("a trust file that is not there", Fate.DEFER, (GOOD,), missing_trust_file),
    Case("DANE", Fate.DELIVER, (WILD,), lambda h: h.publish_tlsa(HOST, tlsa(WILD_LEAF), ANOTHERS)),
    Case("DANE, another key", Fate.DEFER, (GOOD,), lambda h: h.publish_tlsa(HOST, ANOTHERS)),
    Case(
        "DANE of the host by an insecure MX",
        Fate.DEFER,
        (GOOD,),
        lambda h: h.publish_tlsa(HOST, ANOTHERS),
        Security.INSECURE,
    ),
    Case("unusable TLSA", Fate.DEFER, (CLEAR,), lambda h: h.publish_tlsa(HOST, UNUSABLE)),
    Case("a failed TLSA lookup", Fate.DEFER, (GOOD,), lambda h: h.fail_tlsa(HOST)),
    Case(
        "a bogus TLSA lookup, a second host",
        Fate.DELIVER,
        (GOOD, SECOND_GOOD),
        lambda h: h.fail_tlsa(HOST, Security.BOGUS),
    ),
    Case(
        "an entry in place of DANE",
        Fate.DELIVER,
        (GOOD,),
        both(lambda h: h.publish_tlsa(HOST, ANOTHERS), entry(Level.ENCRYPT, text="told them")),
    ),
    Case("MTA-STS", Fate.DELIVER, (GOOD,), lambda h: h.publish_policy()),
    Case("MTA-STS, self-signed", Fate.DEFER, (WILD,), lambda h: h.publish_policy()),
    Case("MTA-STS testing", Fate.DELIVER, (WILD,), lambda h: h.publish_policy(mode="testing")),
    Case("not listed", Fate.DEFER, (GOOD,), lambda h: h.publish_policy("mx.other.example")),
    Case(
        "one of two is listed",
        Fate.DELIVER,
        (GOOD, SECOND_GOOD),
        lambda h: h.publish_policy(SECOND_HOST),
    ),
    Case(
        "the first host has no address, the second is not listed",
        Fate.DEFER,
        (GOOD, SECOND_GOOD),
        both(without_address, lambda h: h.publish_policy("mx.other.example")),
    ),
    Case("REQUIRETLS", Fate.DELIVER, (REQUIRETLS,), demand=TlsDemand.REQUIRETLS),
    Case("REQUIRETLS is not offered", Fate.BOUNCE, (GOOD,), demand=TlsDemand.REQUIRETLS),
    Case("REQUIRETLS, self-signed", Fate.BOUNCE, (WILD,), demand=TlsDemand.REQUIRETLS),
    Case(
        "REQUIRETLS, a host of nobody",
        Fate.BOUNCE,
        (REQUIRETLS,),
        mx=Security.INSECURE,
        demand=TlsDemand.REQUIRETLS,
    ),
    Case(
        "TLS-Required: No",
        Fate.DELIVER,
        (WILD,),
        both(lambda h: h.publish_policy(), fallback(FallbackRule.AFTER)),
        demand=TlsDemand.TLS_REQUIRED_NO,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_what_is_told_is_what_delivery_does(case: Case, tmp_path: Path) -> None:
    """RFC 7672 §2.2, RFC 8461 §5.1, RFC 8689 §4.2.1"""
    demand = case.demand
    async with going_to(tmp_path, *case.conducts, mx=case.mx) as hosts:
        case.publish(hosts)
        told = await ask(hosts.node, demand=demand)
        assert sum(hosts.connections) == 0, "explaining speaks to no host"
        tried = await ask(hosts.node, demand=demand, is_live=True)
        assert hosts.mails == [0] * len(hosts.servers), "and trying begins no transaction"
        delivery = await hosts.node.send(tls_demand=demand)
        assert only(delivery).result is FATES[tried.fate]
        assert tried.fate is case.fate
        assert _requirements(told) == _requirements(tried)
        for story, attempt in zip(stories(delivery), delivery.attempts, strict=True):
            host = attempt.relay.partition("[")[0]
            if story["requirement"] is not None:
                assert story["requirement"] == _requirements(told)[host]
        assert describe_explanation(told)["decision"] == told.fate.value
        if told.fate is not Fate.DELIVER:
            # What no handshake could better is told without one.
            assert tried.fate is told.fate


@pytest.mark.parametrize("conduct", [GOOD, WILD], ids=["not listed", "not proved"])
async def test_a_policy_that_has_changed_is_looked_at_again(
    conduct: Conduct, tmp_path: Path
) -> None:
    """RFC 8461 §5.1: as delivery does, before mail waits for what is not wanted any more."""
    async with going_to(tmp_path, conduct, mx=Security.INSECURE) as hosts:
        hosts.publish_policy(HOST if conduct is WILD else "mx.old.example")
        await hosts.look_again()
        mode = "testing" if conduct is WILD else "enforce"
        hosts.publish_policy(HOST, mode=mode, identifier="2")
        told = await ask(hosts.node, is_live=True)
        assert told.fate is Fate.DELIVER
        assert told.way is not None
        assert told.way.mta_sts is not None
        assert told.way.mta_sts.id == "2"
        assert only(await hosts.node.send()).result is Result.DELIVERED


async def test_no_more_addresses_are_tried_than_in_a_delivery(tmp_path: Path) -> None:
    async with going_to(tmp_path, CLEAR) as hosts:
        (server,) = hosts.servers
        addresses = [ip_address(server.ip), *(ip_address(f"127.9.9.{n}") for n in range(20))]
        names = [f"mx{number}.{DOMAIN}" for number in (1, 2, 3)]
        records = [MxRecord(number, Domain(name)) for number, name in enumerate(names)]
        hosts.node.resolver.set(DOMAIN, "MX", *records)
        for name in names:
            hosts.node.resolver.set(name, "A", *addresses)
        told = await ask(hosts.node, is_live=True)
        assert told.way is not None
        trials = [trial for host in told.way.hosts for trial in host.trials]
        assert len(trials) == 3 * MAX_ADDRESSES_PER_HOST
        tried = [trial for trial in trials if not trial.reason.startswith("not tried")]
        assert tried == trials[:MAX_ADDRESSES]
        assert told.fate is Fate.DELIVER


def _requirements(explanation: Explanation) -> dict[str, object]:
    assert explanation.way is not None
    return {
        str(host.host.name): describe_requirement(host.policy.decision)
        for host in explanation.way.hosts
        if host.policy is not None and isinstance(host.policy.decision, Requirement)
    }
