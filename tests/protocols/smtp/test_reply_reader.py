"""Reading replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.replies import Reply, format_reply
from letterlock.protocols.smtp.reply_reader import (
    MAX_RECEIVED_LINE_OCTETS,
    MAX_REPLY_LINES,
    ReplyReader,
    ReplyViolation,
)

Event = Reply | ReplyViolation


def read(data: bytes, *, is_smtputf8: bool = False) -> list[Event]:
    return ReplyReader(is_smtputf8=is_smtputf8).receive(data)


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (b"250 OK\r\n", Reply(250, ("OK",))),
        (b"250\r\n", Reply(250)),
        (b"250 \r\n", Reply(250)),
        (b"250-\r\n250\r\n", Reply(250, ("", ""))),
        (b"250 OK\n", Reply(250, ("OK",))),
        (b"250-a\n250 b\r\n", Reply(250, ("a", "b"))),
        (b"250-mx\r\n250-SIZE 10\r\n250 DSN\r\n", Reply(250, ("mx", "SIZE 10", "DSN"))),
        (b"550 5.1.1 no\r\n", Reply(550, ("no",), "5.1.1")),
        (b"550 5.1.1\r\n", Reply(550, ("",), "5.1.1")),
        (b"550-5.7.1 a\r\n550 5.7.1 b\r\n", Reply(550, ("a", "b"), "5.7.1")),
        (b"550-5.7.1 a\r\n550 b\r\n", Reply(550, ("a", "b"), "5.7.1")),
        (b"550-a\r\n550 5.7.1 b\r\n", Reply(550, ("a", "5.7.1 b"))),
    ],
)  # fmt: skip
def test_a_reply_is_read(wire: bytes, reply: Reply) -> None:
    """RFC 5321 §4.2, §4.2.1; RFC 2034 §4."""
    assert read(wire) == [reply]


@pytest.mark.parametrize(
    "wire",
    [
        b"550 4.1.1 no\r\n",
        b"250 5.0.0 no\r\n",
        b"354 2.0.0 go on\r\n",
        b"550 5.1.1no\r\n",
        b"550 5.01.1 no\r\n",
        b"550 5.1 no\r\n",
    ],
)
def test_a_status_that_contradicts_the_code_is_text(wire: bytes) -> None:
    """RFC 2034 §4: all status codes must agree with the primary response code."""
    assert read(wire) == [Reply(int(wire[:3]), (wire[4:-2].decode(),))]


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"25\r\n",
        b"OK\r\n",
        b"2500 OK\r\n",
        b"250OK\r\n",
        b"250\tOK\r\n",
        b" 250 OK\r\n",
        b"199 no\r\n",
        b"100 no\r\n",
        b"600 no\r\n",
        b"000 no\r\n",
        b"999 no\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x16\x03\x01\x00\x05hello\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-a\r\n550 b\r\n",
        b"250-a\r\nb\r\n",
        "²50 OK\r\n".encode(),
    ],
)
def test_what_is_no_reply_ends_the_session(wire: bytes) -> None:
    """RFC 5321 §4.2, §4.2.1: codes from 200 to 599, the same one on all lines."""
    events = read(wire + b"250 OK\r\n")
    assert len(events) == 1
    assert isinstance(events[0], ReplyViolation)


def test_nothing_is_read_after_a_violation() -> None:
    reader = ReplyReader()
    assert len(reader.receive(b"250 OK\r\nnonsense\r\n250 OK\r\n")) == 2
    assert reader.receive(b"250 OK\r\n") == []


def test_long_text_is_cut() -> None:
    """RFC 5321 §4.5.3.1.5."""
    (reply,) = read(b"250 " + b"x" * 3000 + b"\r\n")
    assert isinstance(reply, Reply)
    assert reply.lines == ("x" * 506,)


def test_the_length_of_a_line_is_bounded_with_and_without_its_end() -> None:
    longest = b"250 " + b"x" * (MAX_RECEIVED_LINE_OCTETS - 6) + b"\r\n"
    assert isinstance(read(longest)[0], Reply)
    assert isinstance(read(b"2" + longest)[0], ReplyViolation)
    assert isinstance(read(b"250 " + b"x" * MAX_RECEIVED_LINE_OCTETS)[0], ReplyViolation)


def test_the_number_of_lines_is_bounded() -> None:
    line = b"250-x\r\n"
    assert isinstance(read(line * (MAX_REPLY_LINES - 1) + b"250 x\r\n")[0], Reply)
    assert isinstance(read(line * MAX_REPLY_LINES + b"250 x\r\n")[0], ReplyViolation)


def test_the_length_of_a_reply_is_bounded() -> None:
    line = b"250-" + b"x" * 2000 + b"\r\n"
    assert isinstance(read(line * 32 + b"250 x\r\n")[0], Reply)
    assert isinstance(read(line * 40)[0], ReplyViolation)


def test_many_replies_are_not_one_long_one() -> None:
    line = b"250 " + b"x" * 2000 + b"\r\n"
    assert len(read(line * 100)) == 100


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"a\x1b[31mb", "a?[31mb"),
        (b"a\x00b\x7f", "a?b?"),
        (b"a\rb", "a?b"),
        (b"a\tb", "a b"),
        ("grün".encode(), "gr??n"),
        (b"\xff\xfe", "??"),
    ],
)
def test_text_is_printable_ascii(octets: bytes, text: str) -> None:
    assert read(b"250 " + octets + b"\r\n") == [Reply(250, (text,))]


def test_text_may_be_utf8_in_an_smtputf8_session() -> None:
    """RFC 6531 §3.7.4.2."""
    wire = "550 5.1.1 grün \u202e\x85 ".encode() + b"\xff\r\n"
    assert read(wire, is_smtputf8=True) == [Reply(550, ("grün ?? ?",), "5.1.1")]


def test_a_violation_shows_printable_text() -> None:
    (event,) = read(b"\x1b[2J" + b"x" * 200 + b"\r\n")
    assert event == ReplyViolation("not an SMTP reply", "?[2J" + "x" * 76)


def test_octets_after_a_reply_are_noticed() -> None:
    """RFC 3207 §6: plain text after the 220 is somebody else's."""
    reader = ReplyReader()
    assert reader.receive(b"220 go ahead\r\n") == [Reply(220, ("go ahead",))]
    assert not reader.has_leftover
    assert len(reader.receive(b"220 go ahead\r\n2")) == 1
    assert reader.has_leftover


