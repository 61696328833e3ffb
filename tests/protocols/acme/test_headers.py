"""RFC 8288 §3, RFC 9110 §10.2.3: header fields of ACME's responses."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.headers import find_links, parse_retry_after
from tests.fakes import START


@pytest.mark.parametrize(
    ("values", "urls"),
    [
        ([b'<https://ca/2>;rel="alternate"'], ["https://ca/2"]),
        ([b"<https://ca/2>; rel=alternate"], ["https://ca/2"]),
        ([b'<https://ca/2>; title="a, b; rel=x"; REL="Next Alternate"'], ["https://ca/2"]),
        (
            [
                b'<https://ca/d>;rel="index", <https://ca/2>;rel="alternate"',
                b"<https://ca/3>;rel=alternate",
            ],
            ["https://ca/2", "https://ca/3"],
        ),
        ([b'<https://ca/2>;rel="alternate"'] * 2, ["https://ca/2"]),
        ([b'</relative>;rel="alternate"', b'<http://ca/2>;rel="alternate"'], []),
        ([b"<https://ca/2>", b"garbage", b"<<>>;rel=", b""], []),
    ],
)
def test_links_of_a_relation_are_found(values: list[bytes], urls: list[str]) -> None:
    """RFC 8555 §7.4.2: alternate chains."""
    assert [str(url) for url in find_links(values, "alternate")] == urls


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (b"120", timedelta(seconds=120)),
        (b" 0 ", timedelta()),
        (b"Sun, 01 Mar 2026 12:01:00 GMT", timedelta(minutes=1)),
        (b"Sun, 01 Mar 2026 12:01:00 -0000", timedelta(minutes=1)),
        (b"Sun, 01 Mar 2026 11:00:00 GMT", timedelta()),
        (b"soon", None),
        (b"-1", None),
        (b"1.5", None),
        (b"9" * 30, None),
        (b"", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: bytes, wait: timedelta | None) -> None:
    """RFC 9110 §10.2.3."""
    assert parse_retry_after(value, START) == wait


@given(st.binary(max_size=200))
def test_no_header_is_an_error(value: bytes) -> None:
    find_links([value], "alternate")
    wait = parse_retry_after(value, START)
    assert wait is None or wait >= timedelta()
