"""RFC 5321 §2.3.8, §4.5.3.1.4: octets to command lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.input_buffer import (
    MAX_LINE_OCTETS,
    MAX_SKIPPED_OCTETS,
    InputBuffer,
    LineFault,
)
from letterlock.protocols.smtp.message_data import BareNewline

REJECT, NORMALIZE = BareNewline.REJECT, BareNewline.NORMALIZE


def lines_of(pieces: list[bytes], mode: BareNewline = REJECT) -> list[bytes | LineFault]:
    buffer = InputBuffer(mode)
    lines: list[bytes | LineFault] = []
    for piece in pieces:
        buffer.octets += piece
        while (line := buffer.take_line()) is not None:
            lines.append(line)
            if line is LineFault.ENDLESS:
                return lines
    return lines


@pytest.mark.parametrize("length", [0, 1, 510, 1034, MAX_LINE_OCTETS - 2])
def test_lines_up_to_the_limit_are_taken(length: int) -> None:
    """RFC 5321 §4.5.3.1.4: 512 octets with CRLF; RFC 3461 §5.4: 1036 (rule 25)."""
    line = b"x" * length
    assert lines_of([line + b"\r\n" + b"NOOP\r\n"]) == [line, b"NOOP"]


def test_a_longer_line_is_refused_and_skipped() -> None:
    """RFC 5321 §4.3.2: 500 (rule 25)."""
    line = b"x" * (MAX_LINE_OCTETS - 1)
    assert lines_of([line + b"\r\nNOOP\r\n"]) == [LineFault.TOO_LONG, b"NOOP"]
    assert lines_of([line * 3 + b"\nNOOP\r\nQUIT\r\n"]) == [LineFault.TOO_LONG, b"QUIT"]


def test_an_endless_line_is_given_up() -> None:
    line = b"x" * MAX_SKIPPED_OCTETS
    assert lines_of([line + b"\r\nQUIT\r\n"]) == [LineFault.TOO_LONG, b"QUIT"]
    assert lines_of([line + b"x\r\nQUIT\r\n"]) == [LineFault.TOO_LONG, LineFault.ENDLESS]
    assert lines_of([line, b"\r", b"\nQUIT\r\n"]) == [LineFault.TOO_LONG, b"QUIT"]
    assert lines_of([line, b"x"]) == [LineFault.TOO_LONG, LineFault.ENDLESS]


def test_what_follows_a_bare_lf_is_no_command() -> None:
    """RFC 5321 §4.1.1.4 (rule 19): LF never ends a line, so nothing begins behind it."""
    assert lines_of([b"NOOP\nRSET\r\nQUIT\r\n"]) == [LineFault.BARE_LF, b"QUIT"]
    assert lines_of([b"\nRSET\r\n"]) == [LineFault.BARE_LF]


def test_a_client_that_knows_lf_only_is_told_at_once() -> None:
    assert lines_of([b"EHLO a\n"]) == [LineFault.BARE_LF]


def test_a_client_that_knows_lf_only_is_told_at_each_line() -> None:
    """It would wait for an answer to the second; every one is an error, and 421 comes in time."""
    assert lines_of([b"EHLO a\nHELO a\n\n"]) == [LineFault.BARE_LF] * 3
    long = b"x" * (MAX_LINE_OCTETS + 1)
    assert lines_of([long + b"\nNOOP\n"]) == [LineFault.TOO_LONG, LineFault.BARE_LF]
    endless = [b"NOOP\n"] * (MAX_SKIPPED_OCTETS // 5 + 2)
    assert lines_of(endless)[-1] is LineFault.ENDLESS


def test_the_end_of_what_follows_a_bare_lf_is_found_wherever_it_is_cut() -> None:
    text = b"NOOP\nRSET\n\nxx\r\nQUIT\r\n"
    for cut in range(len(text)):
        assert lines_of([text[:cut], text[cut:]]) == [*[LineFault.BARE_LF] * 3, b"QUIT"]


def test_normalized_lf_ends_a_command() -> None:
    assert lines_of([b"NOOP\nRSET\r\n\n"], NORMALIZE) == [b"NOOP", b"RSET", b""]
    line = b"x" * (MAX_LINE_OCTETS + 1)
    assert lines_of([line + b"\nNOOP\n"], NORMALIZE) == [LineFault.TOO_LONG, b"NOOP"]


@pytest.mark.parametrize("mode", BareNewline)
def test_a_bare_cr_spoils_its_line(mode: BareNewline) -> None:
    """RFC 5321 §2.3.8 (rule 20)."""
    pieces = [b"NOOP\rRSET\r\n", b"NOOP\r\r\n", b"\rNOOP\r\n", b"QUIT\r\n"]
    assert lines_of(pieces, mode) == [*[LineFault.BARE_CR] * 3, b"QUIT"]


def test_octets_are_taken_in_order() -> None:
    buffer = InputBuffer(REJECT)
    buffer.octets += b"abc"
    buffer.octets += b"defg"
    assert (buffer.take(2), bytes(buffer.octets)) == (b"ab", b"cdefg")
    assert buffer.take(10) == b"cdefg"
    buffer.octets += b"h"
    buffer.clear()
    assert len(buffer.octets) == 0
    assert buffer.take_line() is None


_PIECES = st.lists(
    st.sampled_from([b"\r", b"\n", b"a", b"\r\n", b"x" * 700, b"y" * 30000]), max_size=12
)


@given(_PIECES, st.sampled_from(BareNewline))
def test_how_lines_are_split_does_not_matter(pieces: list[bytes], mode: BareNewline) -> None:
    whole = b"".join(pieces)
    step = 1 if len(whole) < 5000 else 499
    few = [whole[index : index + step] for index in range(0, len(whole), step)]
    assert lines_of(pieces, mode) == lines_of([whole], mode) == lines_of(few, mode)
