"""An authority's settings become the rules that its services have (`letterlock.node.ca`)."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from letterlock.base.config.faults import SettingFaults
from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.network.proxied_dialing import ProxyDialer
from letterlock.node.ca.perspectives import make_own_resolver, make_validator
from letterlock.node.ca.rules import (
    find_crl_url,
    find_lease,
    find_url,
    make_certificate_profiles,
    make_limits,
    make_name_rules,
    make_order_profiles,
    make_places,
    make_quorum_rules,
    make_validation_rules,
)
from tests.fakes import FakeClock

MINIMAL = """\
hostname = "ca.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "/var/lib/letterlock"
"""
MARCH, DECEMBER = (datetime(2026, month, 20, tzinfo=UTC) for month in (3, 12))


def read(text: str = "") -> Config:
    return parse_config(MINIMAL + text, Path("/etc/letterlock.toml"))


@pytest.mark.parametrize(
    ("text", "port", "url"),
    [
        ("", 14000, "https://ca.example.org:14000"),
        ("", 443, "https://ca.example.org"),
        ('[ca]\nurl = "https://pki.example/acme"\n', 14000, "https://pki.example/acme"),
    ],
)
def test_the_url_is_the_host_s_with_its_port_unless_it_is_given(
    text: str, port: int, url: str
) -> None:
    assert find_url(read(text), port) == url
    assert make_places(read(text), port).directory == f"{url}/directory"


def test_a_url_that_cannot_be_one_is_told_with_its_key() -> None:
    with pytest.raises(SettingFaults, match=r"ca\.url: "):
        make_places(read('[ca]\nurl = "https://ca.example:99999"\n'), 443)


def test_crls_are_at_the_host_s_plain_port_unless_it_is_said() -> None:
    assert find_crl_url(read(), 80) == "http://ca.example.org/crl/"
    assert find_crl_url(read(), 14080) == "http://ca.example.org:14080/crl/"
    assert (
        find_crl_url(read('[ca]\ncrl_url = "http://crl.example/"\n'), 80) == "http://crl.example/"
    )


def test_a_profile_is_one_of_orders_and_one_of_certificates() -> None:
    config = read("""
        [[ca.profiles]]
        name = "lan"
        description = "of the house"
        lifetime = "30d"
        keys = ["ec-p256"]
        challenges = ["dns-01"]
        max_names = 3
        wildcards = false
        addresses = false
        single_labels = true
        common_name = true
        client_auth = true
        order_lifetime = "1h"
        reuse = "0s"
        [ca.names]
        permitted_domains = ["lan.example"]
        """)
    orders = make_order_profiles(config.ca)["lan"]
    certificates = make_certificate_profiles(config.ca)["lan"]
    assert (orders.description, orders.max_identifiers) == ("of the house", 3)
    assert orders.challenge_types == ("dns-01",)
    assert (orders.order_lifetime, orders.reuse) == (timedelta(hours=1), timedelta(0))
    assert certificates.lifetime == timedelta(days=30)
    assert certificates.key_kinds == {"ec-p256"}
    assert (certificates.max_names, certificates.has_common_name) == (3, True)
    assert (certificates.has_client_auth, certificates.may_have_single_labels) == (True, True)
    assert (certificates.may_have_wildcards, certificates.may_have_addresses) == (False, False)
    assert certificates.rules.permitted_domains == (Domain("lan.example"),)
    assert "co.uk" in certificates.public_suffixes
    assert make_validation_rules(config.ca).reuse == {"lan": timedelta(0)}


def test_names_are_those_of_the_settings() -> None:
    rules = make_name_rules(
        read("""
        [ca.names]
        permitted_networks = ["10.0.0.0/8"]
        excluded_domains = ["secret.example"]
        """).ca.names
    )
    assert rules.permitted_networks == (ip_network("10.0.0.0/8"),)
    assert rules.excluded_domains == (Domain("secret.example"),)
    assert make_name_rules(read().ca.names).is_open


def test_a_limit_that_is_taken_away_is_none() -> None:
    limits = make_limits(read('[ca.limits]\naccounts_per_address = ""\n').ca)
    assert limits.accounts_per_address is None
    assert limits.failures_per_name is not None
    assert (limits.failures_per_name.burst, limits.failures_per_name.period) == (
        60,
        timedelta(hours=1),
    )


def test_of_certificates_for_the_same_names_replacements_are_not_counted() -> None:
    """RFC 9773 §5."""
    limits = make_limits(read('[ca.limits]\ncertificates_per_name_set = "5 in 7d"\n').ca)
    assert limits.certificates_per_name_set is not None
    assert limits.certificates_per_name_set.spares_replacements


def test_a_public_authority_has_the_perspectives_of_its_day() -> None:
    """Baseline Requirements 3.2.2.9: three from March 2026, five from December."""
    assert make_quorum_rules(read().ca, DECEMBER).min_remotes == 0
    places = ", ".join(
        f"{{ name = 'p{each}', region = 'ARIN', resolver = '192.0.2.{each}' }}"
        for each in range(1, 4)
    )
    text = f"[ca]\npublic = true\n[ca.validation]\nperspectives = [{places}]\n"
    assert make_quorum_rules(read(text).ca, MARCH).min_remotes == 3
    with pytest.raises(SettingFaults, match="at least 5 of them on 2026-12-20"):
        make_quorum_rules(read(text).ca, DECEMBER)


def test_a_lease_is_longer_than_all_looks_together() -> None:
    config = read('[ca.validation]\ntimeout = "10s"\n')
    assert find_lease(config.ca) > 2 * (timedelta(seconds=10) + timedelta(minutes=1))


def test_a_resolver_whose_word_on_dnssec_does_not_count_is_refused() -> None:
    config = read('[ca.validation]\nresolver = "192.0.2.53"\n')
    resolver = make_own_resolver(config)
    assert resolver.address == "192.0.2.53:53"
    clock = FakeClock()
    with pytest.raises(
        SettingFaults, match=r"ca\.validation\.resolver: .* does not count: ask a v"
    ):
        make_validator(config, resolver, clock, clock.now())
    private = read('[ca.validation]\nresolver = "192.0.2.53"\nneeds_dnssec = false\n')
    make_validator(private, make_own_resolver(private), clock, clock.now())


def test_a_remote_perspective_connects_and_asks_through_its_proxy() -> None:
    config = read("""
        [dns]
        resolver = "127.0.0.1"
        [ca.validation]
        perspectives = [
          { name = "far", region = "APNIC", resolver = "127.0.0.1", proxy = "http://[::1]:3128" },
          { name = "near", region = "RIPE NCC", resolver = "192.0.2.53", source = "192.0.2.1" },
        ]
        """)
    clock = FakeClock()
    validator = make_validator(config, make_own_resolver(config), clock, clock.now())
    far, near = validator._perspectives._remotes
    assert isinstance(far.dialer, ProxyDialer)
    assert not isinstance(near.dialer, ProxyDialer)
    assert (far.region, near.region) == ("APNIC", "RIPE NCC")
