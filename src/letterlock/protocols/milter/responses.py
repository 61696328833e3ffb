"""What a filter answers: SMFIR_* of libmilter, each as a value.

What it wants changed (`Modification`) comes at the end of a message only, before the last word.
Whether a field or an address that it names is one, is for those to judge who use it.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum, auto

from msgspec import Struct

from letterlock.base.printable import make_printable
from letterlock.protocols.milter.packets import Packet, Violation, split_strings


class Word(Enum):
    """An answer that has nothing else in it."""

    CONTINUE = auto()
    ACCEPT = auto()
    """Of a command: nothing further is asked about this message; of CONNECT or HELO: at all."""
    REJECT = auto()
    TEMPFAIL = auto()
    DISCARD = auto()
    SKIP = auto()
    """No more of this kind (pieces of the body) is wanted."""
    PROGRESS = auto()
    """It is still at work: the time limit begins anew."""
    HANG_UP = auto()
    """SMFIR_CONN_FAIL and SMFIR_SHUTDOWN: the client is to be sent away with 421."""


class ReplyCode(Struct, frozen=True):
    """The client is to get this reply: 4xx or 5xx, text lines without code."""

    code: int
    status: str | None
    lines: tuple[str, ...]


class AddField(Struct, frozen=True):
    name: str
    value: bytes


class PutField(Struct, frozen=True):
    """`index` counts the fields above it, the Received of who asks being the first."""

    index: int
    name: str
    value: bytes


class SetField(Struct, frozen=True):
    """`number` counts from 1 among those of the name; no value takes the field out."""

    number: int
    name: str
    value: bytes


class AddRecipient(Struct, frozen=True):
    """`address` as it came, without angle brackets; `parameters` are those of RCPT."""

    address: str
    parameters: str = ""


class RemoveRecipient(Struct, frozen=True):
    address: str


class SetSender(Struct, frozen=True):
    address: str
    parameters: str = ""


class ReplaceBody(Struct, frozen=True):
    """A piece of a body that stands in place of the message's; further pieces follow it."""

    chunk: bytes


class Quarantine(Struct, frozen=True):
    reason: str


class SetMacros(Struct, frozen=True):
    """SMFIR_SETSYMLIST outside of the negotiation, where nobody sends it: left alone."""


Modification = (
    AddField
    | PutField
    | SetField
    | AddRecipient
    | RemoveRecipient
    | SetSender
    | ReplaceBody
    | Quarantine
    | SetMacros
)
Response = Word | ReplyCode | Modification

_WORDS = {
    b"c": Word.CONTINUE,
    b"a": Word.ACCEPT,
    b"r": Word.REJECT,
    b"t": Word.TEMPFAIL,
    b"d": Word.DISCARD,
    b"s": Word.SKIP,
    b"p": Word.PROGRESS,
    b"f": Word.HANG_UP,
    b"4": Word.HANG_UP,
}
# RFC 5321 §4.2, RFC 2034 §4; sendmail's smfi_setmlreply: each line begins with the code.
_REPLY_LINE = re.compile(r"([45][0-9]{2})(?:[ -](.*))?\Z", re.DOTALL)
_STATUS = re.compile(r"([45])\.[0-9]{1,3}\.[0-9]{1,3}(?=\Z| )")
_LINE_END = re.compile(rb"\r*\n|\r")
MAX_REPLY_LINES = 32
"""As many as smfi_setmlreply takes."""


def parse_response(packet: Packet) -> Response | Violation:
    """Read one answer."""
    kind, content = packet.kind, packet.content
    if (word := _WORDS.get(kind)) is not None:
        return word
    match kind:
        case b"y":
            return _parse_reply(content)
        case b"b":
            return ReplaceBody(content)
        case b"l":
            return SetMacros()
        case b"i" | b"m":
            return _parse_numbered_field(packet)
        case _:
            return _parse_texts(packet)


def _parse_texts(packet: Packet) -> Response | Violation:
    """Read one that has nothing but texts."""
    texts = split_strings(packet.content)
    counts, make = _WITH_TEXTS.get(packet.kind, ((), None))
    if make is None:
        return Violation(f"an answer of no known kind ({packet.kind!r})")
    if texts is None or len(texts) not in counts:
        return Violation(f"an answer that cannot be read ({packet.kind!r})")
    return make(*texts)


def _parse_numbered_field(packet: Packet) -> Response | Violation:
    texts = split_strings(packet.content[4:])
    if len(packet.content) < 4 or texts is None or len(texts) != 2:
        return Violation(f"an answer that cannot be read ({packet.kind!r})")
    number = int.from_bytes(packet.content[:4], "big")
    name, value = texts
    return (PutField if packet.kind == b"i" else SetField)(number, _read_text(name), value)


def _parse_reply(content: bytes) -> ReplyCode | Violation:
    texts = split_strings(content)
    lines = _read_lines(texts[0]) if texts is not None and len(texts) == 1 else []
    found = [_REPLY_LINE.match(line) for line in lines]
    codes = {match[1] for match in found if match is not None}
    if len(codes) != 1 or None in found or len(lines) > MAX_REPLY_LINES:
        return Violation("a reply code that is none")
    code = codes.pop()
    texts_of_lines = [match[2] or "" for match in found if match is not None]
    status = _STATUS.match(texts_of_lines[0])
    if status is None or status[1] != code[0]:
        return ReplyCode(int(code), None, tuple(texts_of_lines))
    shown = tuple(
        text.removeprefix(status[0]).removeprefix(" ") if text.startswith(status[0]) else text
        for text in texts_of_lines
    )
    return ReplyCode(int(code), status[0], shown)


def _read_lines(text: bytes) -> list[str]:
    """Cut a reply into lines of printable ASCII (RFC 5321 §4.2).

    smfi_setreply has `%%` for a per cent sign.
    """
    lines = [line for line in _LINE_END.split(text.replace(b"%%", b"%")) if line]
    return [_read_text(line).encode("ascii", "replace").decode("ascii") for line in lines]


def _read_address(octets: bytes) -> str:
    text = octets.decode("utf-8", "replace").strip()
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


def _read_text(octets: bytes) -> str:
    """Give text on one line, all of it printable."""
    return make_printable(octets.decode("utf-8", "replace").replace("\t", " "))


# How many texts an answer of each kind has, and what they make.
_WITH_TEXTS: Mapping[bytes, tuple[tuple[int, ...], Callable[..., Response | Violation]]] = {
    b"h": ((2,), lambda name, value: AddField(_read_text(name), value)),
    b"+": ((1,), lambda address: AddRecipient(_read_address(address))),
    b"2": (
        (1, 2),
        lambda address, more=b"": AddRecipient(_read_address(address), _read_text(more)),
    ),
    b"-": ((1,), lambda address: RemoveRecipient(_read_address(address))),
    b"e": ((1, 2), lambda address, more=b"": SetSender(_read_address(address), _read_text(more))),
    b"q": ((1,), lambda reason: Quarantine(_read_text(reason))),
}
