"""RFC 5321 §4.5.2, §4.1.1.4, §2.3.8; RFC 3030 §2: message text to the octets that are kept."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.message_data import (
    BareNewline,
    ChunkDecoder,
    TextDecoder,
    TextFault,
)

REJECT, NORMALIZE = BareNewline.REJECT, BareNewline.NORMALIZE


def decode(pieces: Iterable[bytes], mode: BareNewline) -> tuple[bytes, int, bool, TextFault | None]:
    """Feed pieces until the end: text, octets used, whether it ended, the fault."""
    decoder = TextDecoder(mode)
    text, used, is_ended = b"", 0, False
    for piece in pieces:
        if not is_ended:
            more, count, is_ended = decoder.feed(piece)
            text += more
            used += count
    return text, used, is_ended, decoder.fault


def decode_chunks(pieces: Iterable[bytes], mode: BareNewline) -> tuple[bytes, TextFault | None]:
    decoder = ChunkDecoder(mode)
    text = b"".join(decoder.feed(piece) for piece in pieces) + decoder.finish()
    return text, decoder.fault


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
        (b"a.\r\nb .\r\n.\r\n", b"a.\r\nb .\r\n"),
        (b"\r\n\r\n.\r\n", b"\r\n\r\n"),
        (b"x" * 5000 + b"\r\n.\r\n", b"x" * 5000 + b"\r\n"),
    ],
)
@pytest.mark.parametrize("mode", BareNewline)
def test_text_ends_at_the_dot_and_loses_leading_dots(
    wire: bytes, text: bytes, mode: BareNewline
) -> None:
    """RFC 5321 §4.5.2 (rule 24); §4.1.1.4: the first CRLF may be that of the DATA line."""
    assert decode([wire + b"QUIT\r\n"], mode) == (text, len(wire), True, None)


@pytest.mark.parametrize(
    ("wire", "fault", "kept", "mended"),
    [
        (b"a\nb\r\n", TextFault.BARE_LF, b"a", b"a\r\nb\r\n"),
        (b"\na\r\n", TextFault.BARE_LF, b"", b"\r\na\r\n"),
        (b"a\rb\r\n", TextFault.BARE_CR, b"a", b"a b\r\n"),
        (b"a\r\r\n", TextFault.BARE_CR, b"a", b"a \r\n"),
        (b"a\0b\r\n", TextFault.NUL, b"a", b"a b\r\n"),
        (b"a\r\0\n\r\n", TextFault.BARE_CR, b"a", b"a  \r\n\r\n"),
        (b"a\n\rb\0\r\n", TextFault.BARE_LF, b"a", b"a\r\n b \r\n"),
        (b"a\n.b\r\n", TextFault.BARE_LF, b"a", b"a\r\nb\r\n"),
    ],
)
def test_faults_refuse_the_text_or_are_mended(
    wire: bytes, fault: TextFault, kept: bytes, mended: bytes
) -> None:
    """RFC 5321 §2.3.8 and §4.1.1.4 (rules 19, 20)."""
    whole = wire + b".\r\n"
    assert decode([whole], REJECT) == (kept, len(whole), True, fault)
    assert decode([whole], NORMALIZE) == (mended, len(whole), True, fault)


def test_nothing_is_given_out_after_a_fault() -> None:
    decoder = TextDecoder(REJECT)
    assert decoder.feed(b"a\nb") == (b"a", 3, False)
    assert decoder.feed(b"c\r\n") == (b"", 3, False)
    assert decoder.feed(b".\r\n") == (b"", 3, True)


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([], b""),
        ([b""], b""),
        ([b"a\r\n"], b"a\r\n"),
        ([b".\r\n..\r\n.\r\n"], b".\r\n..\r\n.\r\n"),
        ([b"a\r", b"\nb\r\n"], b"a\r\nb\r\n"),
        ([b"a\r", b"", b"\n"], b"a\r\n"),
        ([b"a"], b"a\r\n"),
        ([b"a\r\nb", b""], b"a\r\nb\r\n"),
    ],
)
@pytest.mark.parametrize("mode", BareNewline)
def test_chunks_have_no_dots_and_end_with_a_line(
    chunks: list[bytes], text: bytes, mode: BareNewline
) -> None:
    """RFC 3030 §2 (rules 23, 24): a last line without CRLF gets one."""
    assert decode_chunks(chunks, mode) == (text, None)


@pytest.mark.parametrize(
    ("chunks", "fault", "kept", "mended"),
    [
        ([b"a\nb\r\n"], TextFault.BARE_LF, b"a\r\n", b"a\r\nb\r\n"),
        ([b"a\r", b"b\r\n"], TextFault.BARE_CR, b"a\r\n", b"a b\r\n"),
        ([b"a\r"], TextFault.BARE_CR, b"a\r\n", b"a \r\n"),
        ([b"a\r\n\0"], TextFault.NUL, b"a\r\n", b"a\r\n \r\n"),
        ([b"a\n", b"\nb\r\n"], TextFault.BARE_LF, b"a\r\n", b"a\r\n\r\nb\r\n"),
    ],
)
def test_chunks_are_held_to_the_same_line_ends(
    chunks: list[bytes], fault: TextFault, kept: bytes, mended: bytes
) -> None:
    """RFC 3030 §2 (rule 23)."""
    assert decode_chunks(chunks, REJECT) == (kept, fault)
    assert decode_chunks(chunks, NORMALIZE) == (mended, fault)


# What any split, and a decoder that looks at one octet after the other, must agree on.

_WIRE = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"\0", b"a", b"\r\n", b"\r\n.", b".\r\n", b"\r\n.\r\n"])
).map(b"".join)


def decode_slowly(wire: bytes) -> tuple[bytes, int, bool, TextFault | None]:
    """The same rules, one octet after the other; leading dots are left in."""
    seen = b"\r\n" + wire
    end = seen.find(b"\r\n.\r\n")
    body = seen[2:] if end < 0 else seen[2 : end + 2]
    fault, position = None, len(body)
    for index, octet in enumerate(body):
        before, after = body[index - 1 : index], body[index + 1 : index + 2]
        if octet == 0:
            fault = TextFault.NUL
        elif octet == 0x0A and (before != b"\r" or index == 0):
            fault = TextFault.BARE_LF
        elif octet == 0x0D and after not in (b"\n", b""):
            fault = TextFault.BARE_CR
        if fault is not None:
            position = index
            break
    used = len(wire) if end < 0 else end + 3
    return body[:position], used, end >= 0, fault


@given(_WIRE, st.sampled_from(BareNewline), st.lists(st.integers(1, 5)))
def test_how_text_is_split_does_not_matter(
    wire: bytes, mode: BareNewline, sizes: list[int]
) -> None:
    pieces, rest = [], wire
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    whole = decode([wire], mode)
    octets = decode([wire[index : index + 1] for index in range(len(wire))], mode)
    assert decode([*pieces, rest], mode) == whole == octets


@given(_WIRE)
def test_text_is_read_as_the_rules_say(wire: bytes) -> None:
    """RFC 5321 §4.1.1.4: only CRLF.CRLF ends the text, the first fault is the one reported."""
    body, used, is_ended, fault = decode_slowly(wire)
    text, *found = decode([wire], REJECT)
    assert found == [used, is_ended, fault]
    if is_ended or fault is not None:
        assert (b"\r\n" + text) == (b"\r\n" + body).replace(b"\r\n.", b"\r\n")


@given(_WIRE)
def test_mended_text_has_no_faults_and_ends_where_the_other_does(wire: bytes) -> None:
    text, *found = decode([wire], NORMALIZE)
    _, *expected = decode_slowly(wire)
    assert found == expected
    assert b"\0" not in text
    assert text.replace(b"\r\n", b"").strip(b"\r\n") == text.replace(b"\r\n", b"")
    assert b"\r" not in text.replace(b"\r\n", b"")
    assert b"\n" not in text.replace(b"\r\n", b"")


@given(st.lists(_WIRE), st.sampled_from(BareNewline))
def test_how_chunks_are_split_does_not_matter(chunks: list[bytes], mode: BareNewline) -> None:
    whole = b"".join(chunks)
    octets = [whole[index : index + 1] for index in range(len(whole))]
    assert decode_chunks(chunks, mode) == decode_chunks([whole], mode)
    assert decode_chunks(octets, mode) == decode_chunks([whole], mode)


@given(st.lists(st.binary(max_size=30).filter(lambda line: not set(line) & set(b"\r\n\0"))))
def test_stuffed_text_comes_out_as_it_was(lines: list[bytes]) -> None:
    """RFC 5321 §4.5.2: transparency."""
    text = b"".join(line + b"\r\n" for line in lines)
    stuffed = (b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:]
    assert decode([stuffed + b".\r\n"], REJECT) == (text, len(stuffed) + 3, True, None)
    assert decode_chunks([text], REJECT) == (text, None)
