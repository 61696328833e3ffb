"""What a filter answers, as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.milter.packets import Packet, Violation
from letterlock.protocols.milter.responses import (
    AddField,
    AddRecipient,
    PutField,
    Quarantine,
    RemoveRecipient,
    ReplaceBody,
    ReplyCode,
    Response,
    SetField,
    SetMacros,
    SetSender,
    Word,
    parse_response,
)


@pytest.mark.parametrize(
    ("kind", "content", "response"),
    [
        (b"c", b"", Word.CONTINUE),
        (b"a", b"", Word.ACCEPT),
        (b"r", b"", Word.REJECT),
        (b"t", b"", Word.TEMPFAIL),
        (b"d", b"", Word.DISCARD),
        (b"s", b"", Word.SKIP),
        (b"p", b"", Word.PROGRESS),
        (b"f", b"", Word.HANG_UP),
        (b"4", b"", Word.HANG_UP),
        (b"h", b"X-Spam\0 yes\n\tvery\0", AddField("X-Spam", b" yes\n\tvery")),
        (b"i", b"\0\0\0\x01X\0v\0", PutField(1, "X", b"v")),
        (b"m", b"\0\0\0\x02Subject\0\0", SetField(2, "Subject", b"")),
        (b"+", b"<bob@example.org>\0", AddRecipient("bob@example.org")),
        (b"+", b" bob@example.org\0", AddRecipient("bob@example.org")),
        (b"2", b"<bob@example.org>\0", AddRecipient("bob@example.org")),
        (
            b"2",
            b"<bob@example.org>\0NOTIFY=NEVER\0",
            AddRecipient("bob@example.org", "NOTIFY=NEVER"),
        ),
        (b"-", b"<bob@example.org>\0", RemoveRecipient("bob@example.org")),
        (b"e", b"<>\0", SetSender("")),
        (b"e", b"a@example.org\0SIZE=1\0", SetSender("a@example.org", "SIZE=1")),
        (b"b", b"octets\0\r\n", ReplaceBody(b"octets\0\r\n")),
        (b"q", b"looks\rodd\0", Quarantine("looks?odd")),
        (b"l", b"\0\0\0\0i\0", SetMacros()),
    ],
)
def test_an_answer(kind: bytes, content: bytes, response: Response) -> None:
    assert parse_response(Packet(kind, content)) == response


@pytest.mark.parametrize(
    ("text", "response"),
    [
        (b"550 5.7.1 Spam", ReplyCode(550, "5.7.1", ("Spam",))),
        (b"451", ReplyCode(451, None, ("",))),
        (b"451 later", ReplyCode(451, None, ("later",))),
        (b"550 4.7.1 odd", ReplyCode(550, None, ("4.7.1 odd",))),
        (b"421 4.3.2 bye", ReplyCode(421, "4.3.2", ("bye",))),
        (
            b"550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three",
            ReplyCode(550, "5.7.1", ("one", "two", "three")),
        ),
        (b"550-5.7.1 one\n550 two", ReplyCode(550, "5.7.1", ("one", "two"))),
        (b"550 5.7.1 100%% sure\x1b[1m", ReplyCode(550, "5.7.1", ("100% sure?[1m",))),
        # RFC 5321 §4.2: replies are ASCII; who did not ask for SMTPUTF8 can't read others.
        ("550 5.7.1 häßlich".encode(), ReplyCode(550, "5.7.1", ("h??lich",))),
    ],
)
def test_a_reply_of_its_own(text: bytes, response: ReplyCode) -> None:
    assert parse_response(Packet(b"y", text + b"\0")) == response


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"Z", b""),
        (b"", b""),
        (b"h", b"X\0"),
        (b"h", b"X\0v"),
        (b"h", b"X\0v\0w\0"),
        (b"i", b"\0\0\0"),
        (b"i", b"\0\0\0\x01X\0"),
        (b"m", b"\0\0\0\x01X\0v"),
        (b"+", b""),
        (b"2", b"a\0b\0c\0"),
        (b"e", b""),
        (b"q", b"reason"),
        (b"y", b"550 no end"),
        (b"y", b"250 2.0.0 fine\0"),
        (b"y", b"\0"),
        (b"y", b"550 one\r\n551 two\0"),
        (b"y", b"550-one\r\ntwo\0"),
        (b"y", b"550 one\0more\0"),
        (b"y", b"550-x\n" * 33 + b"\0"),
    ],
)
def test_what_is_no_answer(kind: bytes, content: bytes) -> None:
    assert isinstance(parse_response(Packet(kind, content)), Violation)


@given(st.sampled_from([bytes([octet]) for octet in b"hi+2-meqybl4acdfprst?"]), st.binary())
def test_any_octets_give_an_answer_or_a_violation(kind: bytes, content: bytes) -> None:
    found = parse_response(Packet(kind, content))
    if isinstance(found, ReplyCode):
        assert 400 <= found.code < 600
        assert all(line.isprintable() for line in found.lines)
