"""The SPF record of a domain of ours: what it lets through, and whom it leaves out."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.dns.answers import Answer, Existence, Security
from letterlock.services.publish.checks.spf import check_spf
from letterlock.services.publish.findings import Code
from letterlock.services.publish.observed import Observed
from tests.services.publish.own import DOMAIN, HOST
from tests.services.publish.world import World

Change = Callable[[World], None]


def given_text(name: str, *texts: str) -> Change:
    return lambda world: world.set(name, "TXT", *texts)


def spf(text: str) -> Change:
    return given_text(DOMAIN, text, "another text")


TABLE: list[tuple[Change, list[str]]] = [
    (lambda w: w.remove(DOMAIN, "TXT"), [f"error spf-missing {DOMAIN}"]),
    (spf("v=spf10 -all"), [f"error spf-missing {DOMAIN}"]),
    (given_text(DOMAIN, "v=spf1 mx -all", "v=spf1 a -all"), [f"error spf-several {DOMAIN}"]),
    (spf("v=spf1 mx +all"), [f"error spf-allows-all {DOMAIN}"]),
    (spf("v=spf1 mx all"), [f"error spf-allows-all {DOMAIN}"]),
    (spf("v=spf1 mx ?all"), [f"warning spf-open-end {DOMAIN}"]),
    (spf("v=spf1 mx"), [f"warning spf-open-end {DOMAIN}"]),
    (spf("v=spf1 mx wrong -all"), [f"error spf-invalid {DOMAIN}"]),
    (spf("v=spf1 ip4:192.0.2.300 -all"), [f"error spf-invalid {DOMAIN}"]),
    (spf("v=spf1 ip6:192.0.2.1 -all"), [f"error spf-invalid {DOMAIN}"]),
    (spf("v=spf1 include: -all"), [f"error spf-invalid {DOMAIN}"]),
    (spf("v=spf1 mx all:x"), [f"error spf-invalid {DOMAIN}"]),
    (spf("v=spf1 mx " + "include:a.example " * 10 + "-all"), [f"error spf-lookups {DOMAIN}"]),
    (spf("v=spf1 -all"), [f"note spf-differs {DOMAIN}", f"error spf-excludes-us {DOMAIN}"]),
    (spf("v=spf1 a -all"), [f"note spf-differs {DOMAIN}", f"error spf-excludes-us {DOMAIN}"]),
    (spf("v=spf1 -mx include:a.example -all"), [
        f"note spf-differs {DOMAIN}", f"error spf-excludes-us {DOMAIN}",
    ]),
    (spf("v=spf1 ip4:192.0.2.0/24 -all"), [
        f"note spf-differs {DOMAIN}", f"error spf-excludes-us {DOMAIN}",
    ]),
    (spf("v=spf1 ip4:192.0.2.1 IP6:2001:db8::/64 ~all"), [f"note spf-differs {DOMAIN}"]),
    (spf("v=spf1 include:a.example -all"), [f"note spf-differs {DOMAIN}"]),
    (spf("v=spf1 a:mx1.example.org -all"), [f"note spf-differs {DOMAIN}"]),
    (spf("v=spf1 a exp=a.example redirect=a.example"), [f"note spf-differs {DOMAIN}"]),
    (lambda w: w.remove(HOST, "TXT"), [f"note spf-missing {HOST}"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), TABLE)
async def test_each_thing_that_is_wrong_is_found(change: Change, expected: list[str]) -> None:
    """RFC 7208 §4.5, §4.6.1, §4.6.4, §5.1"""
    world = World()
    change(world)
    assert sorted(await world.find_codes()) == sorted(expected)


@given(st.binary(max_size=300))
def test_any_record_is_judged(octets: bytes) -> None:
    """By itself: whatever stands there, it is one record, and has at most one fault of a kind."""
    texts = (b"v=spf1 " + octets,)
    answer = Answer(DOMAIN, "TXT", Security.SECURE, Existence.RECORDS, texts)
    findings = list(check_spf(Observed(DOMAIN, {(DOMAIN, "TXT"): answer}), None))
    codes = [finding.code for finding in findings]
    assert len(codes) == len(set(codes))
    assert Code.SPF_MISSING not in codes
    assert all(finding.text.isprintable() for finding in findings)
