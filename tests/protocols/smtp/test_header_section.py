"""The header section of what programs hand in: RFC 5322 §2.1, §3.6."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.address_lists import AddressListError
from letterlock.protocols.smtp.header_section import (
    MAX_HEADER_OCTETS,
    HeaderTooLong,
    find_recipients,
    has_header_end,
    is_resent,
    split_header,
    unfold,
)


@pytest.mark.parametrize(
    ("text", "names", "rest"),
    [
        (b"", [], b""),
        (b"\nbody\n", [], b"body\n"),
        (b"To: a\n\nbody\n", ["to"], b"body\n"),
        (b"To: a\r\n\r\nbody\r\n", ["to"], b"body\r\n"),
        (b"To: a", ["to"], b""),
        (b"To: a\n b\n\tc\nSubject : x\n\n", ["to", "subject"], b""),
        (b"hello world\n", [], b"hello world\n"),
        (b"To: a\nhello world\n", ["to"], b"hello world\n"),
        (b" To: a\n", [], b" To: a\n"),
        (b"From bob Mon Jan  1\nTo: a\n\nx", ["to"], b"x"),
        (b">From bob Mon Jan  1\nTo: a\n\nx", ["to"], b"x"),
        (b"From: bob\n\nx", ["from"], b"x"),
        (b"From : bob\nFrom: eve\n\nx", ["from", "from"], b"x"),
        (b"From \t: bob\n\nx", ["from"], b"x"),
        (b"To: a\n\n\nx", ["to"], b"\nx"),
        (b"T\xc3\xb6: a\n\nx", [], b"T\xc3\xb6: a\n\nx"),
    ],
)
def test_fields_end_at_an_empty_line_or_at_what_is_no_field(
    text: bytes, names: list[str], rest: bytes
) -> None:
    """RFC 5322 §2.1, and sendmail(1) for the rest."""
    fields, body = split_header(text)
    assert ([name for name, _ in fields], body) == (names, rest)


def test_a_header_that_does_not_end_is_refused() -> None:
    line = b"X: " + b"y" * 995 + b"\n"
    long = line * (MAX_HEADER_OCTETS // len(line) + 2)
    assert has_header_end(long)
    with pytest.raises(HeaderTooLong):
        split_header(long)
    assert len(split_header(b"a\n" + long)[1]) > MAX_HEADER_OCTETS  # it is no header at all


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"To: a, b\nCc: c\nBcc: d\nReply-To: e\n\n", ["a", "b", "c", "d"]),
        (b"To: a\nTo: b,\n a\n\n", ["a", "b"]),
        (b"To: a\nResent-To: b\nResent-Bcc: c\n\n", ["b", "c"]),
        (b"To: a\nResent-From: b\n\n", []),
        ("To: j\u00fc@b\u00fccher.example\n\n".encode(), ["j\u00fc@b\u00fccher.example"]),
        (b"Subject: x\n\nTo: a\n", []),
    ],
)
def test_recipients_are_those_of_to_cc_and_bcc(text: bytes, expected: list[str]) -> None:
    """RFC 5322 §3.6.3; §3.6.6: of a message that is sent on, only the Resent- fields count."""
    fields, _ = split_header(text)
    assert find_recipients(fields) == expected
    assert is_resent(fields) == (b"Resent-" in text)


def test_an_error_names_its_field() -> None:
    with pytest.raises(AddressListError, match="Cc: "):
        find_recipients([("cc", b"Cc: a b\n")])


def test_a_value_is_unfolded() -> None:
    """RFC 5322 §2.2.3."""
    assert unfold(b"To:  a,\r\n\tb \r\n") == "a,\tb"


@given(st.binary(max_size=200).map(lambda octets: octets.replace(b"\0", b":\n")))
def test_nothing_is_lost_but_the_empty_line(octets: bytes) -> None:
    fields, rest = split_header(octets)
    header = b"".join(each for _, each in fields)
    left = octets[: len(octets) - len(rest)]
    assert left.removesuffix(b"\n").removesuffix(b"\r").endswith(header.rstrip(b"\r\n"))
    assert octets.endswith(rest)
