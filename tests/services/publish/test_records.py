"""The records to publish: each as it is pasted, whatever is known of the domain."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import dns.rdata
import dns.zone
import pytest
from dns.rdtypes.ANY.TXT import TXT
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import MxRecord, SoaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode
from letterlock.protocols.mta_sts.record import MtaStsRecord, parse_record
from letterlock.protocols.tlsrpt.record import TlsrptRecord
from letterlock.protocols.tlsrpt.record import parse_record as parse_tlsrpt
from letterlock.services.publish.records import (
    DkimKey,
    OwnDomain,
    OwnHost,
    RecordKind,
    format_text,
    format_value,
    format_zone,
    make_policy_id,
    plan_records,
)
from tests.services.publish.own import ACCOUNT, HOST, IPV4, KEY, POLICY, leaf, own_domain, own_host

NEXT, PAST = b"\x01" * 32, b"\x02" * 32
REPORTS = 'IN TXT "v=TLSRPTv1; rua=mailto:postmaster@example.org"'
LONG = Domain(".".join(["a" * 61] * 4))
"""247 octets: a name that has nothing below it but what is short."""


def lines(own: OwnDomain, kind: RecordKind) -> list[str]:
    return [record.line for record in plan_records(own).records if record.kind is kind]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (RecordKind.MX, ["example.org. 3600 IN MX 10 mx1.example.org."]),
        (
            RecordKind.ADDRESS,
            ["mx1.example.org. 3600 IN A 192.0.2.1", "mx1.example.org. 3600 IN AAAA 2001:db8::1"],
        ),
        (
            RecordKind.PTR,
            [
                "1.2.0.192.in-addr.arpa. 3600 IN PTR mx1.example.org.",
                f"{'1.' + '0.' * 23}8.b.d.0.1.0.0.2.ip6.arpa. 3600 IN PTR mx1.example.org.",
            ],
        ),
        (
            RecordKind.SPF,
            [
                'example.org. 3600 IN TXT "v=spf1 mx -all"',
                'mx1.example.org. 3600 IN TXT "v=spf1 a -all"',
            ],
        ),
        (RecordKind.DKIM, []),
        (
            RecordKind.DMARC,
            [f"_dmarc.example.org. 3600 {REPORTS.replace('TLSRPTv1', 'DMARC1; p=none')}"],
        ),
        (RecordKind.POLICY_HOST, ["mta-sts.example.org. 3600 IN CNAME mx1.example.org."]),
        (
            RecordKind.MTA_STS,
            [f'_mta-sts.example.org. 3600 IN TXT "v=STSv1; id={make_policy_id(POLICY)}"'],
        ),
        (
            RecordKind.TLSRPT,
            [
                f"_smtp._tls.example.org. 3600 {REPORTS}",
                f"_smtp._tls.mx1.example.org. 3600 {REPORTS}",
            ],
        ),
        (RecordKind.TLSA, [f"_25._tcp.mx1.example.org. 3600 IN TLSA 3 1 1 {KEY}"]),
        (RecordKind.CAA, []),
    ],
)
def test_domain_with_one_host_publishes_this(kind: RecordKind, expected: list[str]) -> None:
    """RFC 7672 §3.1; RFC 8461 §3.1; RFC 8460 §3; rule 139"""
    assert lines(own_domain(), kind) == expected


def test_keys_of_a_roll_over_stand_beside_the_current_one() -> None:
    """RFC 7671 §8.1; rule 141"""
    own = own_domain(hosts=(own_host(next_keys=(NEXT,), past_keys=(PAST,)),))
    records = [r for r in plan_records(own).records if r.kind is RecordKind.TLSA]
    assert [record.value for record in records] == [
        f"3 1 1 {KEY}",
        f"3 1 1 {NEXT.hex()}",
        f"3 1 1 {PAST.hex()}",
    ]
    assert "next" in records[1].reason


def test_key_that_two_chains_or_a_roll_over_share_stands_once() -> None:
    chains = (leaf().chain_der, leaf().chain_der)
    own = own_domain(hosts=(own_host(chains=chains, next_keys=(bytes.fromhex(KEY),)),))
    assert len(lines(own, RecordKind.TLSA)) == 1


def test_host_without_tls_has_no_tlsa_records() -> None:
    """RFC 7672 §2.2; rule 138"""
    plan = plan_records(own_domain(hosts=(own_host(chains=()),)))
    assert not [record for record in plan.records if record.kind is RecordKind.TLSA]
    assert [note for note in plan.notes if note.startswith("TLSA: none for mx1.example.org")]


def test_of_another_node_only_the_mx_record_is_known() -> None:
    other = OwnHost(Domain("mx2.example.org"), is_here=False)
    plan = plan_records(own_domain(hosts=(own_host(), other)))
    assert [r.line for r in plan.records if "mx2" in r.line] == [
        "example.org. 3600 IN MX 20 mx2.example.org."
    ]
    assert any("mx2.example.org is another node" in note for note in plan.notes)


def test_without_known_addresses_the_operator_fills_them_in() -> None:
    own = own_domain(hosts=(own_host(addresses=()),))
    assert lines(own, RecordKind.ADDRESS) == [
        "; mx1.example.org. 3600 IN A (its IPv4 address)",
        "; mx1.example.org. 3600 IN AAAA (its IPv6 address)",
    ]
    assert lines(own, RecordKind.PTR) == []


def test_addresses_that_only_send_are_named_in_spf() -> None:
    own = own_domain(senders=(IPV4, IPv4Address("192.0.2.9")))
    assert lines(own, RecordKind.SPF)[0] == (
        'example.org. 3600 IN TXT "v=spf1 mx ip4:192.0.2.9 -all"'
    )


def test_relay_is_the_operators_to_name_in_spf() -> None:
    record = plan_records(own_domain(is_relayed=True)).records[5]
    assert (record.kind, record.is_complete) == (RecordKind.SPF, False)
    assert record.line.startswith("; example.org.")


def test_without_a_policy_there_is_nothing_of_mta_sts() -> None:
    plan = plan_records(own_domain(policy=None))
    kinds = {record.kind for record in plan.records}
    assert not kinds & {RecordKind.MTA_STS, RecordKind.POLICY_HOST}
    assert any(note.startswith("MTA-STS: none") for note in plan.notes)


def test_where_the_operator_wants_reports_they_go() -> None:
    """RFC 8460 §3"""
    uris = ("mailto:tls@example.org", "https://reports.example.org/tls")
    records = plan_records(own_domain(tls_reports=uris)).records
    (text, *_) = [r.value for r in records if r.kind is RecordKind.TLSRPT]
    record = parse_tlsrpt([text.strip('"').encode()])
    assert isinstance(record, TlsrptRecord)
    assert record.rua == uris


def test_caa_names_the_account_and_its_methods() -> None:
    """RFC 8659 §4.2; RFC 8657 §3, §4"""
    (line,) = lines(own_domain(accounts=(ACCOUNT,)), RecordKind.CAA)
    what, _, value = line.partition(";")
    assert what == 'mx1.example.org. 3600 IN CAA 0 issue "ca.example'
    assert value == ' accounturi=https://ca.example/acct/1; validationmethods=http-01,dns-01"'


def test_host_that_a_held_policy_forbids_is_not_published_yet() -> None:
    """RFC 8461 §5.1; rule 150"""
    own = own_domain(held_hosts={HOST: datetime(2026, 3, 15, 12, tzinfo=UTC)})
    record = plan_records(own).records[0]
    assert record.line == "; example.org. 3600 IN MX 10 mx1.example.org."
    assert record.reason.startswith("not before 2026-03-15T12:00:00Z: ")


def test_dkim_key_is_published_below_its_selector() -> None:
    own = own_domain(dkim_keys=(DkimKey("s1", "v=DKIM1; p=" + "A" * 300),))
    (line,) = lines(own, RecordKind.DKIM)
    assert line.startswith('s1._domainkey.example.org. 3600 IN TXT "v=DKIM1; p=AAA')
    assert line.count('"') == 4
    assert not any(note.startswith("DKIM") for note in plan_records(own).notes)


def test_next_dkim_key_is_published_before_it_signs() -> None:
    """RFC 6376 §3.1"""
    own = own_domain(
        dkim_keys=(DkimKey("a", "v=DKIM1; p=A"), DkimKey("b", "v=DKIM1; p=B", is_next=True))
    )
    found = [record for record in plan_records(own).records if record.kind is RecordKind.DKIM]
    assert [record.name for record in found] == [
        *("a._domainkey.example.org", "b._domainkey.example.org")
    ]
    assert "next key" in found[1].reason
    assert "next key" not in found[0].reason


def test_domain_that_is_its_own_host_says_nothing_twice() -> None:
    own = OwnDomain(HOST, (own_host(),))
    assert len(lines(own, RecordKind.SPF)) == len(lines(own, RecordKind.TLSRPT)) == 1


def test_what_has_no_room_in_a_name_is_left_out() -> None:
    """RFC 1035 §2.3.4"""
    plan = plan_records(own_domain(domain=LONG, dkim_keys=(DkimKey("s1", "v=DKIM1; p="),)))
    assert {r.kind for r in plan.records if r.name.endswith(LONG)} == {
        RecordKind.MX,
        RecordKind.SPF,
    }
    host = own_host(name=LONG)
    assert not lines(own_domain(hosts=(host,)), RecordKind.TLSA)
    assert not any(LONG in line for line in lines(own_domain(hosts=(host,)), RecordKind.TLSRPT))


def test_id_is_another_for_any_other_policy() -> None:
    """RFC 8461 §3.1; rule 151"""
    policies = [
        POLICY,
        replace(POLICY, mode=MtaStsMode.TESTING),
        replace(POLICY, max_age=timedelta(days=1)),
        replace(POLICY, mx=(HOST, "mx2.example.org")),
    ]
    ids = {make_policy_id(policy) for policy in policies}
    assert len(ids) == len(policies)
    assert make_policy_id(replace(POLICY)) in ids
    for each in ids:
        assert isinstance(parse_record([f"v=STSv1; id={each}".encode()]), MtaStsRecord)


def test_zone_file_can_be_loaded() -> None:
    own = own_domain(accounts=(ACCOUNT,), dkim_keys=(DkimKey("s1", 'v=DKIM1; n=a"b\\; p='),))
    plan = plan_records(own)
    text = format_zone([r for r in plan.records if r.kind is not RecordKind.PTR], plan.notes)
    zone = dns.zone.from_text(text, "example.org.", check_origin=False, relativize=False)
    assert len(list(zone.iterate_rdatas())) == len(plan.records) - 2


def test_each_reason_stands_above_its_records() -> None:
    text = format_zone(plan_records(own_domain()).records)
    assert text.count("; where mx1.example.org is\n") == 1
    assert format_zone(()) == ""


@given(st.binary(max_size=600))
def test_any_text_comes_back_from_its_zone_file_form(octets: bytes) -> None:
    """RFC 1035 §5.1"""
    rdata = dns.rdata.from_text("IN", "TXT", format_text(octets))
    assert isinstance(rdata, TXT)
    assert b"".join(rdata.strings) == octets
    assert all(len(string) <= 255 for string in rdata.strings)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (MxRecord(5, HOST), "5 mx1.example.org."),
        (MxRecord(0, None), "0 ."),
        (IPV4, "192.0.2.1"),
        (HOST, "mx1.example.org."),
        (b'a"b', '"a\\"b"'),
        (SoaRecord(HOST, 7, 60), "7"),
    ],
)
def test_what_was_looked_up_has_the_same_form(record: object, expected: str) -> None:
    assert format_value(record) == expected  # type: ignore[arg-type]  # a table of many types
