"""RFC 7515 §2: base64url, one text for each value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.base64url import (
    Base64UrlError,
    decode_base64url,
    encode_base64url,
)


@given(st.binary(max_size=80))
def test_what_is_encoded_is_decoded(octets: bytes) -> None:
    assert decode_base64url(encode_base64url(octets)) == octets


@given(st.text(st.sampled_from("AQg_-w9="), max_size=12))
def test_each_value_has_one_text(text: str) -> None:
    """RFC 4648 §3.5: else a nonce could be used again in another spelling."""
    try:
        octets = decode_base64url(text)
    except Base64UrlError:
        return
    assert encode_base64url(octets) == text


@pytest.mark.parametrize("bad", ["AA==", "A", "AAAAA", "A+", "A/A", "AA\n", "AB", "é", "A A"])
def test_what_is_no_base64url_is_refused(bad: str) -> None:
    """RFC 8555 §6.1: padding too."""
    with pytest.raises(Base64UrlError):
        decode_base64url(bad)


def test_a_vector_of_the_rfc() -> None:
    """RFC 7515 §C."""
    assert encode_base64url(bytes([3, 236, 255, 224, 193])) == "A-z_4ME"
