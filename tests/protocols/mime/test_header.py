"""RFC 5322 §2.2, RFC 2045 §5, RFC 2231, RFC 2047: fields and their parameters, as they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.mime.header import (
    MAX_PARAMETERS,
    MAX_VALUE_CHARACTERS,
    Header,
    decode_words,
    parse_parameterized,
)

HEADER = (
    b"From: a@x.example\r\n"
    b"X-Subject: no\r\n"
    b"Subject-Line: no\r\n"
    b"SUBJECT \t:  one\r\n\t two\r\n"
    b"Subject: three\r\n"
    b"To: last"
)


def test_the_first_field_of_a_name_is_found_and_unfolded() -> None:
    header = Header(HEADER)
    assert header.find(b"from") == "a@x.example"
    assert header.find(b"subject") == "one\t two"
    assert header.find(b"to") == "last"
    assert header.find(b"x") is None
    assert header.find(b"date") is None


def test_lines_may_end_in_lf() -> None:
    header = Header(HEADER.replace(b"\r\n", b"\n"))
    assert header.find(b"subject") == "one\t two"


def test_values_are_cut_and_octets_that_are_no_utf_8_replaced() -> None:
    assert Header(b"a: \xff\r\n").find(b"a") == "\ufffd"
    found = Header(b"a:" + b"x" * 100_000).find(b"a")
    assert found is not None
    assert len(found) == MAX_VALUE_CHARACTERS


@pytest.mark.parametrize(
    ("text", "value", "parameters"),
    [
        ("text/plain", "text/plain", {}),
        ("Text/PLAIN; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        ('a/b; c="d;e"; f=g', "a/b", {"c": "d;e", "f": "g"}),
        (r'a/b; c="d\"e\\"', "a/b", {"c": 'd"e\\'}),
        ('a/b; c="open', "a/b", {"c": "open"}),
        ("a/b; c=1; c=2", "a/b", {"c": "1"}),
        ("attachment; filename=a b", "attachment", {"filename": "a b"}),
        ("a/b; n*0=x; n*1=y; n*3=z", "a/b", {"n": "xy"}),
        ("a/b; n*0*=utf-8''%C3%BC; n*1=%41; n*2*=%42", "a/b", {"n": "\u00fc%41B"}),
        ("a/b; n*=iso-8859-1'de'%FC", "a/b", {"n": "\u00fc"}),
        ("a/b; n*=nonsense''%C3%BC", "a/b", {"n": "\u00fc"}),
        ("a/b; n*=plain", "a/b", {"n": "plain"}),
        ("a/b; n*=x; n=y", "a/b", {"n": "y"}),
        ("a/b; n*x*=y; m=1", "a/b", {"m": "1"}),
        ("a/b; n*1=y", "a/b", {"n": ""}),
        ('a/b; n="=?utf-8?q?=C3=BC?="', "a/b", {"n": "\u00fc"}),
        ("", "", {}),
        ("; a=b", "", {"a": "b"}),
    ],
)
def test_parameters_come_in_many_forms(text: str, value: str, parameters: dict[str, str]) -> None:
    found = parse_parameterized(text)
    assert (found.value, found.parameters) == (value, parameters)


def test_only_so_many_parameters_are_looked_at() -> None:
    text = "a/b" + "".join(f"; p{number}=x" for number in range(MAX_PARAMETERS + 5))
    assert len(parse_parameterized(text).parameters) == MAX_PARAMETERS


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("plain", "plain"),
        ("=?utf-8?Q?a_b=C3=BC?=", "a b\u00fc"),
        ("=?UTF-8?b?w7w=?= =?utf-8*de?B?w7w?=", "\u00fc\u00fc"),
        ("=?iso-8859-1?q?=FC?= x", "\u00fc x"),
        ("=?utf-8?b?x?=", "=?utf-8?b?x?="),
        ("=?utf-8?x?y?=", "=?utf-8?x?y?="),
    ],
)
def test_encoded_words_are_decoded(text: str, decoded: str) -> None:
    """RFC 2047 §2, §6.2."""
    assert decode_words(text) == decoded


@given(st.text(max_size=60), st.binary(max_size=60))
def test_any_text_gives_a_value(text: str, octets: bytes) -> None:
    found = parse_parameterized(text)
    assert found.value == found.value.lower()
    decode_words(text)
    Header(octets).find(b"a")
