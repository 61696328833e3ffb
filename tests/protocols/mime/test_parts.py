"""RFC 2046 §5.1, §5.2.1: the parts of messages, within bounds."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.mime.parts import (
    MAX_BOUNDARY_CHARACTERS,
    MAX_DELIMITERS,
    MAX_DEPTH,
    MAX_PARTS,
    decode_base64,
    find_header_end,
    find_parts,
)

MULTIPART = b"Content-Type: multipart/mixed; boundary=x\n"


def bodies(message: bytes) -> list[bytes]:
    return [part.decode() for part in find_parts(message)]


@pytest.mark.parametrize(
    ("octets", "span"),
    [
        (b"A: b\r\n\r\nbody", (6, 8)),
        (b"A: b\n\nbody\r\n\r\n", (5, 6)),
        (b"A: b\r\n\r\nbody\n\n", (6, 8)),
        (b"\r\nbody", (0, 2)),
        (b"\nbody", (0, 1)),
        (b"A: b\n", (5, 5)),
        (b"", (0, 0)),
    ],
)
def test_the_first_empty_line_ends_the_header(octets: bytes, span: tuple[int, int]) -> None:
    assert find_header_end(octets) == span


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_parts_lie_between_delimiter_lines(end: bytes) -> None:
    """RFC 2046 §5.1.1: the line end before a delimiter is the delimiter's."""
    message = MULTIPART + (
        b"\npreamble\n--x\n\none\n--x \t\nContent-Type: a/b\n\ntwo\n\n--xy\n--x--\n"
        b"epilogue\n--x\n\nno"
    )
    assert bodies(message.replace(b"\n", end)) == [b"one", b"two\n\n--xy".replace(b"\n", end)]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"\njust a body", [b"just a body"]),
        (MULTIPART + b"\n--x\n\nopen", [b"open"]),
        (MULTIPART + b"\n--x\n--x\n\ntwo\n--x--", [b"", b"two"]),
        (MULTIPART + b"\n--x\n\none\n--x", [b"one"]),
        (MULTIPART + b"\n--x--", []),
        (MULTIPART + b"\nnothing", []),
        (b"Content-Type: multipart/mixed\n\nno boundary", [b"no boundary"]),
        (
            b"Content-Type: multipart/mixed; boundary="
            + b"x" * (MAX_BOUNDARY_CHARACTERS + 1)
            + b"\n\nlong",
            [b"long"],
        ),
    ],
)
def test_other_forms_give_what_can_be_found(message: bytes, expected: list[bytes]) -> None:
    assert bodies(message) == expected


def test_messages_in_messages_are_opened() -> None:
    inner = b"Subject: x\nContent-Type: a/b\n\ninner"
    (part,) = find_parts(b"Content-Type: message/rfc822\n\n" + inner)
    assert (part.media_type, part.is_forwarded, part.decode()) == ("a/b", True, b"inner")
    assert part.whole[part.message :] == inner
    encoded = b"Content-Transfer-Encoding: base64\n\nQTogYgoKaW5uZXI=\n"
    (part,) = find_parts(b"Content-Type: message/rfc822\n" + encoded)
    assert (part.message, part.decode()) == (0, b"inner")


def test_a_part_has_its_fields_and_what_is_around_it() -> None:
    message = (
        MULTIPART + b"\n--x\nContent-Type: a/b; name=n\nContent-Transfer-Encoding: BASE64\n\nQUI=\n"
        b"--x\nContent-Disposition: attachment; filename=f\n"
        b"Content-Transfer-Encoding: quoted-printable\n\n=41=\nB\n--x\n\n"
    )
    first, second, third = find_parts(message)
    assert (first.file_name, first.encoding, first.decode()) == ("n", "base64", b"AB")
    assert (second.file_name, second.media_type, second.decode()) == ("f", "text/plain", b"AB")
    assert (third.file_name, third.encoding) == (None, "")
    assert [outer.value for outer in first.outer_types] == ["multipart/mixed"]
    assert not first.is_forwarded


def test_parts_depth_and_delimiters_have_limits() -> None:
    assert len(bodies(MULTIPART + b"\n--x\n\ny" * (2 * MAX_PARTS))) == MAX_PARTS - 1
    messages = b"\n--x\nContent-Type: message/rfc822\n\n\ny" * (2 * MAX_PARTS)
    assert len(bodies(MULTIPART + messages)) <= MAX_PARTS // 2
    deep = b"Content-Type: message/rfc822\n\n" * (2 * MAX_DEPTH)
    (part,) = find_parts(deep)
    assert len(part.outer_types) == MAX_DEPTH
    assert bodies(MULTIPART + b"\n--xy" * (MAX_DELIMITERS + 2) + b"\n--x\n\nlate") == []


@pytest.mark.parametrize(
    ("body", "octets"),
    [(b"QUI=", b"AB"), (b"QUI", b"AB"), (b" Q\r\nU!I=", b"AB"), (b"Q", b""), (b"", b"")],
)
def test_base64_is_decoded_as_far_as_it_goes(body: bytes, octets: bytes) -> None:
    """RFC 2045 §6.8."""
    assert decode_base64(body) == octets


@st.composite
def messages(draw: st.DrawFn, depth: int = 0) -> bytes:
    """Make a message of parts in parts; boundaries of different depths differ."""
    body = draw(st.sampled_from([b"", b"text", b"a\nb\n", b"--", b"-- b0"]))
    if depth == 3 or draw(st.booleans()):
        return b"Content-Type: a/b\n\n" + body
    inner = draw(st.lists(messages(depth + 1), min_size=1, max_size=3))
    delimiter = b"\n--b%d" % depth
    joined = b"".join(delimiter + b"\n" + each for each in inner)
    return (
        b"Content-Type: multipart/x; boundary=b%d\n\n%s" % (depth, body)
        + joined
        + delimiter
        + b"--\n"
    )


@given(messages(), st.booleans())
def test_python_finds_the_same_parts(message: bytes, has_crlf: bool) -> None:
    octets = message.replace(b"\n", b"\r\n") if has_crlf else message
    theirs = [
        part.get_payload(decode=True)
        for part in email.message_from_bytes(octets, policy=email.policy.compat32).walk()
        if not part.is_multipart()
    ]
    assert bodies(octets) == theirs


@given(st.binary(max_size=200))
def test_any_octets_have_parts(octets: bytes) -> None:
    for message in (octets, MULTIPART + octets, MULTIPART + b"\n--x\n" + octets):
        for part in find_parts(message):
            assert 0 <= part.start <= part.end <= len(part.whole)
