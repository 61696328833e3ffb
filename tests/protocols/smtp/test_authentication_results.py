"""Authentication-Results are read as they come in the wild, and written as the RFC has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.authentication_results import (
    MAX_PROPERTIES,
    MAX_RESULTS,
    MAX_VALUE_CHARACTERS,
    AuthenticationResults,
    MethodResult,
    Property,
    ResultsError,
    format_results,
    parse_results,
)

SPF = MethodResult("spf", "pass", None, (Property("smtp", "mailfrom", "example.net"),))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 8601 §B.
        (" example.org 1; none", AuthenticationResults("example.org")),
        (" example.org; none", AuthenticationResults("example.org")),
        (
            " example.com;\r\n\tspf=pass smtp.mailfrom=example.net",
            AuthenticationResults("example.com", (SPF,)),
        ),
        (
            (
                " example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n"
                " spf=pass smtp.mailfrom=example.net"
            ),
            AuthenticationResults(
                "example.com",
                (
                    MethodResult(
                        "auth", "pass", None, (Property("smtp", "auth", "sender@example.net"),)
                    ),
                    SPF,
                ),
            ),
        ),
        (
            ' example.com;\r\n dkim=fail reason="bad \\"signature\\""\r\n header.i=@a.example',
            AuthenticationResults(
                "example.com",
                (
                    MethodResult(
                        "dkim",
                        "fail",
                        'bad "signature"',
                        (Property("header", "i", "@a.example"),),
                    ),
                ),
            ),
        ),
        (
            (
                " foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) ="
                " (wait for it)\r\n"
                " fail policy (A dot can go here) . (like that) expired (this surprised me) =\r\n"
                " (as I wasn't expecting it) 1362471462"
            ),
            AuthenticationResults(
                "foo.example.net",
                (
                    MethodResult(
                        "dkim", "fail", None, (Property("policy", "expired", "1362471462"),)
                    ),
                ),
            ),
        ),
        # From the wild.
        ("a.example", AuthenticationResults("a.example")),
        ("a.example;", AuthenticationResults("a.example")),
        ("a.example 2; none", AuthenticationResults("a.example", (), 2)),
        ('"a (b)"; none ;', AuthenticationResults("a (b)")),
        (
            "a.example; dmarc=none action=none header.from=b.example;",
            AuthenticationResults(
                "a.example",
                (
                    MethodResult(
                        "dmarc",
                        "none",
                        None,
                        (Property("", "action", "none"), Property("header", "from", "b.example")),
                    ),
                ),
            ),
        ),
        (
            "mx.google.com; DKIM=pass header.i=@b.example header.b=AbC/+d==",
            AuthenticationResults(
                "mx.google.com",
                (
                    MethodResult(
                        "dkim",
                        "pass",
                        None,
                        (
                            Property("header", "i", "@b.example"),
                            Property("header", "b", "AbC/+d=="),
                        ),
                    ),
                ),
            ),
        ),
        ("a; dkim/2=pass", AuthenticationResults("a", (MethodResult("dkim", "pass", version=2),))),
    ],
)
def test_a_field_is_read(value: str, expected: AuthenticationResults) -> None:
    """RFC 8601 §2.2."""
    assert parse_results(value) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "an authserv-id is missing"),
        ("; none", "an authserv-id"),
        ("dkim=none (no) header.d=none", "a semicolon"),
        ("a (comment; none", "no end"),
        ("(" * 30 + ")" * 30 + "a", "no end"),
        ("a b; none", "a semicolon"),
        ("a; none b", "an equals sign"),
        ("a; dkim", "an equals sign"),
        ("a; =pass", "a name"),
        ("a; dkim=", "a name"),
        ("a; dkim=pass header.d", "an equals sign"),
        ("a; dkim=pass header.=x", "a name"),
        ("a; dkim=pass header.d=", "a value"),
        ('a; dkim=pass header.d="x', "a value"),
        ("a; dkim=pass\x00", "a name"),
        ("a" + "; a=b" * (MAX_RESULTS + 1), "too many"),
        ("a; a=b" + " c.d=e" * (MAX_PROPERTIES + 1), "too many"),
        ("a" * (MAX_VALUE_CHARACTERS + 1), "more than"),
    ],
)
def test_what_is_none_is_told(value: str, words: str) -> None:
    with pytest.raises(ResultsError, match=words):
        parse_results(value)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (AuthenticationResults("mx.example.org"), "mx.example.org; none"),
        (AuthenticationResults("mx.example.org", (), 2), "mx.example.org 2; none"),
        (
            AuthenticationResults(
                "mx.example.org",
                (
                    MethodResult(
                        "dkim",
                        "fail",
                        'body "hash"',
                        (Property("header", "d", "a.example"), Property("header", "b", "a/b=")),
                    ),
                    MethodResult(
                        "spf", "pass", None, (Property("smtp", "mailfrom", "a@b.example"),), 2
                    ),
                ),
            ),
            (
                'mx.example.org; dkim=fail reason="body \\"hash\\"" header.d=a.example'
                ' header.b="a/b="; spf/2=pass smtp.mailfrom=a@b.example'
            ),
        ),
    ],
)
def test_a_field_is_written(results: AuthenticationResults, expected: str) -> None:
    assert format_results(results) == expected


KEYWORDS = st.from_regex(r"[a-z][a-z0-9-]{0,5}", fullmatch=True).filter(lambda text: text != "none")
TEXTS = st.text('ab1 ;()="\\@./', min_size=1, max_size=8).filter(lambda text: "  " not in text)
PROPERTIES = st.builds(Property, KEYWORDS, KEYWORDS, TEXTS)
RESULTS = st.builds(
    MethodResult,
    KEYWORDS,
    KEYWORDS,
    st.none() | TEXTS,
    st.lists(PROPERTIES, max_size=3).map(tuple),
    st.integers(1, 99),
)
FIELDS = st.builds(
    AuthenticationResults, TEXTS, st.lists(RESULTS, max_size=3).map(tuple), st.integers(1, 99)
)


@given(FIELDS)
def test_what_is_written_is_read_again(results: AuthenticationResults) -> None:
    assert parse_results(format_results(results)) == results


@given(st.text(max_size=30) | st.text('a=;()"\\. 1', max_size=30))
def test_any_text_is_read_or_told(text: str) -> None:
    try:
        results = parse_results(text)
    except ResultsError:
        return
    assert results.authserv_id or text.lstrip().startswith('""') or '""' in text
