"""Domains checked over the DNSSEC lab: what is signed, what is not, what does not validate."""

from dataclasses import replace
from typing import Any

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.values import ResolverAddress
from letterlock.base.domains import Domain
from letterlock.node.dns_checking import check_domain
from letterlock.node.explaining import make_default_config
from tests.dnssec_lab.lab import DnssecLab

pytestmark = pytest.mark.peer("nsd", "unbound", "ldns")


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("secure.example", {"warning tlsa-missing _25._tcp.mx2.secure.example"}),
        ("nsec3.example", set()),
        ("unsigned.example", {
            "note dnssec-unsigned unsigned.example",
            "warning tlsa-unsigned _25._tcp.mx.unsigned.example",
        }),
        ("island.example", {
            "note dnssec-unsigned island.example",
            "warning tlsa-unsigned _25._tcp.mx.island.example",
        }),
        ("bogus.example", {"error dnssec-bogus bogus.example"}),
        ("expired.example", {"error dnssec-bogus expired.example"}),
        ("unsigned-mx.secure.example", {
            "error mx-is-alias to-unsigned.secure.example",
        }),
        ("alias-mx.secure.example", {"error mx-is-alias alias.secure.example"}),
        ("null-mx.secure.example", {"note mx-null null-mx.secure.example"}),
        ("implicit.secure.example", {"error mx-missing implicit.secure.example"}),
        ("nothing.secure.example", {"error domain-missing nothing.secure.example"}),
    ],
)  # fmt: skip
async def test_what_dnssec_says_is_told(
    domain: str, expected: set[str], dnssec_lab: DnssecLab
) -> None:
    """RFC 7672 §2.1, §2.2"""
    findings = await find(dnssec_lab, domain)
    assert expected <= findings
    kinds = ("dnssec-", "tlsa-", "mx-", "domain-", "server", "signature-")
    told = {each for each in findings if each.split()[1].startswith(kinds)}
    if not any("dnssec-bogus" in each for each in expected):
        more = {each for each in told - expected if "tlsa-missing" not in each}
        assert more == set()


async def test_unusable_records_are_told(dnssec_lab: DnssecLab) -> None:
    """RFC 7672 §3.1.3; rule 139"""
    findings = await find(dnssec_lab, "unusable.secure.example")
    owner = "_25._tcp.unusable.secure.example"
    assert {f"error tlsa-unusable {owner}", f"warning tlsa-unusable {owner}"} <= findings


async def find(lab: DnssecLab, domain: str) -> set[str]:
    config = make_default_config()
    dns = replace(
        config.dns,
        resolver=ResolverAddress(*lab.resolver),
        signed_name=Domain("secure.example"),
        bogus_name=Domain("bogus.example"),
    )
    servers = replace(config.dns_changes, port=lab.authority[1])
    document: dict[str, Any] = await check_domain(
        replace(config, dns=dns, dns_changes=servers), Domain(domain), (), SystemClock()
    )
    assert document["resolver"]["self_test"] == "passed"
    return {f"{each['severity']} {each['code']} {each['name']}" for each in document["findings"]}
