"""Explanations over the DNSSEC lab: how sure each answer is, and what follows from it.

That the same hosts come to the same in a handshake as with Postfix is `tests.interop`.
"""

from dataclasses import replace
from typing import Any

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.values import ResolverAddress
from letterlock.base.domains import Domain
from letterlock.node.explaining import explain, make_default_config
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.services.explain.document import describe_explanation
from tests.dnssec_lab.lab import DnssecLab

pytestmark = pytest.mark.peer("nsd", "unbound", "ldns")


@pytest.mark.parametrize(
    ("asked", "decision", "mx", "addresses", "tlsa", "required"),
    [
        ("secure.example", "deliver", "secure", "secure", "usable", "dane dane"),
        ("nsec3.example", "deliver", "secure", "secure", "usable", "dane dane"),
        ("implicit.secure.example", "deliver", "secure", "secure", "none", "opportunistic may"),
        ("[unusable.secure.example]", "deliver", None, "secure", "unusable", "dane encrypt"),
        ("unsigned.example", "deliver", "insecure", "insecure", "insecure", "opportunistic may"),
        ("island.example", "deliver", "insecure", "insecure", "insecure", "opportunistic may"),
        ("unknown.example", "deliver", "insecure", "insecure", "insecure", "opportunistic may"),
        # RFC 7672 §2.2.1: the host's records, by an MX record that anybody could have made.
        ("hosted.unsigned.example", "deliver", "insecure", "secure", "usable", "dane dane"),
        ("unsigned-mx.secure.example", "deliver", "secure", "insecure", "usable", "dane dane"),
    ],
)
async def test_hosts_are_told_with_how_sure_that_is(  # noqa: PLR0913, PLR0917 - what is told
    asked: str,
    decision: str,
    mx: str | None,
    addresses: str,
    tlsa: str,
    required: str,
    dnssec_lab: DnssecLab,
) -> None:
    """RFC 7672 §2.1, §2.2; rules 33, 34, 37 and 39"""
    document = await ask(dnssec_lab, asked)
    assert (document["decision"], document["mx_status"]) == (decision, mx)
    assert document["resolver"]["self_test"] == "passed"
    host = document["hosts"][0]
    assert {address["status"] for address in host["addresses"]} == {addresses}
    requirement = host["requirement"]
    assert host["tlsa_status"] == tlsa
    assert f"{requirement['source']} {requirement['level']}" == required


@pytest.mark.parametrize(
    ("asked", "decision", "mx"),
    [
        ("bogus.example", "defer", "bogus"),
        ("expired.example", "defer", "bogus"),
        ("future.example", "defer", "bogus"),
        ("wrong-ds.example", "defer", "bogus"),
        ("null-mx.secure.example", "bounce", "secure"),
        ("nothing.secure.example", "bounce", "secure"),
        ("nothing.unsigned.example", "bounce", "insecure"),
        ("[to-bogus.secure.example]", "defer", None),
    ],
)
async def test_without_a_host_it_is_told_why(
    asked: str, decision: str, mx: str | None, dnssec_lab: DnssecLab
) -> None:
    """RFC 7672 §2.1.2; RFC 7505 §3; rule 40"""
    document = await ask(dnssec_lab, asked)
    assert (document["decision"], document["mx_status"]) == (decision, mx)
    assert document["reason"]
    assert all(host["requirement"] is None for host in document["hosts"])


async def ask(lab: DnssecLab, text: str) -> dict[str, Any]:
    config = make_default_config()
    dns = replace(
        config.dns,
        resolver=ResolverAddress(*lab.resolver),
        signed_name=Domain("secure.example"),
        bogus_name=Domain("bogus.example"),
    )
    config = replace(config, dns=dns)
    explanation = await explain(config, text, TlsDemand.NORMAL, SystemClock(), is_live=False)
    return describe_explanation(explanation)
