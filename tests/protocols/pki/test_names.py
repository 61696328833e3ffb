"""RFC 9525 §6.3 and §6.4: names that match, and names that must not."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.pki.names import (
    CertificateNames,
    Match,
    explain_mismatch,
    find_match,
    parse_ip,
)

# reference, names of the certificate, whether they match
NAMES = [
    ("mx.example.com", ["mx.example.com"], True),
    ("MX.Example.COM", ["mx.example.com"], True),
    ("mx.example.com", ["Mx.EXAMPLE.com"], True),
    ("mx.example.com.", ["mx.example.com"], True),
    ("mx.example.com", ["mx.example.com."], False),
    ("mx_1.example.com", ["mx_1.example.com"], True),
    ("mx_1.example.com", ["*.example.com"], True),
    ("xn--mx-eka.example.com", ["*.example.com"], True),
    ("mx.bücher.example", ["mx.xn--bcher-kva.example"], True),
    ("MX.BÜCHER.example", ["*.xn--bcher-kva.example"], True),
    ("mx.bücher.example", ["mx.bücher.example"], False),
    # One odd name does not spoil the good ones.
    ("mx.example.com", ["*", "mx.example.com"], True),
    ("mx.example.com", ["*.com", "mx.example.com"], True),
    ("mx.example.com", ["1.2.3.4", "mx.example.com"], True),
    ("mx.example.com", ["", ".", "..", "a" * 64, "mx example com", "mx.example.com"], True),
    ("a.example", ["*.example"], True),
    # The wildcard is the whole left-most label and stands for exactly one.
    ("mx.example.com", ["*.example.com"], True),
    ("mx.example.com", ["mx*.example.com"], False),
    ("mx.example.com", ["*x.example.com"], False),
    ("mx.example.com", ["m*x.example.com"], False),
    ("mx.example.com", ["mx.*.com"], False),
    ("mx.example.com", ["*.*.com"], False),
    ("mx.example.com", ["*"], False),
    ("example", ["*"], False),
    ("a.b.example.com", ["*.example.com"], False),
    ("example.com", ["*.example.com"], False),
    ("mx.example.com", ["*.com"], False),
    ("*.example.com", ["*.example.com"], False),
    # Near misses.
    ("mx.example.com", ["mx.example.org"], False),
    ("mx.example.com", ["mx.example.com.evil.example"], False),
    ("mx.example.com", ["evilmx.example.com"], False),
    ("mx.example.com", ["mx.example.com\0.evil.example"], False),
    ("mx.example.com", ["mx.example.com\n"], False),
    ("mx.example.com", [], False),
    ("163mx02.mxmail.netease.com", ["*.163.com", "163.com"], False),
    # `.example.com`: every name below, at any depth, never the domain itself.
    (".example.com", ["mx.example.com"], True),
    (".example.com", ["a.b.example.com"], True),
    (".example.com", ["*.example.com"], True),
    (".example.com", ["*.mx.example.com"], True),
    (".Example.com", ["MX.example.COM"], True),
    (".example.com", ["example.com"], False),
    (".example.com", ["evilexample.com"], False),
    (".example.com", ["*.com"], False),
    # A reference that is no name meets nothing.
    ("", ["mx.example.com"], False),
    (".", ["mx.example.com"], False),
    ("mx..example.com", ["mx..example.com"], False),
]


@pytest.mark.parametrize(("reference", "names", "is_match"), NAMES)
def test_names_match_by_rule(reference: str, names: list[str], is_match: bool) -> None:
    """RFC 9525 §6.3; the table of differences between libraries is in it; rule 98."""
    found = find_match(CertificateNames(tuple(names)), [reference])
    assert (found is not None) == is_match


def test_the_match_says_which_reference_and_which_name() -> None:
    names = CertificateNames(("other.example", "*.Example.com"))
    found = find_match(names, ["nope.example", "mx.example.com"])
    assert found == Match("mx.example.com", "*.Example.com")


@pytest.mark.parametrize(
    ("reference", "is_match"),
    [
        ("192.0.2.1", True),
        ("[192.0.2.1]", True),
        ("2001:db8::1", True),
        ("2001:0DB8:0::1", True),
        ("[IPv6:2001:db8::1]", True),
        ("192.0.2.2", False),
        ("::ffff:192.0.2.1", False),
        ("mx.example.com", False),
    ],
)
def test_an_address_is_matched_octet_for_octet(reference: str, is_match: bool) -> None:
    """RFC 9525 §6.4; rule 129."""
    names = CertificateNames((), (ip_address("192.0.2.1"), ip_address("2001:db8::1")))
    assert (find_match(names, [reference]) is not None) == is_match


def test_an_address_is_never_looked_for_among_domain_names() -> None:
    """RFC 9525 §6.4: iPAddress, not dNSName. Rule 129."""
    assert find_match(CertificateNames(("192.0.2.1",)), ["192.0.2.1"]) is None
    assert find_match(CertificateNames(("*.0.2.1",)), ["192.0.2.1"]) is None


def test_a_mismatch_is_explained_in_one_short_line() -> None:
    many = CertificateNames(tuple(f"mx{n}.example.com" for n in range(500)))
    text = explain_mismatch(many, ["mx.example.org", ".example.org"])
    assert text == (
        "the certificate is for mx0.example.com, mx1.example.com, mx2.example.com, "
        "mx3.example.com, mx4.example.com and 495 more; wanted: mx.example.org or .example.org"
    )
    assert explain_mismatch(CertificateNames(), ["a.example"]).startswith(
        "the certificate is for no name at all;"
    )
    assert "192.0.2.1" in explain_mismatch(
        CertificateNames((), (ip_address("192.0.2.1"),)), ["a.example"]
    )


@pytest.mark.parametrize("text", ["", "[", "[]", "mx.example.com", "[IPv6:]", "IPv6:::1", "1.2.3"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_ip(text) is None


@given(st.lists(st.text(max_size=30), max_size=4), st.text(max_size=30))
def test_no_text_makes_matching_fail(names: list[str], reference: str) -> None:
    find_match(CertificateNames(tuple(names)), [reference])


label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)


@given(label, st.lists(label, min_size=1, max_size=3), label)
def test_a_wildcard_covers_one_label_and_only_one(one: str, parent: list[str], more: str) -> None:
    """RFC 9525 §6.3; rule 98."""
    domain = ".".join([*parent, "example"])
    names = CertificateNames((f"*.{domain}",))
    assert find_match(names, [f"{one}.{domain}"])
    assert not find_match(names, [domain])
    assert not find_match(names, [f"{more}.{one}.{domain}"])
