"""RFC 5321 §4.1.1.4, CVE-2023-51764 to 51766 (rule 18): one message never becomes two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.server_session import (
    BareNewline,
    MailFrom,
    MessageEnd,
    MessageStart,
    SessionSettings,
)
from tests.protocols.smtp.dialogue import Dialogue

EHLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<alice@example.com>\r\n"
RCPT = b"RCPT TO:<bob@example.org>\r\n"
SMUGGLED = b"MAIL FROM:<admin@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nevil"

SEQUENCES = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "CR.CR": b"\r.\r",
    "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r",
    "CRCRLF.CRCRLF": b"\r\r\n.\r\r\n",
    "CRLF NUL .CRLF": b"\r\n\0.\r\n",
}
MENDED = {
    "LF.LF": b"one\r\n\r\n",
    "LF.CRLF": b"one\r\n\r\n",
    "CRLF.LF": b"one\r\n\r\n",
    "CR.CR": b"one . ",
    "CR.CRLF": b"one .\r\n",
    "CRLF.CR": b"one\r\n ",
    "CRCRLF.CRCRLF": b"one \r\n \r\n",
    "CRLF NUL .CRLF": b"one\r\n .\r\n",
}


def dialogue_in(mode: BareNewline) -> Dialogue:
    dialogue = Dialogue(SessionSettings("mx.example.org", bare_newline=mode))
    dialogue.say(EHLO)
    return dialogue


def count(dialogue: Dialogue, kind: type) -> int:
    return sum(isinstance(event, kind) for event in dialogue.events)


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("is_split", [False, True])
def test_by_default_the_message_is_rejected_whole(name: str, *, is_split: bool) -> None:
    """Rules 18, 19: one rejection, after the real end; nothing of it is a command."""
    dialogue = dialogue_in(BareNewline.REJECT)
    dialogue.say(MAIL, RCPT, b"DATA\r\n")
    text = b"one" + SEQUENCES[name] + SMUGGLED
    assert dialogue.codes(*([text] if not is_split else [bytes([octet]) for octet in text])) == []
    assert dialogue.codes(b"\r\n.\r\n") == [550]
    assert dialogue.messages == []
    assert [count(dialogue, kind) for kind in (MailFrom, MessageStart, MessageEnd)] == [1, 1, 1]
    assert dialogue.codes(b"NOOP\r\n") == [250]


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("is_split", [False, True])
def test_normalized_it_is_exactly_one_message(name: str, *, is_split: bool) -> None:
    """Rules 18, 19: LF is a line's end there, never part of the final dot."""
    dialogue = dialogue_in(BareNewline.NORMALIZE)
    dialogue.say(MAIL, RCPT, b"DATA\r\n")
    text = b"one" + SEQUENCES[name] + SMUGGLED
    assert dialogue.codes(*([text] if not is_split else [bytes([octet]) for octet in text])) == []
    assert dialogue.codes(b"\r\n.\r\n") == [250]
    assert [count(dialogue, kind) for kind in (MailFrom, MessageStart, MessageEnd)] == [1, 1, 1]
    assert [text for _, text in dialogue.messages] == [MENDED[name] + SMUGGLED + b"\r\n"]


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("mode", BareNewline)
def test_at_the_start_of_the_text_it_is_no_end_either(name: str, mode: BareNewline) -> None:
    """RFC 5321 §4.1.1.4: the CRLF of the DATA line may begin the end, and only it."""
    dialogue = dialogue_in(mode)
    dialogue.say(MAIL, RCPT, b"DATA\r\n")
    start = SEQUENCES[name].lstrip(b"\r\n")
    if start == b".\r\n":
        assert dialogue.codes(start) == [250]
        return
    assert dialogue.codes(start + SMUGGLED) == []
    assert len(dialogue.codes(b"\r\n.\r\n")) == 1
    assert count(dialogue, MailFrom) == 1


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("mode", BareNewline)
def test_in_a_chunk_nothing_ends_a_message(name: str, mode: BareNewline) -> None:
    """RFC 3030 §2 (rule 23)."""
    dialogue = dialogue_in(mode)
    dialogue.say(MAIL, RCPT)
    text = b"one" + SEQUENCES[name] + b"\r\n.\r\n" + SMUGGLED
    code = 550 if mode is BareNewline.REJECT else 250
    assert dialogue.codes(b"BDAT %d LAST\r\n" % len(text) + text) == [code]
    assert count(dialogue, MailFrom) == 1
    assert len(dialogue.messages) == (code == 250)


_PIECES = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"\0", b"\r\n", b"x", SMUGGLED, MAIL, b"DATA\r\n"])
).map(b"".join)


@given(_PIECES, st.sampled_from(BareNewline))
def test_whatever_has_no_final_dot_in_it_is_one_message_at_most(
    text: bytes, mode: BareNewline
) -> None:
    text = (b"\r\n" + text).replace(b"\r\n.\r\n", b"")[2:]
    dialogue = dialogue_in(mode)
    dialogue.say(MAIL, RCPT, b"DATA\r\n")
    if b"\r\n.\r\n" in b"\r\n" + text + b"\r\n.":
        return
    assert dialogue.codes(text) == []
    assert len(dialogue.codes(b"\r\n.\r\n")) == 1
    assert [count(dialogue, kind) for kind in (MailFrom, MessageEnd)] == [1, 1]
    assert all(octet not in kept for _, kept in dialogue.messages for octet in b"\0")
    assert not any(
        fault in kept.replace(b"\r\n", b"") for _, kept in dialogue.messages for fault in b"\r\n"
    )
