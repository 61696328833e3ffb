"""The form of a dropped message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.storage.drop import (
    FORMAT,
    MAX_ENVELOPE_OCTETS,
    DropEnvelope,
    DropError,
    format_envelope,
    format_limits,
    parse_envelope,
    parse_limits,
)

_VALUES = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f"), max_size=30).filter(
    lambda text: not any("\ud800" <= character <= "\udfff" for character in text)
)


@given(
    st.lists(_VALUES, min_size=1, max_size=5).map(tuple),
    st.dictionaries(st.sampled_from(["sender", "name", "notify", "ret", "envid"]), _VALUES),
    st.binary(max_size=50),
)
def test_parse_and_format_are_inverse(
    recipients: tuple[str, ...], facts: dict[str, str], message: bytes
) -> None:
    octets = format_envelope(DropEnvelope(recipients, facts)) + message
    envelope, rest = parse_envelope(octets)
    assert (envelope.recipients, envelope.facts, rest) == (recipients, facts, message)


@pytest.mark.parametrize("value", ["a\nrecipient b", "a\r", "\0", "\x7f", "\udc80", "a" * 1001])
def test_no_value_can_end_its_line(value: str) -> None:
    with pytest.raises(DropError):
        format_envelope(DropEnvelope((value,), {}))
    with pytest.raises(DropError):
        format_envelope(DropEnvelope(("a",), {"sender": value}))


def test_an_envelope_is_no_larger_than_is_read() -> None:
    with pytest.raises(DropError, match="too many"):
        format_envelope(DropEnvelope(("a" * 900,) * (MAX_ENVELOPE_OCTETS // 900), {}))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\n\n",
        FORMAT,
        FORMAT + b"\n",
        FORMAT + b"recipient a\n",
        FORMAT + b"sender a\n\n",
        FORMAT + b"recipient a\nsender b\nsender c\n\n",
        FORMAT + b"recipient a\nother b\n\n",
        FORMAT + b"recipient\n\n",
        FORMAT + b"recipient \xff\n\n",
        FORMAT + b"recipient \x1b[m\n\n",
        FORMAT.replace(b"1", b"2") + b"recipient a\n\n",
        FORMAT + b"recipient a\n" * (MAX_ENVELOPE_OCTETS // 12) + b"\n",
    ],
)
def test_what_is_no_dropped_message_is_refused(octets: bytes) -> None:
    with pytest.raises(DropError):
        parse_envelope(octets)


def test_limits_are_read_as_written_and_what_is_strange_is_left_out() -> None:
    assert parse_limits(format_limits({"a": 1, "b": 20})) == {"a": 1, "b": 20}
    assert parse_limits(b"a 1\nb\nc -2\n\xff 3\nd 99999999999999999999999\n") == {"a": 1}
