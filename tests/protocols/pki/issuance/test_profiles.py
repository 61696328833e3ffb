"""Profiles: what they may say, and which names they are for."""

from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography import x509

from letterlock.base.domains import Domain
from letterlock.protocols.pki.issuance.profiles import (
    MAX_FAULTS_SHOWN,
    NameRules,
    Profile,
    find_name_faults,
    is_countable,
    make_name_constraints,
)
from letterlock.protocols.pki.issuance.public_suffixes import PublicSuffixes
from letterlock.protocols.pki.names import CertificateNames
from tests.protocols.pki.issuance.authority import names_of

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lifetime": 6 * DAY - timedelta(seconds=1)}, "6 to 200 days"),
        ({"lifetime": 200 * DAY + timedelta(seconds=1)}, "6 to 200 days"),
        ({"backdated": 49 * DAY / 24}, "48 hours"),
        ({"backdated": -DAY}, "48 hours"),
        ({"max_names": 0}, "1 to 100 names"),
        ({"max_names": 101}, "1 to 100 names"),
        ({"key_kinds": frozenset()}, "kinds of keys"),
        ({"key_kinds": frozenset({"rsa-1024"})}, "kinds of keys"),
    ],
)
def test_a_profile_keeps_to_its_bounds(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Profile("x", **settings)


@pytest.mark.parametrize("days", [6, 47, 90, 200])
def test_certificates_are_valid_for_6_to_200_days(days: int) -> None:
    assert Profile("x", lifetime=days * DAY).lifetime == days * DAY


OPEN = Profile("open")
PRIVATE = Profile(
    "private",
    may_have_single_labels=True,
    rules=NameRules(
        permitted_domains=(Domain("corp.example"), Domain("mailhost")),
        permitted_networks=(ip_network("10.0.0.0/8"),),
        excluded_domains=(Domain("secret.corp.example"),),
        excluded_networks=(ip_network("10.9.0.0/16"),),
    ),
)
PUBLIC = Profile("public", public_suffixes=PublicSuffixes())
NARROW = Profile("narrow", may_have_wildcards=False, may_have_addresses=False)


@pytest.mark.parametrize(
    ("profile", "name", "said"),
    [
        (OPEN, "mx.example.com", None),
        (OPEN, "*.example.com", None),
        (OPEN, "xn--bcher-kva.example", None),
        (OPEN, "192.0.2.1", None),
        (OPEN, "2001:db8::1", None),
        (OPEN, "_mx.example.com", "not the name of a host"),
        (OPEN, "MX.example.com", "not the name of a host"),
        (OPEN, "mx.example.com.", "not the name of a host"),
        (OPEN, "-mx.example.com", "not the name of a host"),
        (OPEN, "mx-.example.com", "not the name of a host"),
        (OPEN, "ab--cd.example.com", "not the name of a host"),
        (OPEN, "mx.*.example.com", "not the name of a host"),
        (OPEN, "m*.example.com", "not the name of a host"),
        (OPEN, "*.*.example.com", "not the name of a host"),
        (OPEN, "b\u00fccher.example", "not the name of a host"),
        (OPEN, "a" * 64 + ".example", "not the name of a host"),
        (OPEN, "xn--" + "a" * 60 + ".example", "not the name of a host"),
        (OPEN, ".".join(["a" * 63] * 4), "not the name of a host"),
        (OPEN, "", "not the name of a host"),
        (OPEN, "1.2.3", "a number"),
        (OPEN, "mailhost", "no dot"),
        (OPEN, "*.com", "no dot"),
        (OPEN, "1.2.0.192.in-addr.arpa", "reverse tree"),
        (OPEN, "ip6.arpa", "reverse tree"),
        (OPEN, "home.arpa", None),
        (PRIVATE, "corp.example", None),
        (PRIVATE, "a.b.corp.example", None),
        (PRIVATE, "*.b.corp.example", None),
        (PRIVATE, "mailhost", None),
        (PRIVATE, "*.mailhost", "no dot"),
        (PRIVATE, "webhost", "not for the name"),
        (PRIVATE, "acorp.example", "not for the name"),
        (PRIVATE, "example", "not for the name"),
        (PRIVATE, "secret.corp.example", "not for the name"),
        (PRIVATE, "a.secret.corp.example", "not for the name"),
        (PRIVATE, "*.corp.example", "not for the name"),
        (PRIVATE, "10.1.2.3", None),
        (PRIVATE, "10.9.2.3", "not for the address"),
        (PRIVATE, "11.1.2.3", "not for the address"),
        (PRIVATE, "2001:db8::1", "not for the address"),
        (PUBLIC, "*.co.uk", "public suffix"),
        (PUBLIC, "*.example.co.uk", None),
        (PUBLIC, "*.github.io", None),
        (PUBLIC, "co.uk", None),
        (PUBLIC, "*.corp.internal", None),
        (NARROW, "*.example.com", "wildcards"),
        (NARROW, "192.0.2.1", "IP addresses"),
    ],
)
def test_names_that_a_certificate_can_have(profile: Profile, name: str, said: str | None) -> None:
    """Rule 209: Baseline Requirements 4.2.2, 7.1.2.7.12; a private network's own rules."""
    names = CertificateNames((name,)) if name == "1.2.3" else names_of(name)
    found = find_name_faults(names, profile)
    assert list(found) == ([] if said is None else [name])
    if said is not None:
        assert said in found[name]


def test_every_name_that_is_wrong_is_told_up_to_a_bound() -> None:
    bad = [f"_{number}.example.com" for number in range(30)]
    found = find_name_faults(names_of("mx.example.com", *bad), OPEN)
    assert list(found) == bad[:MAX_FAULTS_SHOWN]


def test_a_certificate_has_one_name_at_least_and_no_more_than_its_profile_says() -> None:
    profile = Profile("few", max_names=2)
    counts = [
        names_of(*[f"{n}.example.com" for n in range(count)], *ips)
        for count, ips in ((0, ()), (1, ()), (1, ("192.0.2.1",)), (2, ("192.0.2.1",)))
    ]
    assert [is_countable(names, profile) for names in counts] == [False, True, True, False]


def constraints(**rules: Any) -> tuple[list[str], list[str]] | None:
    made = make_name_constraints(NameRules(**rules))
    if made is None:
        return None
    return _texts(made.permitted_subtrees), _texts(made.excluded_subtrees)


def _texts(names: Any) -> list[str]:
    kinds = (x509.DNSName, x509.IPAddress)
    assert all(isinstance(name, kinds) for name in names or ())
    return [str(name.value) for name in names or ()]


def test_what_nothing_is_permitted_of_is_excluded_as_a_whole() -> None:
    """RFC 5280 §4.2.1.10: a kind of name without a permitted subtree would not be bound at all."""
    corp, net = (Domain("corp.example"),), (ip_network("10.0.0.0/8"),)
    assert constraints() is None
    assert constraints(permitted_domains=corp) == (["corp.example"], ["0.0.0.0/0", "::/0"])
    assert constraints(permitted_networks=net) == (["10.0.0.0/8"], ["", "::/0"])
    assert constraints(excluded_domains=corp, excluded_networks=net) == (
        [],
        ["corp.example", "10.0.0.0/8"],
    )


def test_a_public_suffix_is_one_that_a_registry_names() -> None:
    """The Public Suffix List's part of ICANN: exceptions and patterns are obeyed."""
    suffixes = PublicSuffixes()
    inside = ["com", "co.uk", "anything.ck", "xn--55qx5d.cn"]
    outside: list[object] = ["example.com", "www.ck", "github.io", "corp", "", 7, None]
    assert [name for name in [*inside, *outside] if name in suffixes] == inside
