"""Replies: their classes, and their form on the wire."""

import pytest

from letterlock.protocols.smtp.replies import MAX_REPLY_LINE_OCTETS, Reply, format_reply, reply


@pytest.mark.parametrize(
    ("code", "positive", "transient", "permanent"),
    [
        (220, True, False, False),
        (250, True, False, False),
        (354, True, False, False),
        (399, True, False, False),
        (421, False, True, False),
        (499, False, True, False),
        (500, False, False, True),
        (599, False, False, True),
        (199, False, False, False),
        (600, False, False, False),
    ],
)
def test_the_first_digit_says_what_a_reply_means(
    code: int, positive: bool, transient: bool, permanent: bool
) -> None:
    """RFC 5321 §4.2.1."""
    value = Reply(code)
    assert (value.is_positive, value.is_transient, value.is_permanent) == (
        positive,
        transient,
        permanent,
    )


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (reply(250, "2.1.0", "Ok"), b"250 2.1.0 Ok\r\n"),
        (reply(354, None, "Go on"), b"354 Go on\r\n"),
        (Reply(250), b"250\r\n"),
        (Reply(250, ("a", "b")), b"250-a\r\n250 b\r\n"),
        (Reply(550, ("a", "b"), "5.7.1"), b"550-5.7.1 a\r\n550 5.7.1 b\r\n"),
        (Reply(250, ("a", "")), b"250-a\r\n250\r\n"),
        (reply(250, None, "grün"), "250 grün\r\n".encode()),
    ],
)
def test_each_line_has_the_code_and_the_status(value: Reply, wire: bytes) -> None:
    """RFC 5321 §4.2.1 (the hyphen of all but the last line), RFC 2034 §4 (status in each)."""
    assert format_reply(value) == wire


def test_a_line_that_would_be_too_long_is_cut() -> None:
    """RFC 5321 §4.5.3.1.5: 512 octets with code and CRLF."""
    for lines in (("x" * 600,), ("x" * 600, "x" * 600)):
        for line in format_reply(Reply(250, lines, "2.0.0")).splitlines(keepends=True):
            assert len(line) == MAX_REPLY_LINE_OCTETS


def test_on_one_line_a_reply_has_all_its_text() -> None:
    assert Reply(550, ("a", "b"), "5.7.1").text == "550 5.7.1 a b"
    assert Reply(250).text == "250"


@pytest.mark.parametrize(
    ("given", "transcript"),
    [
        (Reply(550, ("no",), "5.1.1"), "550 5.1.1 no"),
        (Reply(550, ("a", "b", "c"), "5.7.1"), "550-5.7.1 a 550-5.7.1 b 550 5.7.1 c"),
        (Reply(550, ("a", ""), None), "550-a 550"),
        (Reply(250, (), None), "250"),
    ],
)
def test_a_transcript_keeps_the_lines_apart(given: Reply, transcript: str) -> None:
    """RFC 3461 §9.2."""
    assert given.transcript == transcript
