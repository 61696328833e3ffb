"""RFC 9110 §13: a client that has it already is told so, and one that may not have it never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.http.conditions import is_known, make_etag

ETAG = make_etag(b"a CRL")
TAG = ETAG.encode()
OTHER = b'"other"'
DATE = "Sun, 01 Mar 2026 12:00:00 GMT"
LATER = b"Sun, 01 Mar 2026 12:00:01 GMT"


def test_two_bodies_have_two_tags() -> None:
    """RFC 9110 §8.8.3"""
    assert make_etag(b"a CRL") == ETAG != make_etag(b"another")
    assert (ETAG[0], ETAG[-1], ETAG[1:-1].isalnum()) == ('"', '"', True)


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ([TAG], True),
        ([b"W/" + TAG], True),
        ([b"*"], True),
        ([b" * "], True),
        ([OTHER + b", " + TAG], True),
        ([b', ,"",' + TAG + b" ,, " + OTHER + b","], True),
        ([OTHER, TAG], True),
        ([b'"a,b"\t,' + TAG], True),
        ([b'"a\xe4\xff",' + TAG], True),
        ([OTHER], False),
        ([b""], False),
        ([TAG[:-1]], False),
        ([TAG[1:-1]], False),
        ([TAG + OTHER], False),
        ([TAG + b" " + OTHER], False),
        ([b"w/" + TAG], False),
        ([b"*, " + TAG], False),
        ([b'"a b",' + TAG], False),
        ([b'"' + TAG], False),
        ([TAG.upper()], False),
    ],
)
def test_a_tag_that_is_listed_is_known(values: list[bytes], *, known: bool) -> None:
    """RFC 9110 §13.1.2: compared weakly; what cannot be read is no reason to send less."""
    fields = [(b"if-none-match", value) for value in values]
    assert is_known(fields, ETAG, "") is known


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ([DATE.encode()], True),
        ([LATER], False),
        ([DATE.encode(), DATE.encode()], False),
        ([b"Sunday, 01-Mar-26 12:00:00 GMT"], False),
        ([b""], False),
        ([], False),
    ],
)
def test_a_date_must_be_the_one_that_was_told(values: list[bytes], *, known: bool) -> None:
    """RFC 9110 §13.1.3, more strictly: a later one may be of the client's own clock."""
    fields = [(b"host", b"ca.example"), *((b"if-modified-since", value) for value in values)]
    assert is_known(fields, ETAG, DATE) is known
    assert not is_known(fields, ETAG, "")


def test_with_tags_dates_do_not_count() -> None:
    """RFC 9110 §13.2.2"""
    date = (b"if-modified-since", DATE.encode())
    assert not is_known([date, (b"if-none-match", OTHER)], ETAG, DATE)
    assert is_known([(b"if-modified-since", LATER), (b"if-none-match", TAG)], ETAG, DATE)


@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([b'"', b",", b"W/", b" ", TAG]), max_size=8)
)
def test_no_octets_are_an_error_and_none_without_the_tag_are_known(pieces: list[bytes]) -> None:
    value = b"".join(pieces)
    known = is_known([(b"if-none-match", value)], ETAG, DATE)
    assert not known or TAG in value or value.strip() == b"*"
