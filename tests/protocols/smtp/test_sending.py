"""Message content on its way out."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.sending import DotStuffer, LineNormalizer


def stuff(*pieces: bytes) -> bytes:
    stuffer = DotStuffer()
    return b"".join([*map(stuffer.encode, pieces), stuffer.finish()])


def normalize(*pieces: bytes) -> bytes:
    lines = LineNormalizer()
    return b"".join([*map(lines.encode, pieces), lines.finish()])


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b".a\r\n", b"..a\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n..\r\n", b"a\r\n...\r\n.\r\n"),
        (b"a.\r\n", b"a.\r\n.\r\n"),
        (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
        (b"\r\n", b"\r\n.\r\n"),
    ],
)
def test_a_dot_is_doubled_at_the_start_of_a_line_only(content: bytes, wire: bytes) -> None:
    """RFC 5321 §4.5.2, §4.1.1.4: a last line without CRLF gets one, and never an extra one.
    Rule 24.
    """
    assert stuff(content) == wire


# The sequences by which messages were smuggled in 2023, all of which servers took for an end.
SMUGGLING = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n\x00.\r\n",
]


@pytest.mark.parametrize("sequence", SMUGGLING)
def test_no_line_end_but_crlf_leaves(sequence: bytes) -> None:
    """RFC 5321 §2.3.8; rule 17."""
    wire = stuff(b"a" + sequence + b"MAIL FROM:<x@example.com>\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", wire)
    assert wire.endswith(b"MAIL FROM:<x@example.com>\r\n.\r\n")
    assert wire.index(b"\r\n.\r\n") == len(wire) - 5


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\rb", b"a b\r\n"),
        (b"a\r\r\nb", b"a \r\nb\r\n"),
        (b"a\r", b"a\r\n"),
        (b"\n\n", b"\r\n\r\n"),
        (b"\n\r", b"\r\n\r\n"),
    ],
)
def test_a_bare_lf_ends_a_line_and_a_stray_cr_is_a_space(content: bytes, wire: bytes) -> None:
    """RFC 5321 §2.3.8."""
    assert normalize(content) == wire


def test_a_normalizer_can_be_used_again_after_its_end() -> None:
    lines = LineNormalizer()
    assert lines.encode(b"a\r") + lines.finish() == b"a\r\n"
    assert lines.finish() == b""


TRICKY = b"a.b\r\n.\r\n..c\r\n\r\n.\n.\r.\r\r\n.d\n\r."


@pytest.mark.parametrize("cut", range(len(TRICKY) + 1))
def test_a_cut_at_any_octet_changes_nothing(cut: int) -> None:
    """RFC 5321 §4.5.2."""
    assert stuff(TRICKY[:cut], TRICKY[cut:]) == stuff(TRICKY)
    assert normalize(TRICKY[:cut], TRICKY[cut:]) == normalize(TRICKY)


def test_octet_by_octet_gives_the_same() -> None:
    """RFC 5321 §4.5.2."""
    octets = [bytes([octet]) for octet in TRICKY]
    assert stuff(*octets) == stuff(TRICKY)
    assert normalize(*octets) == normalize(TRICKY)


CONTENT = st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"\r\n."])).map(b"".join)


@given(CONTENT, st.data())
def test_how_content_was_cut_does_not_matter(content: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    assert stuff(*pieces) == stuff(content)
    assert normalize(*pieces) == normalize(content)


@given(CONTENT)
def test_unstuffing_gives_the_normalized_content(content: bytes) -> None:
    """RFC 5321 §4.5.2: what the receiver undoes."""
    wire = stuff(content)
    assert wire.endswith(b".\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", wire)
    body = wire.removesuffix(b".\r\n")
    lines = body.split(b"\r\n")
    assert b"." not in lines
    assert b"\r\n".join(line.removeprefix(b".") for line in lines) == normalize(content)


@given(st.lists(st.sampled_from([b"a", b"\r\n", b"."])).map(b"".join))
def test_clean_content_is_not_touched(content: bytes) -> None:
    ended = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
    assert normalize(content) == ended
