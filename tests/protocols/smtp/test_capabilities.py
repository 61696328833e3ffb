"""What a server offers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.capabilities import (
    Capabilities,
    Limits,
    helo_capabilities,
    parse_capabilities,
)
from letterlock.protocols.smtp.replies import Reply


def offered(*lines: str) -> Capabilities:
    return parse_capabilities(Reply(250, ("mx.example.com greets you", *lines)))


def test_a_large_server_is_understood() -> None:
    """RFC 5321 §4.1.1.1."""
    capabilities = offered(
        "PIPELINING",
        "SIZE 157286400",
        "8BITMIME",
        "SMTPUTF8",
        "CHUNKING",
        "BINARYMIME",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "STARTTLS",
        "REQUIRETLS",
        "LIMITS MAILMAX=100 RCPTMAX=50 RCPTDOMAINMAX=1",
        "AUTH PLAIN login",
        "X-UNKNOWN yes",
        "VRFY",
    )
    assert capabilities == Capabilities(
        name="mx.example.com",
        pipelining=True,
        has_size=True,
        size=157286400,
        eightbitmime=True,
        smtputf8=True,
        chunking=True,
        binarymime=True,
        dsn=True,
        enhancedstatuscodes=True,
        starttls=True,
        requiretls=True,
        limits=Limits(100, 50, 1),
        auth=frozenset({"PLAIN", "LOGIN"}),
    )


@pytest.mark.parametrize("keyword", ["starttls", "StartTls", "STARTTLS", " StarttlS "])
def test_keywords_count_in_any_case(keyword: str) -> None:
    """RFC 5321 §4.1.1.1; rule 103."""
    assert offered(keyword).starttls


def test_requiretls_counts_in_any_case() -> None:
    """RFC 5321 §4.1.1.1."""
    assert offered("RequireTLS").requiretls


def test_the_first_line_offers_nothing() -> None:
    """RFC 5321 §4.1.1.1: its text is a domain and a greeting."""
    assert parse_capabilities(Reply(250, ("STARTTLS",))) == Capabilities(name="STARTTLS")


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("SIZE", None),
        ("SIZE 0", None),
        ("SIZE 1000", 1000),
        ("size 1000", 1000),
        ("SIZE ten", None),
        ("SIZE -5", None),
        ("SIZE ²", None),
        ("SIZE " + "9" * 20, int("9" * 20)),
        ("SIZE " + "9" * 21, None),
    ],
)
def test_a_size_limit_is_a_number_over_zero(line: str, size: int | None) -> None:
    """RFC 1870 §3: zero is no limit."""
    assert offered(line).has_size
    assert offered(line).size == size


def test_binarymime_counts_only_with_chunking() -> None:
    """RFC 3030 §3."""
    assert not offered("BINARYMIME").binarymime
    assert offered("BINARYMIME", "CHUNKING").binarymime


@pytest.mark.parametrize(
    ("line", "limits"),
    [
        ("LIMITS", Limits()),
        ("LIMITS RCPTMAX=5", Limits(rcpt_max=5)),
        ("LIMITS rcptmax=5 other=1", Limits(rcpt_max=5)),
        ("LIMITS RCPTMAX=0 MAILMAX= RCPTDOMAINMAX", Limits()),
        ("LIMITS RCPTMAX=1234567", Limits()),
    ],
)
def test_limits_are_numbers_over_zero(line: str, limits: Limits) -> None:
    """RFC 9422 §3, §4."""
    assert offered(line).limits == limits


def test_the_old_form_of_auth_counts() -> None:
    assert offered("AUTH PLAIN", "AUTH=LOGIN").auth == {"PLAIN", "LOGIN"}


def test_a_server_that_knows_only_helo_offers_nothing() -> None:
    """RFC 5321 §3.2."""
    reply = Reply(250, ("mx.example.com", "STARTTLS"))
    assert helo_capabilities(reply) == Capabilities(name="mx.example.com")


def test_what_was_offered_before_tls_is_forgotten() -> None:
    """RFC 3207 §4.2: a list is made of its own reply alone."""
    before = offered("REQUIRETLS", "SIZE 10", "PIPELINING", "STARTTLS")
    after = offered("8BITMIME")
    assert before.requiretls
    assert after == Capabilities(name="mx.example.com", eightbitmime=True)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=10))
def test_any_reply_is_read(lines: list[str]) -> None:
    parse_capabilities(Reply(250, tuple(lines)))
