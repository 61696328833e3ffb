"""Authentication-Results fields that claim to be ours are found however they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.own_results import (
    MAX_FIELDS,
    drop_own_results,
    is_own_claim,
    make_own_names,
    may_have_results,
)

OWN = make_own_names(["mx.example.org", "Bücher.example", "mail+filter"])

OURS = [
    # RFC 8601 §2.2: the authserv-id is a value; §5.
    b" mx.example.org; dkim=pass",
    b" Mail+Filter; none",
    b"mx.example.org;none",
    b" MX.Example.ORG; dkim=pass",
    b" mx.example.org",
    b" mx.example.org.; none",
    b" mx.example.org 1; none",
    b" mx.example.org/1; none",
    b" mx.example.org(our own);none",
    b' "mx.example.org"; none',
    b' "mx\\.example\\.org"; none',
    b" xn--bcher-kva.example; none",
    " bücher.example; none".encode(),
    " BÜCHER.example; none".encode(),
    # Comments, as deep as one likes, and folds.
    b" (comment) mx.example.org; none",
    b" (a (b) \\) c)\r\n\t(d)mx.example.org; none",
    b"\r\n mx.example.org\r\n\t; none",
    b" mx.exam\r\n ple.org; none",
    # As somebody may read it who knows no comments, quotes or escapes.
    b" (\\) mx.example.org; dkim=pass) evil.example; none",
    b" evil.example (; mx.example.org; dkim=pass)",
    b' "evil; mx.example.org; dkim=pass"; none',
    b' mx."example".org; none',
    b" mx.example.org=x; none",
    b" evil.example mx.example.org; none",
    b" mx\\.example.org; none",
    b" m\0x.example.org; none",
    "\u00a0mx.example.org; none".encode(),
    "mx\u3002example\uff0eorg; none".encode(),
    "\uff4dx.example.org; none".encode(),
    "mx.ex\u00adample.org; none".encode(),
    b" mx.exam(comment)ple.org; none",
    b": mx.example.org; none",
    b":\0mx.example.org; none",
    b":; mx.example.org; none",
    # RFC 2047 §5 has no encoded-words here; Sieve and libraries decode them in any field.
    b" =?utf-8?q?mx.example.org?=; dkim=pass",
    b" =?us-ascii?b?bXguZXhhbXBsZS5vcmc=?=; dkim=pass",
    b" (=?utf-8?q?mx.example.org?=) other.example; dkim=pass",
    # What cannot be read may be anybody's.
    b"",
    b" ",
    b" ; dkim=pass",
    b" (comment",
    b' "quoted',
    b" (" * 21 + b"a" + b")" * 21 + b" b; none",
    b" x" * 1000,
    # RFC 8601 §5: a version that is not known goes, whoever it is from.
    b" other.example 2; none",
    b" other.example (c) 02; none",
]
OTHERS = [
    b" mx.google.com; dkim=pass header.i=@mx.example.org",
    b" mx.google.com; spf=pass (mx.example.org: domain of) smtp.mailfrom=a@mx.example.org",
    b" other.example; none",
    b" other.example 1; none",
    b" other.example 01; none",
    b" (comment) other.example; none",
    b" backup-mx.example.org; none",
    b" mx.example.org.evil.example; none",
    b" notmx.example.org; none",
    b" mx.example.orgx; none",
    # Exchange writes none.
    b" dkim=none (message not signed)\r\n header.d=none;dmarc=none action=none",
    b' "other (not a comment"; none',
    b" other\xff.example; none",
]


@pytest.mark.parametrize("value", OURS)
def test_what_may_be_read_as_ours_goes(value: bytes) -> None:
    """RFC 8601 §5, §7.1, §7.8."""
    assert is_own_claim(value, OWN)


@pytest.mark.parametrize("value", OTHERS)
def test_what_others_found_stays(value: bytes) -> None:
    """RFC 8601 §5: only what claims to be ours must go."""
    assert not is_own_claim(value, OWN)


FORGED = b"Authentication-Results: mx.example.org; dkim=pass\r\n"
OTHER = b"Authentication-Results: other.example; none\r\n"
NOT_THAT = (
    b"ARC-Authentication-Results: i=1; mx.example.org; none\r\n"
    b"X-Authentication-Results: mx.example.org; none\r\n"
    b"Authentication-Results-Original: mx.example.org; none\r\n"
)


@pytest.mark.parametrize(
    "forged",
    [
        FORGED,
        FORGED.upper(),
        FORGED.lower(),
        b"Authentication-Results : mx.example.org; none\r\n",
        b"Authentication-Results\t \t:mx.example.org; none\r\n",
        b"Authentication-Results\r\n : mx.example.org; none\r\n",
        b"Authentication-Results:\r\n\tmx.example.org;\r\n dkim=pass\r\n",
        b"Authentication-Results\r\n",
        b"authentication-results:\r\n",
    ],
)
@pytest.mark.parametrize("other", [b"", b"From: a@example.com\r\n", OTHER, NOT_THAT, b"junk\r\n"])
def test_the_field_is_found_however_its_name_is_written(forged: bytes, other: bytes) -> None:
    """RFC 5322 §4.5.8."""
    for header in (forged + other, other + forged, other + forged + other):
        assert may_have_results(header)
        cleaned, count = drop_own_results(header, OWN)
        assert cleaned == header.replace(forged, b"")
        assert count == 1
    assert drop_own_results(other, OWN) == (other, 0)


def test_a_header_without_such_fields_is_not_looked_at() -> None:
    assert not may_have_results(b"From: a@example.com\r\nSubject: mx.example.org\r\n")


def test_of_very_many_fields_the_rest_goes() -> None:
    cleaned, count = drop_own_results(OTHER * (MAX_FIELDS + 5), OWN)
    assert cleaned == OTHER * MAX_FIELDS
    assert count == 5


COMMENTS = st.text(' a;()\\"\t', max_size=8).map(lambda text: f"({text.replace(chr(92), '')})")
BALANCED = COMMENTS.filter(lambda text: text.count("(") == text.count(")") == 1)
SPACE = st.sampled_from(["", " ", "\r\n ", "\t"]) | BALANCED


@given(st.lists(SPACE, max_size=4), st.lists(SPACE, max_size=4), st.data())
def test_comments_and_folds_hide_nothing(
    before: list[str], after: list[str], data: st.DataObject
) -> None:
    """RFC 8601 §2.2: CFWS may stand on both sides of the authserv-id."""
    letters = [
        data.draw(st.sampled_from((each.lower(), each.upper()))) for each in "mx.example.org"
    ]
    value = f" {''.join(before)}{''.join(letters)}{''.join(after)}; dkim=pass"
    assert is_own_claim(value.encode(), OWN)


@given(st.binary(max_size=60))
def test_any_octets_are_judged(value: bytes) -> None:
    assert is_own_claim(b"mx.example.org;" + value, OWN)
    is_own_claim(value, OWN)
