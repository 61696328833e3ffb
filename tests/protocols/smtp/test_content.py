"""What must be known of a content before it is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.content import ContentFacts, ContentScan, cut_header


def scan(*pieces: bytes, max_header_octets: int = 1000) -> ContentScan:
    result = ContentScan(max_header_octets)
    for piece in pieces:
        result.receive(piece)
    return result


@pytest.mark.parametrize(
    ("content", "header"),
    [
        (b"", b""),
        (b"\r\nbody\r\n", b""),
        (b"\nbody\n", b""),
        (b"A: b\r\n\r\nbody\r\n\r\n", b"A: b\r\n"),
        (b"A: b\n\nbody\n", b"A: b\n"),
        (b"A: b\r\nC: d\r\n e\r\n", b"A: b\r\nC: d\r\n e\r\n"),
        (b"A: b", b"A: b"),
        (b"A: b\r\n\n", b"A: b\r\n"),
    ],
)
def test_the_header_section_ends_at_the_first_empty_line(content: bytes, header: bytes) -> None:
    """RFC 5322 §2.1."""
    assert cut_header(content) == header


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"A: b\r\n\r\nbody\r\n", ContentFacts(14, is_seven_bit=True, has_utf8_headers=False)),
        (b"A: b\r\n\r\n\xc3\xbc", ContentFacts(10, is_seven_bit=False, has_utf8_headers=False)),
        (b"A: \xc3\xbc\r\n\r\nb", ContentFacts(10, is_seven_bit=False, has_utf8_headers=True)),
    ],
)
def test_octets_over_127_are_found(content: bytes, facts: ContentFacts) -> None:
    """RFC 6152 §2, RFC 6532 §3."""
    assert scan(content).facts() == facts


def test_what_is_not_known_is_taken_as_needing_more() -> None:
    facts = ContentFacts(10)
    assert not facts.is_seven_bit
    assert facts.has_utf8_headers


def test_a_header_section_is_kept_up_to_a_limit_in_whole_lines() -> None:
    result = scan(b"A: b\r\n" * 3, max_header_octets=16)
    assert result.header == b"A: b\r\n" * 2
    assert result.is_header_complete
    assert not result.facts().has_utf8_headers


def test_behind_the_limit_any_octet_over_127_may_be_the_headers() -> None:
    result = scan(b"A: b\r\n" * 3, b"C: \xc3\xbc\r\n", max_header_octets=16)
    assert result.facts().has_utf8_headers


def test_the_empty_line_behind_a_section_of_the_limit_may_come_in_parts() -> None:
    whole = scan(b"A: b\r\n" * 2, b"\r\n\xc3\xbc", max_header_octets=13)
    parts = scan(b"A: b\r\n" * 2, b"\r", b"\n\xc3\xbc", max_header_octets=13)
    assert parts.header == whole.header == b"A: b\r\n" * 2
    assert not whole.facts().has_utf8_headers
    assert parts.facts() == whole.facts()


def test_a_line_over_the_limit_is_not_kept_in_part() -> None:
    assert scan(b"A" * 50, max_header_octets=16).header == b""


CONTENT = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"A: b", b"\xff"])).map(b"".join)


@given(CONTENT, st.integers(2, 30), st.data())
def test_how_content_was_cut_does_not_matter(
    content: bytes, limit: int, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    parts = scan(*pieces, max_header_octets=limit)
    whole = scan(content, max_header_octets=limit)
    assert parts.facts() == whole.facts()
    assert parts.header == whole.header
    assert parts.is_header_complete == whole.is_header_complete