@pytest.mark.parametrize(
    "injected", [b"250 OK\r\n", b"250-mx\r\n", b"2", b"\x00", b"\r\n", b"nonsense\r\n"]
)
def test_an_injected_reply_after_220_shows(injected: bytes) -> None:
    """RFC 3207 §4.2, §6: whatever the injected octets are, the driver sees that there were some."""
    reader = ReplyReader()
    events = reader.receive(b"220 go ahead\r\n" + injected)
    assert len(events) > 1 or reader.has_leftover


def test_an_unfinished_reply_is_a_leftover() -> None:
    reader = ReplyReader()
    assert reader.receive(b"250-a\r\n") == []
    assert reader.has_leftover


REPLIES = st.lists(
    st.builds(
        Reply,
        st.integers(200, 599),
        st.lists(st.text("ab .-", max_size=10), min_size=1, max_size=4).map(tuple),
    ).map(format_reply)
    | st.binary(max_size=30)
    | st.sampled_from([b"\r\n", b"250-", b"\n", b"x" * MAX_RECEIVED_LINE_OCTETS]),
    max_size=6,
).map(b"".join)


@given(REPLIES, st.data())
def test_how_octets_were_split_does_not_matter(wire: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    reader = ReplyReader()
    events: list[Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        events += reader.receive(wire[start:end])
    whole = ReplyReader()
    assert events == whole.receive(wire)
    assert reader.has_leftover == whole.has_leftover


@given(REPLIES)
def test_octet_by_octet_gives_the_same(wire: bytes) -> None:
    reader = ReplyReader()
    events: list[Event] = []
    for octet in wire:
        events += reader.receive(bytes([octet]))
    assert events == read(wire)


@given(
    st.builds(
        Reply,
        st.integers(200, 599),
        st.lists(st.text("abc<>@", max_size=20), min_size=1, max_size=5).map(tuple),
    ),
    st.booleans(),
)
def test_reading_inverts_writing(reply: Reply, has_status: bool) -> None:
    if has_status and reply.code // 100 in (2, 4, 5):
        reply = Reply(reply.code, reply.lines, f"{reply.code // 100}.1.10")
    assert read(format_reply(reply)) == [reply]
