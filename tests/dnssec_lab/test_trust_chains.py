"""Each breakage of the lab's zones is named right, by a chain that is followed from the root."""

from datetime import UTC, datetime
from functools import partial

import pytest

from letterlock.network.dns_anchors import IANA, load_anchors
from letterlock.network.dns_links import ask_link
from letterlock.protocols.check.chain_findings import Who, find_fix, find_who
from letterlock.protocols.check.trust_chain import RecordState
from letterlock.services.discover.trust_chains import ChainFinder, Chains
from tests.dnssec_lab.fault_proxy import Fault
from tests.dnssec_lab.lab import DnssecLab

TLSA_NAME = "_25._tcp.mx1.secure.example"


async def follow(lab: DnssecLab, name: str, rdtype: str) -> Chains:
    finder = ChainFinder(partial(ask_link, lab.resolver), load_anchors(lab.trust_anchor))
    now = datetime.now(UTC)  # noqa: TID251 - the zones were signed by the real one
    return await finder.find([(name, rdtype)], now)


async def follow_one(lab: DnssecLab, name: str, rdtype: str) -> RecordState:
    return (await follow(lab, name, rdtype)).records[-1]


@pytest.mark.parametrize(
    ("name", "rdtype", "outcome"),
    [
        ("secure.example", "MX", "records"),
        (TLSA_NAME, "TLSA", "records"),
        ("_25._tcp.mx2.secure.example", "TLSA", "nxdomain"),
        ("mx2.secure.example", "AAAA", "nodata"),
        ("nsec3.example", "MX", "records"),
        ("_25._tcp.mx2.nsec3.example", "TLSA", "nxdomain"),
        ("mx.nsec3.example", "AAAA", "nodata"),
        ("_tcp.mx.nsec3.example", "A", "nodata"),
        ("opt-out.example", "MX", "records"),
        ("_25._tcp.mx.opt-out.example", "TLSA", "records"),
        ("_tcp.mx1.secure.example", "A", "nodata"),
        ("_25._tcp.w.wild.secure.example", "TLSA", "records"),
        ("w.wild.secure.example", "AAAA", "nodata"),
        ("alias-to-alias.secure.example", "A", "records"),
        ("secure.renamed.secure.example", "MX", "records"),
        ("to-secure.unsigned.example", "A", "records"),
        ("nothing", "A", "nxdomain"),
    ],
)
async def test_what_is_signed_down_to_the_name_is_secure(
    dnssec_lab: DnssecLab, name: str, rdtype: str, outcome: str
) -> None:
    """RFC 4035 §5.2, §5.3, §5.4; RFC 5155 §8: as Unbound says (`test_answers`)"""
    state = await follow_one(dnssec_lab, name, rdtype)
    assert (state.status, state.outcome, state.broken) == ("secure", outcome, None)


