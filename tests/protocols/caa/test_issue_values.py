"""Values of issue properties: the grammar, exactly."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from letterlock.protocols.caa.issue_values import IssueValue, MalformedValue, parse_issue_value

LABEL = r"[A-Za-z0-9](?:-*[A-Za-z0-9])*"
PARAMETER = rf"{LABEL}[ \t]*=[ \t]*[\x21-\x3a\x3c-\x7e]*"
GRAMMAR = re.compile(
    rf"[ \t]*(?:{LABEL}(?:\.{LABEL})*[ \t]*)?"
    rf"(?:;[ \t]*(?:{PARAMETER}(?:[ \t]*;[ \t]*{PARAMETER})*[ \t]*)?)?"
)
"""RFC 8659 §4.2 written as one expression, to compare with: too slow for values from outside."""

PIECES = st.sampled_from(
    [";", " ", "\t", "=", ".", "-", "a", "Z", "9", "ca.example", "x=y", "%", "_", "\n", "\xff", "~"]
)


@pytest.mark.parametrize(
    ("text", "issuer", "parameters"),
    [
        ("ca1.example.net", "ca1.example.net", ()),
        ("ca1.example.net; account=230123", "ca1.example.net", (("account", "230123"),)),
        ("", "", ()),
        (";", "", ()),
        (" \t", "", ()),
        (" ; ", "", ()),
        ("; a=b", "", (("a", "b"),)),
        ("ca.test;", "ca.test", ()),
        ("ca.test; \t", "ca.test", ()),
        ("\t ca.test \t", "ca.test", ()),
        ("\tca.test\t;\ta\t=\tb\t", "ca.test", (("a", "b"),)),
        ("CA.Test;A=b", "CA.Test", (("A", "b"),)),
        ("ca.test;a=1;a=2;b=3", "ca.test", (("a", "1"), ("a", "2"), ("b", "3"))),
        ("ca.test; a-b=c; a--b=", "ca.test", (("a-b", "c"), ("a--b", ""))),
        ("ca.test; a=b=c", "ca.test", (("a", "b=c"),)),
        ("ca.test; a=!:<~", "ca.test", (("a", "!:<~"),)),
        ("a--b.x", "a--b.x", ()),
        ("one", "one", ()),
        (
            "example.net; accounturi=https://example.net/account/1234; validationmethods=dns-01",
            "example.net",
            (
                ("accounturi", "https://example.net/account/1234"),
                ("validationmethods", "dns-01"),
            ),
        ),
    ],
)
def test_values_in_good_form_are_read(
    text: str, issuer: str, parameters: tuple[tuple[str, str], ...]
) -> None:
    """RFC 8659 §4.2, RFC 8657 §6 and its examples; rule 168"""
    assert parse_issue_value(text.encode()) == IssueValue(issuer, parameters)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("%%%%%", "no domain name"),
        ("ca.test.", "no domain name"),
        (".ca.test", "no domain name"),
        ("ca..test", "no domain name"),
        ("-ca.test", "no domain name"),
        ("ca-.test", "no domain name"),
        ("ca_1.test", "no domain name"),
        ("ca.test x", "no domain name"),
        ("ca test", "no domain name"),
        ("cä.test", "no domain name"),
        ("ca.test\n", "no domain name"),
        ("ca.test\0", "no domain name"),
        ("a=b", "no domain name"),
        (";;", "a parameter is empty"),
        ("ca.test;;", "a parameter is empty"),
        ("ca.test; a=b;", "a parameter is empty"),
        ("ca.test; ; a=b", "a parameter is empty"),
        ("ca.test; a=b; ;c=d", "a parameter is empty"),
        ("ca.test; a", "no equals sign"),
        ("ca.test; a=b c=d", "odd characters in it"),
        ("ca.test; a=1 2", "odd characters in it"),
        ("ca.test; a=1\t2", "odd characters in it"),
        ("ca.test; a=\x7f", "odd characters in it"),
        ("ca.test; a=é", "odd characters in it"),
        ("ca.test; a=b\n", "odd characters in it"),
        ("ca.test; =b", "a parameter's name"),
        ("ca.test; -a=b", "a parameter's name"),
        ("ca.test; a-=b", "a parameter's name"),
        ("ca.test; a_b=1", "a parameter's name"),
        ("ca.test; a b=1", "a parameter's name"),
        ("ca.test; a.b=1", "a parameter's name"),
    ],
)
def test_values_in_bad_form_name_nobody(text: str, reason: str) -> None:
    """RFC 8659 §4.2: they are as one without an issuer's domain. Rule 168"""
    value = parse_issue_value(text.encode())
    assert isinstance(value, MalformedValue)
    assert reason in value.reason


@given(st.lists(PIECES, max_size=12).map("".join))
@example("a" * 50_000 + "-")
def test_what_is_read_is_what_the_grammar_allows(text: str) -> None:
    """RFC 8659 §4.2: the ABNF; rule 168"""
    is_good = isinstance(parse_issue_value(text.encode("latin-1")), IssueValue)
    assert is_good is bool(len(text) < 1000 and GRAMMAR.fullmatch(text))


@given(
    issuer=st.from_regex(rf"(?:{LABEL}(?:\.{LABEL})*)?", fullmatch=True),
    parameters=st.lists(
        st.tuples(
            st.from_regex(LABEL, fullmatch=True),
            st.from_regex(r"[\x21-\x3a\x3c-\x7e]*", fullmatch=True),
        ),
        max_size=4,
    ),
)
def test_a_value_that_is_written_is_read_the_same(
    issuer: str, parameters: list[tuple[str, str]]
) -> None:
    value = IssueValue(issuer, tuple(parameters))
    assert parse_issue_value(str(value).encode("ascii")) == value


def test_parameters_are_found_in_any_case_and_all_of_them() -> None:
    """Ours: RFC 8659 §4.2 says nothing of their case, and a limit must not get lost by it.

    Rule 169.
    """
    value = parse_issue_value(b"ca.test; a=1; AccountURI=x:1; A=2; accounturi=x:2")
    assert isinstance(value, IssueValue)
    assert value.find("accounturi") == ("x:1", "x:2")
    assert value.find("b") == ()
