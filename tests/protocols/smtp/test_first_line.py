"""What stands above a content's first line, however its octets come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.first_line import MAX_FIRST_LINE_OCTETS, FirstLine

LONGEST = MAX_FIRST_LINE_OCTETS
CONTENTS = {
    "a field": (b"Subject: hi\r\n\r\nhello\r\n", b""),
    "a field, obsolete": (b"From : alice@example.org\r\n\r\n", b""),
    "a field without text": (b"Subject:", b""),
    "the longest name": (b"x" * (LONGEST - 1) + b": y\r\n", b""),
    "nothing": (b"", b""),
    "an empty line": (b"\r\nhello: you\r\n", b""),
    "text": (b"hello\r\nSubject: no\r\n", b"\r\n"),
    "text with a colon": (b"dear all: hello\r\n", b"\r\n"),
    "text without a line end": (b"hello", b"\r\n"),
    "a colon": (b": hello\r\n", b"\r\n"),
    "a folded line": (b" hello: you\r\n", b"\r\n"),
    "an octet that no name has": (b"Sub\xc3\xa9ject: hi\r\n", b"\r\n"),
    "too long a name": (b"x" * LONGEST + b": y\r\n", b"\r\n"),
    "a single CR": (b"\r", b"\r\n"),
    "a mailbox line": (b"From bob Sun Nov 22 04:00\r\nA: b\r\n\r\nx\r\n", b"X-Mailbox-Line: "),
    "a quoted mailbox line": (b">>From bob\r\n", b"X-Mailbox-Line: "),
    "a mailbox line and no more": (b"From bob", b"\r\n"),
    "too long a mailbox line": (b"From " + b"x" * LONGEST + b"\r\nA: b\r\n", b"\r\n"),
    "no mailbox line": (b"From\tbob\r\n", b"\r\n"),
}  # fmt: skip


def pass_through(pieces: list[bytes]) -> bytes:
    first, passed = FirstLine(), b""
    for piece in pieces:
        passed += piece if first.is_decided else first.receive(piece)
    return passed if first.is_decided else passed + first.finish()


@pytest.mark.parametrize(("content", "above"), CONTENTS.values(), ids=CONTENTS)
def test_what_stands_above_a_content(content: bytes, above: bytes) -> None:
    """RFC 5322 §2.1: what is no field belongs to the body."""
    assert pass_through([content]) == above + content


@pytest.mark.parametrize("content", [content for content, _ in CONTENTS.values()], ids=CONTENTS)
def test_a_cut_at_any_octet_changes_nothing(content: bytes) -> None:
    whole = pass_through([content])
    for cut in range(len(content) + 1):
        assert pass_through([content[:cut], content[cut:]]) == whole
    assert pass_through([bytes([octet]) for octet in content]) == whole


@pytest.mark.parametrize("second", [b"hello\r\n", b"From eve\r\n"])
def test_behind_a_mailbox_line_there_is_a_field_or_an_empty_line(second: bytes) -> None:
    """Not a second X-Mailbox-Line: octets of ours stay few."""
    content = b"From bob\r\n" + second + b"From eve\r\n"
    expected = b"X-Mailbox-Line: From bob\r\n\r\n" + second + b"From eve\r\n"
    assert pass_through([content]) == expected
    assert pass_through([bytes([octet]) for octet in content]) == expected


@given(
    st.lists(st.sampled_from([b"From ", b">", b"a", b":", b" ", b"\r\n", b"\r", b"\n", b"x" * 400]))
)
def test_however_it_comes_the_content_itself_is_whole(pieces: list[bytes]) -> None:
    """Octets are put in once or twice, none is lost; what is held stays bounded."""
    content = b"".join(pieces)
    passed = pass_through(pieces)
    assert passed == pass_through([content])
    mailbox_line, _, rest = passed.removeprefix(b"X-Mailbox-Line: ").partition(b"\n")
    kept = (content, b"\r\n" + content)
    is_mailbox_line = passed.startswith(b"X-Mailbox-Line: ")
    assert passed in kept or (
        is_mailbox_line
        and content in (mailbox_line + b"\n" + rest, mailbox_line + b"\n" + rest[2:])
    )
