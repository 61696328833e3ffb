"""xtext and the 7-bit form of UTF-8 addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.xtext import (
    XtextError,
    decode_utf8_address,
    decode_utf8_xtext,
    decode_xtext,
    encode_utf8_address,
    encode_xtext,
)


@pytest.mark.parametrize(
    ("text", "xtext"),
    [("", ""), ("QQ314159", "QQ314159"), ("a+b=c", "a+2Bb+3Dc"), ("a b\r\n", "a+20b+0D+0A")],
)
def test_xtext_is_written_and_read(text: str, xtext: str) -> None:
    """RFC 3461 §4."""
    assert encode_xtext(text) == xtext
    assert decode_xtext(xtext) == text


@given(st.text(st.characters(max_codepoint=127)))
def test_reading_xtext_inverts_writing(text: str) -> None:
    xtext = encode_xtext(text)
    assert decode_xtext(xtext) == text
    assert all("!" <= character <= "~" and character != "=" for character in xtext)


@pytest.mark.parametrize("text", ["a b", "a=b", "a+2", "a+zz", "a+2b", "+", "ü", "a\n", "\x7f"])
def test_what_is_not_xtext_is_refused(text: str) -> None:
    """RFC 3461 §4: hexchar has upper-case digits."""
    with pytest.raises(XtextError):
        decode_xtext(text)


def test_octets_over_127_are_not_made_to_characters() -> None:
    assert decode_xtext("a+FFb") == "a\ufffdb"


def test_xtext_of_utf8_can_be_read() -> None:
    assert decode_utf8_xtext("gr+C3+BCn+2Bx") == "grün+x"


@pytest.mark.parametrize("text", ["a+FFb", "a b", "ü", "+C3"])
def test_what_is_not_utf8_in_xtext_is_refused(text: str) -> None:
    with pytest.raises(XtextError):
        decode_utf8_xtext(text)


def test_only_ascii_can_be_xtext() -> None:
    with pytest.raises(XtextError):
        encode_xtext("ü")


@pytest.mark.parametrize(
    ("address", "encoded"),
    [
        ("bob@example.com", "bob@example.com"),
        ("grün@example.com", r"gr\x{FC}n@example.com"),
        ("a+b=c\\d e@x", r"a\x{2B}b\x{3D}c\x{5C}d\x{20}e@x"),
        ("😀@x", r"\x{1F600}@x"),
    ],
)
def test_an_address_is_written_in_seven_bits(address: str, encoded: str) -> None:
    """RFC 6533 §3."""
    assert encode_utf8_address(address) == encoded
    assert decode_utf8_address(encoded) == address


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_reading_a_seven_bit_address_inverts_writing(address: str) -> None:
    encoded = encode_utf8_address(address)
    assert encoded.isascii()
    assert decode_utf8_address(encoded) == address


@pytest.mark.parametrize("text", [r"\x{D800}", r"\x{110000}", r"\x{F}", r"\x{}", r"\x{zz}", r"\x"])
def test_what_stands_for_no_character_is_kept(text: str) -> None:
    """RFC 6533 §3: copied without alteration."""
    assert decode_utf8_address(text) == text
