"""Domain names have one form inside the program."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain, DomainError, format_unicode, parse_domain


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("example.org", "example.org"),
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("localhost", "localhost"),
        ("_25._tcp.mx.example.org", "_25._tcp.mx.example.org"),
        ("a--b.example", "a--b.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("_25._tcp.bücher.example", "_25._tcp.xn--bcher-kva.example"),
        ("mx。example.org.", "mx.example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a" * 63 + ".org", "a" * 63 + ".org"),
    ],
)
def test_a_name_becomes_lower_case_a_labels_without_a_final_dot(text: str, domain: str) -> None:
    """RFC 5890 §2.3, and UTS 46 for what people type."""
    assert parse_domain(text) == domain


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "must not be empty"),
        (".", "must not be empty"),
        ("example..org", "is not a label"),
        (".example.org", "is not a label"),
        ("example.org..", "is not a label"),
        ("-a.org", "is not a label"),
        ("a-.org", "is not a label"),
        ("a b.org", "is not a label"),
        ("a\n.org", "is not a label"),
        ("a.org\n", "is not a label"),
        ("*.org", "is not a label"),
        ("[192.0.2.1]", "is not a label"),
        ("a" * 64 + ".org", "at most 63"),
        (".".join(["a" * 50] * 5), "at most 253"),
        ("ü" * 64 + ".org", "is not an internationalised"),
        ("\u0300a.example", "is not an internationalised"),
        ("a\u200d.example", "is not an internationalised"),
        ("\ud800.example", "is not an internationalised"),
    ],
)
def test_what_is_no_domain_name_is_refused_with_the_rule(text: str, rule: str) -> None:
    """RFC 1035 §2.3.4 (lengths), RFC 5321 §4.1.2 (characters)."""
    with pytest.raises(DomainError, match=rule):
        parse_domain(text)


@pytest.mark.parametrize("character", ["a", "é", "\x9b", "\ud800"])
def test_an_error_does_not_grow_with_the_name(character: str) -> None:
    """It goes into replies and logs."""
    for text in (character * 100_000, f"{character * 60}.{'é' * 60}.{character * 60}"):
        with pytest.raises(DomainError) as caught:
            parse_domain(text)
        assert len(str(caught.value)) < 1000


@given(st.text(max_size=80))
def test_any_text_is_a_domain_that_stays_as_it_is_or_is_refused(text: str) -> None:
    try:
        domain = parse_domain(text)
    except DomainError:
        return
    assert domain.isascii()
    assert parse_domain(domain) == domain
    assert parse_domain(f"{domain}.") == domain


def test_for_people_a_name_has_u_labels() -> None:
    assert format_unicode(Domain("xn--bcher-kva.example")) == "bücher.example"
    assert format_unicode(Domain("mx.example.org")) == "mx.example.org"


def test_a_label_that_only_looks_like_an_a_label_is_shown_as_it_is() -> None:
    assert format_unicode(Domain("xn--0.xn--bcher-kva")) == "xn--0.bücher"