@pytest.mark.parametrize(
    ("name", "status", "cause", "who", "evidence", "fix"),
    [
        ("unsigned.example", "insecure", "unsigned", "dns-operator", "neither a key", ""),
        ("nx.unsigned.example", "insecure", "unsigned", "dns-operator", "neither a key", ""),
        ("to-unsigned.secure.example", "insecure", "unsigned", "dns-operator", "", ""),
        ("child.opt-out.example", "insecure", "unsigned", "dns-operator", "neither a key", ""),
        ("nx.opt-out.example", "insecure", "opted-out", "dns-operator", "may be there", ""),
        ("island.example", "insecure", "no-ds", "registrar", "has a key", "publish island.exam"),
        ("unknown.example", "insecure", "algorithm-unsupported", "dns-operator", "200/2", "13"),
        ("bogus.example", "bogus", "signature-wrong", "dns-operator", "MX of bogus", "sign the"),
        ("nx.bogus.example", "bogus", "signature-wrong", "dns-operator", "proof that", "sign the"),
        ("to-bogus.secure.example", "bogus", "signature-wrong", "dns-operator", "", "sign the"),
        ("expired.example", "bogus", "signature-expired", "dns-operator", "ended at 20", "sign"),
        ("future.example", "bogus", "signature-not-yet-valid", "dns-operator", "begins", "clock"),
        ("wrong-ds.example", "bogus", "ds-without-key", "registrar", "other keys", "in its place"),
        ("keys-not-signed.example", "bogus", "keys-not-signed", "dns-operator", "none", "sign"),
        ("lost-key.example", "bogus", "signature-without-key", "dns-operator", "MX of", "sign"),
        ("mx.without-nsec.example", "bogus", "denial-missing", "dns-operator", "no NSEC", "NSEC"),
        ("nx.without-nsec.example", "bogus", "denial-missing", "dns-operator", "no NSEC", "NSEC"),
        ("lame.example", "bogus", "keys-missing", "registrar", "no keys", "take the DS"),
    ],
)
async def test_each_breakage_is_named_with_who_can_mend_it(  # noqa: PLR0913, PLR0917 - what is told
    dnssec_lab: DnssecLab,
    name: str,
    status: str,
    cause: str,
    who: str,
    evidence: str,
    fix: str,
) -> None:
    """RFC 4035 §4.3, §5"""
    state = await follow_one(dnssec_lab, name, "A" if ".secure" in name else "MX")
    assert state.broken is not None
    assert (state.status, state.broken.cause, find_who(state.broken)) == (status, cause, who)
    assert evidence in state.broken.evidence
    assert fix in find_fix(state.broken)
    zone = name if name.startswith("child.") else ".".join(name.split(".")[-2:])
    assert state.broken.zone == zone or "to-" in name


async def test_the_ds_record_to_publish_is_that_of_the_key(dnssec_lab: DnssecLab) -> None:
    """RFC 4034 §5.1.4: with it the same zone is secure"""
    chains = await follow(dnssec_lab, "island.example", "MX")
    broken = chains.records[-1].broken
    assert broken is not None
    line = find_fix(broken).removeprefix("publish ")
    (key,) = broken.keys
    assert line.startswith(f"island.example. IN DS {key.tag} 13 2 ")
    wrong = (await follow(dnssec_lab, "wrong-ds.example", "MX")).zones[-1]
    assert [each.tag for each in wrong.ds] != [each.tag for each in wrong.keys]


async def test_the_way_from_the_root_is_told(dnssec_lab: DnssecLab) -> None:
    chains = await follow(dnssec_lab, TLSA_NAME, "TLSA")
    assert [(each.zone, each.parent, each.status) for each in chains.zones] == [
        (".", None, "secure"),
        ("example", ".", "secure"),
        ("secure.example", "example", "secure"),
    ]
    assert all(each.ends is not None and each.ds and each.keys for each in chains.zones)


@pytest.mark.parametrize(
    ("fault", "status", "cause"),
    [
        (Fault.SERVFAIL, "undecided", "no-answer"),
        (Fault.NXDOMAIN, "bogus", "denial-missing"),
        (Fault.NO_SIGNATURES, "bogus", "signature-missing"),
    ],
)
async def test_what_is_forged_or_held_back_is_told_apart(
    dnssec_lab: DnssecLab, fault: Fault, status: str, cause: str
) -> None:
    """RFC 4035 §5.4, §5.5"""
    with dnssec_lab.failing(TLSA_NAME, "TLSA", fault):
        state = await follow_one(dnssec_lab, TLSA_NAME, "TLSA")
    assert state.broken is not None
    assert (state.status, state.broken.cause) == (status, cause)


async def test_a_root_that_is_not_the_internets_is_the_resolvers_fault(
    dnssec_lab: DnssecLab,
) -> None:
    """RFC 4035 §4.4"""
    finder = ChainFinder(partial(ask_link, dnssec_lab.resolver), IANA)
    now = datetime.now(UTC)  # noqa: TID251 - as above
    (state,) = (await finder.find([("secure.example", "MX")], now)).records
    assert state.broken is not None
    assert (state.status, state.broken.cause) == ("undecided", "root-not-proved")
    assert find_who(state.broken) is Who.RESOLVER


async def test_a_long_answer_comes_by_tcp(dnssec_lab: DnssecLab) -> None:
    with dnssec_lab.failing(TLSA_NAME, "TLSA", Fault.TRUNCATED):
        assert (await follow_one(dnssec_lab, TLSA_NAME, "TLSA")).status == "secure"
