"""RFC 8460 §5.1: file names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tlsrpt.file_names import (
    FileName,
    format_file_name,
    is_file_name_of_report,
    parse_file_name,
)

DOMAINS = st.sampled_from(["x.example", "xn--bcher-kva.example", "a.b.c.example"])
IDS = st.none() | st.text("aZ09", min_size=1, max_size=12)


@given(
    st.builds(
        FileName,
        DOMAINS,
        DOMAINS,
        st.integers(0, 10**12),
        st.integers(0, 10**12),
        IDS,
        st.booleans(),
    )
)
def test_a_name_that_is_written_is_read_as_the_same(name: FileName) -> None:
    """Rule 194."""
    text = format_file_name(name)
    assert parse_file_name(text) == name
    assert is_file_name_of_report(text)


def test_the_example_of_the_rfc() -> None:
    """RFC 8460 §5.1."""
    text = "mail.sndr.example.com!example.net!1470013207!1470186007!001.json.gz"
    name = FileName("mail.sndr.example.com", "example.net", 1470013207, 1470186007, "001")
    assert parse_file_name(text) == name
    assert format_file_name(name) == text


def test_a_name_that_was_folded_is_put_together() -> None:
    """RFC 8460 §5.3.1."""
    text = "mail.sender.example!example.com!\r\n          1013662812!1013749130.json.gz"
    name = parse_file_name(text)
    assert name == FileName("mail.sender.example", "example.com", 1013662812, 1013749130)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "report.json.gz",
        "a.example!b.example!1!2",
        "a.example!b.example!1!2.zip",
        "a.example!b.example!1!x.json",
        "a.example!b.example!1!2!a-b.json",
        "../a.example!b.example!1!2.json",
        "a..example!b.example!1!2.json",
        "a.example!b.example!1!\u0662.json",
        "a.example!b.example!1!2.JSON",
        "a.example!b.example!1!2.json\0",
        f"a.example!b.example!{'1' * 19}!2.json",
        "a.example!b.example!1!2.json" + " " * 1000,
    ],
)
def test_other_names_are_none(text: str) -> None:
    assert parse_file_name(text) is None


@pytest.mark.parametrize(
    ("text", "is_report"),
    [
        ("a.example!b.example!1!2!x-y!z.json.gz", True),
        ("a.example!b.example!1!2.json.zip", True),
        ("A!B!1!2.JSON.GZ", True),
        ("a!b!1!2.xml.gz", False),
        ("google.com!b.example!1!2.zip", True),
        ("report.json", False),
    ],
)
def test_names_that_are_meant_so_are_known(text: str, is_report: bool) -> None:
    assert is_file_name_of_report(text) is is_report


def test_an_identifier_has_letters_and_digits_only() -> None:
    with pytest.raises(ValueError, match="unique-id"):
        format_file_name(FileName("a.example", "b.example", 1, 2, "a/b"))
