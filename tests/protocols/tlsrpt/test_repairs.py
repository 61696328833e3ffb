"""RFC 8460 §4.4: single values in the ways in which they are written."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tlsrpt.repairs import (
    Names,
    show,
    take_address,
    take_contact,
    take_count,
    take_moment,
    take_text,
    take_uri,
    take_word,
)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (2**53 - 1, 2**53 - 1),
        ("17", 17),
        (" 17 ", 17),
        (5.0, 5),
        (2**53, None),
        (-1, None),
        (1.5, None),
        (True, None),
        ("", None),
        ("-1", None),
        ("17x", None),
        ("\u0661", None),
        (None, None),
        ([1], None),
    ],
)
def test_counts_are_numbers_from_zero_or_unknown(value: Any, count: int | None) -> None:
    """RFC 8460 §4.4: "an integer, encoded as a JSON number"."""
    found, why = take_count(value)
    assert found == count
    is_plain = isinstance(value, int) and not isinstance(value, bool) and found is not None
    assert (why is None) is is_plain


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:0db8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[IPv6:2001:db8::1]", "2001:db8::1"),
        ("[192.0.2.1]", "192.0.2.1"),
        (" 192.0.2.1\n", "192.0.2.1"),
        ("fe80::1%eth0\x1b", "fe80::1"),
        ("::ffff:c000:201", "::ffff:192.0.2.1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("x.x.x.x", None),
        ("192.0.2.256", None),
        ("192.000.002.001", None),
        ("1.2.3", None),
        ("\u0661.2.3.4", None),
        ("", None),
    ],
)
def test_addresses_are_as_rfc_5952_writes_them(text: str, address: str | None) -> None:
    """Rule 189."""
    found, why = take_address(text)
    assert found == address
    assert (why is None) is (found == text)


@given(st.ip_addresses())
def test_what_the_standard_library_writes_needs_no_repair(address: Any) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    text = f"::ffff:{mapped}" if mapped is not None else str(address)
    assert take_address(text) == (text, None)


@given(st.from_regex(r"[0-9a-f:]{2,39}", fullmatch=True))
def test_the_quick_look_at_an_address_is_right(text: str) -> None:
    found, why = take_address(text)
    if found is not None and why is None:
        assert str(ip_address(text)) == text


@pytest.mark.parametrize(
    ("value", "moment", "is_named"),
    [
        ("2026-04-01T00:00:00Z", datetime(2026, 4, 1, tzinfo=UTC), False),
        ("2026-04-01t00:00:00z", datetime(2026, 4, 1, tzinfo=UTC), False),
        ("2026-04-01T02:00:00+02:00", datetime(2026, 4, 1, tzinfo=UTC), False),
        ("2026-03-31T23:59:00-00:01", datetime(2026, 4, 1, tzinfo=UTC), False),
        ("2026-04-01T00:00:00.5Z", datetime(2026, 4, 1, 0, 0, 0, 500000, UTC), False),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC), False),
        ("2026-04-01T00:00:00", datetime(2026, 4, 1, tzinfo=UTC), True),
        ("2026-04-01 00:00:00Z", datetime(2026, 4, 1, tzinfo=UTC), True),
        ("2026-03-31T24:00:00Z", datetime(2026, 4, 1, tzinfo=UTC), True),
        (" 2026-04-01T00:00:00Z ", datetime(2026, 4, 1, tzinfo=UTC), True),
        ("2026-04-01", datetime(2026, 4, 1, tzinfo=UTC), True),
        (1775001600, datetime(2026, 4, 1, tzinfo=UTC), True),
        (1775001600.5, datetime(2026, 4, 1, tzinfo=UTC), True),
        ("2026-04-31T00:00:00Z", None, True),
        ("2026-04-01T24:00:01Z", None, True),
        ("2026-04-01T00:00:00+24:00", None, True),
        ("0001-01-01T00:00:00+01:00", None, True),
        ("9999-12-31T24:00:00Z", None, True),
        ("2026-02-30", None, True),
        (10**30, None, True),
        (True, None, True),
        (None, None, True),
        ("yesterday", None, True),
        ("", None, True),
    ],
)
def test_moments_are_in_utc_or_unknown(value: Any, moment: datetime | None, is_named: bool) -> None:
    """RFC 3339 §5.6; leap seconds: §5.7; rule 188."""
    found, why = take_moment(value)
    assert found == moment
    assert found is None or found.utcoffset() == timedelta()
    assert (why is not None) is is_named


def test_a_day_as_the_end_is_its_last_second() -> None:
    assert take_moment("2026-04-01", is_end=True)[0] == datetime(2026, 4, 1, 23, 59, 59, tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0)))
def test_moments_that_are_written_are_read(moment: datetime) -> None:
    assert take_moment(f"{moment.replace(tzinfo=None).isoformat()}Z") == (moment, None)


@pytest.mark.parametrize(
    ("text", "contact", "is_named"),
    [
        ("a@x.example", "a@x.example", False),
        ('"a b"@x.example', '"a b"@x.example', False),
        ("a.b+c@[192.0.2.1]", "a.b+c@[192.0.2.1]", False),
        ("mailto:a@x.example", "a@x.example", True),
        (" a@x.example ", "a@x.example", True),
        ("https://x.example/contact", "https://x.example/contact", True),
        ("A <a@x.example>", "A <a@x.example>", True),
        ("a..b@x.example", "a..b@x.example", True),
        ("a@", "a@", True),
    ],
)
def test_contacts_are_addresses_or_kept(text: str, contact: str, is_named: bool) -> None:
    """RFC 5322 §3.4.1: addr-spec."""
    found, why = take_contact(text)
    assert (found, why is not None) == (contact, is_named)


@pytest.mark.parametrize(
    ("text", "uri", "is_named"),
    [
        ("https://x.example/?a=b#c", "https://x.example/?a=b#c", False),
        ("urn:x:y", "urn:x:y", False),
        ("https://x.example/ a", "https://x.example/a", True),
        ("see: the log", "see: the log", True),
        ("the log", "the log", True),
    ],
)
def test_uris_are_whole_or_the_text_is_kept(text: str, uri: str, is_named: bool) -> None:
    found, why = take_uri(text)
    assert (found, why is not None) == (uri, is_named)


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), ("", None), (5, "5"), (True, None), (None, None), ("\0", "\ufffd")],
)
def test_texts_are_texts_or_unknown(value: Any, text: str | None) -> None:
    assert take_text(value)[0] == text


@pytest.mark.parametrize(
    ("value", "word"), [("sts", "sts"), (" STS_x ", "sts-x"), (3, "3"), (None, None)]
)
def test_words_are_in_lower_case_with_hyphens(value: Any, word: str | None) -> None:
    found, why = take_word(value)
    assert found == word
    assert (why is None) is (value == word and isinstance(value, str))


@pytest.mark.parametrize(
    ("text", "domain", "is_named"),
    [
        ("x.example", "x.example", False),
        ("X.Example", "x.example", False),
        ("localhost", "localhost", False),
        ("x.example.", "x.example", True),
        ("b\u00fccher.example", "xn--bcher-kva.example", True),
        ("x example", None, True),
        ("a." * 127 + "a", None, True),
        ("a." * 1000 + "a", None, True),
        ("", None, True),
    ],
)
def test_policy_domains_are_a_labels_or_unknown(
    text: str, domain: str | None, is_named: bool
) -> None:
    """RFC 8460 §4.4; case means nothing (RFC 4343 §3); rule 190."""
    found, why = Names().take_domain(text)
    assert (found, why is not None) == (domain, is_named)


def test_values_are_shown_on_one_short_line() -> None:
    assert show("a\nb") == r"'a\nb'"
    assert show("\x1b[31m") == r"'\x1b[31m'"
    assert [show(value) for value in (None, True, 1)] == ["null", "true", "1"]
    assert show({}) == "an object"
    assert show([]) == "an array"
    assert len(show("x" * 1_000_000)) == 83
    assert len(show(10**29)) < 83
