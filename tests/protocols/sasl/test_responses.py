"""Base64 as strictly as SMTP wants it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.sasl.responses import (
    MAX_RESPONSE_OCTETS,
    decode_initial_response,
    decode_response,
    encode_challenge,
)


@given(st.binary(max_size=MAX_RESPONSE_OCTETS))
def test_what_is_encoded_is_decoded_again(octets: bytes) -> None:
    assert decode_response(encode_challenge(octets).encode()) == octets


@pytest.mark.parametrize(
    "text", [b"=AAA", b"AAA=BBB", b"AAA=BBBB", b"AA=A", b"A", b"AAAAA", b"AA", b"AA-_", b"AA A"]
)
def test_what_is_no_base64_is_refused(text: bytes) -> None:
    """RFC 4954 §4: also a pad that is not at the end."""
    assert decode_response(text) is None


@pytest.mark.parametrize("text", [b"*", b"====", b"AAAA\r", b"AAAA\n", b"\xc3\xa9AA", b"="])
def test_nothing_outside_the_alphabet_is_passed_over(text: bytes) -> None:
    """RFC 4954 §4."""
    assert decode_response(text) is None


def test_a_response_that_is_too_long_is_refused() -> None:
    longest = encode_challenge(bytes(MAX_RESPONSE_OCTETS)).encode()
    assert decode_response(longest) == bytes(MAX_RESPONSE_OCTETS)
    assert decode_response(longest + b"AAAA") is None


@pytest.mark.parametrize(("text", "octets"), [(b"=", b""), (b"YQ==", b"a"), (b"YQ", None)])
def test_an_initial_response_of_nothing_is_an_equals_sign(text: bytes, octets: bytes) -> None:
    """RFC 4954 §4."""
    assert decode_initial_response(text) == octets
