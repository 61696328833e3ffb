"""The records of an inbound test: each host is published as what it is, and is found to be so."""

import re
from ipaddress import ip_address

from letterlock.base.domains import Domain
from letterlock.protocols.inbound.cases import Case, HostNames, Place
from letterlock.protocols.mta_sts.policy import MtaStsMode, find_mx_pattern
from letterlock.services.observe.records import make_policy, plan_records

NAMES = HostNames(Domain("senders.example"))
SHARED, OTHER, WEB = (ip_address(each) for each in ("192.0.2.1", "2001:db8::2", "192.0.2.3"))


def test_each_host_has_an_address_and_is_the_mx_of_its_domain() -> None:
    """RFC 5321 §5.1"""
    records = plan_records(NAMES, {Place.SHARED: [SHARED], Place.EXPIRED: [OTHER]}, [WEB])
    lines = {each.line for each in records}
    for case in (Case.GOOD, Case.WRONG_NAME, Case.BAD_TLSA, Case.MTA_STS):
        domain, host = NAMES.mail_domain(case), NAMES.host(case)
        assert f"{domain}. 3600 IN MX 10 {host}." in lines
        assert f"{host}. 3600 IN A 192.0.2.1" in lines
    assert "mx.expired.senders.example. 3600 IN AAAA 2001:db8::2" in lines
    assert not any("no-starttls" in line for line in lines)
    assert "mta-sts.sts.senders.example. 3600 IN A 192.0.2.3" in lines
    assert "senders.example. 3600 IN A 192.0.2.3" in lines


def test_only_the_bad_host_has_a_tlsa_record() -> None:
    """RFC 7672 §3.1"""
    records = plan_records(NAMES, {Place.SHARED: [SHARED]}, [])
    (tlsa,) = [each for each in records if each.rdtype == "TLSA"]
    assert tlsa.name == "_25._tcp.mx.bad-tlsa.senders.example"
    assert re.fullmatch(r"3 1 1 [0-9a-f]{64}", tlsa.value)


def test_without_a_web_address_there_is_no_policy() -> None:
    records = plan_records(NAMES, {Place.SHARED: [SHARED]}, [])
    assert not [each for each in records if each.rdtype == "TXT"]


def test_the_policy_lists_the_host_that_cannot_prove_itself() -> None:
    """RFC 8461 §4.1: a host that is not listed would not be tried, and nothing be seen."""
    policy = make_policy(NAMES)
    assert policy.mode is MtaStsMode.ENFORCE
    host = NAMES.host(Case.MTA_STS)
    assert find_mx_pattern(policy, host) is not None
    assert host in NAMES.uncertified
