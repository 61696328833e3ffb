"""What rspamd is told stands in HTTP fields, one for each fact, and stays in them."""

from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.rspamd.requests import (
    MAX_RECIPIENTS,
    MAX_VALUE_CHARACTERS,
    CheckFacts,
    format_check_headers,
)


def test_all_that_is_known_is_told() -> None:
    facts = CheckFacts(
        queue_id="Q1",
        sender="a@example.net",
        recipients=("b@example.org", "c@example.org"),
        ip="2001:db8::1",
        helo="client.example",
        hostname="name.example",
        user="bob",
        tls_version="TLSv1.3",
        tls_cipher="TLS_AES_256_GCM_SHA384",
        mta_name="mx.example.org",
        deliver_to="b@example.org",
        settings_id="strict",
    )
    assert format_check_headers(facts) == (
        ("From", "<a@example.net>"),
        ("Rcpt", "<b@example.org>"),
        ("Rcpt", "<c@example.org>"),
        ("IP", "2001:db8::1"),
        ("Helo", "client.example"),
        ("Hostname", "name.example"),
        ("User", "bob"),
        ("Queue-Id", "Q1"),
        ("TLS-Version", "TLSv1.3"),
        ("TLS-Cipher", "TLS_AES_256_GCM_SHA384"),
        ("MTA-Name", "mx.example.org"),
        ("Deliver-To", "b@example.org"),
        ("Settings-ID", "strict"),
    )


def test_what_is_not_known_is_not_told_but_the_null_sender_is() -> None:
    facts = CheckFacts("Q1", "", (), "192.0.2.1")
    assert format_check_headers(facts) == (
        ("From", "<>"),
        ("IP", "192.0.2.1"),
        ("Queue-Id", "Q1"),
    )


def test_utf_8_goes_as_its_octets() -> None:
    """RFC 9110 §5.5: obs-text; rspamd reads UTF-8 there."""
    (sender, *_) = format_check_headers(CheckFacts("Q1", "\u00e9@example.net", (), ""))
    assert sender[1].encode("latin-1").decode() == "<\u00e9@example.net>"


def test_recipients_are_bounded() -> None:
    facts = CheckFacts("Q1", "", ("a@example.org",) * 5000, "")
    assert len(format_check_headers(facts)) == MAX_RECIPIENTS + 2


@given(st.text(max_size=20) | st.just("x" * 5000))
def test_no_value_leaves_its_field(text: str) -> None:
    for _, value in format_check_headers(CheckFacts("Q1", text, (text,), text, text, text)):
        octets = value.encode("latin-1")
        assert not set(octets) & set(b"\r\n\0")
        assert len(octets) <= 4 * MAX_VALUE_CHARACTERS
        assert value == value.strip(" \t")
