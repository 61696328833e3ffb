"""What a milter says: packets, the negotiation, its answers; and what it is told."""

import asyncio
import contextlib
from typing import cast

from letterlock.base.config.filters import MilterAddress
from letterlock.network.milter_client import MilterConnection
from letterlock.network.wire import Lost, Wire
from letterlock.protocols.milter.commands import format_header_field
from letterlock.protocols.milter.options import (
    OFFERED_STEPS,
    Actions,
    Options,
    Steps,
    parse_options,
)
from letterlock.protocols.milter.packets import (
    LENGTH_OCTETS,
    Packet,
    PacketReader,
    Violation,
    format_packet,
    split_strings,
)
from letterlock.protocols.milter.responses import ReplyCode, parse_response
from letterlock.protocols.smtp.header_edits import EditError, edit_header
from letterlock.services.filter.contract import Answer, Discarded, Failed, Passed, Refused
from letterlock.services.filter.milter import MilterFilter, MilterTimeouts
from tests.fuzz.target import Target, split_ways, take_choices
from tests.services.filter.scripted import CLIENT, MAIL, make_message

_MAX = 64
_ANSWERS = (
    (b"c", b""),
    (b"y", b"550-5.7.1 one\r\n550 5.7.1 two\0"),
    (b"h", b"X-Spam\0 yes\n\tand\0"),
    (b"i", b"\0\0\0\x01X\0v\0"),
    (b"2", b"<bob@example.org>\0NOTIFY=NEVER\0"),
    (b"q", b"reason\0"),
)


def check_packets(octets: bytes) -> None:
    """Packets are what came, none is longer than it may be, however they came."""
    (choice,), wire = take_choices(octets, 1)
    found = PacketReader(_MAX).receive(wire)
    packets = [each for each in found if isinstance(each, Packet)]
    written = b"".join(format_packet(each.kind, each.content) for each in packets)
    assert wire.startswith(written)
    assert max((len(each.content) for each in packets), default=0) < _MAX
    rest = wire[len(written) :]
    length = int.from_bytes(rest[:LENGTH_OCTETS], "big")
    is_broken = len(rest) >= LENGTH_OCTETS and not 1 <= length <= _MAX
    assert [isinstance(each, Violation) for each in found[len(packets) :]] == [True] * is_broken
    for pieces in split_ways(wire, choice):
        reader = PacketReader(_MAX)
        assert [each for piece in pieces for each in reader.receive(piece)] == found


def check_answers(octets: bytes) -> None:
    """An answer is a value or a violation; a reply is 4xx or 5xx, in printable lines."""
    answer = parse_response(Packet(octets[:1], octets[1:]))
    if isinstance(answer, ReplyCode):
        assert 400 <= answer.code < 600
        assert answer.status is None or answer.status[0] == str(answer.code)[0]
        assert all(line.isprintable() for line in answer.lines)


def check_options(octets: bytes) -> None:
    """Nothing is agreed on that was not offered."""
    options = parse_options(octets)
    if isinstance(options, Options):
        assert options.steps & OFFERED_STEPS == options.steps
        assert 2 <= options.version <= 6
        assert all(" " not in name for names in options.macros.values() for name in names)


def check_told_field(octets: bytes) -> None:
    """A field that is told is two texts, whatever is in it."""
    name, _, value = octets.partition(b"\xff")
    for has_space in (True, False):
        wire = format_header_field(name, value, has_leading_space=has_space)
        (packet,) = PacketReader(len(wire)).receive(wire)
        assert isinstance(packet, Packet)
        texts = split_strings(packet.content)
        assert texts is not None
        assert len(texts) == 2


class _Wire:
    """A connection to a milter that says these octets, so many at a time, and hangs up."""

    def __init__(self, octets: bytes, at_once: int) -> None:
        self._octets = octets
        self._at_once = at_once

    @property
    def is_open(self) -> bool:
        return True

    def has_unread(self) -> bool:
        return False

    async def write(self, data: bytes, seconds: float) -> None:
        del data, seconds

    def write_now(self, data: bytes) -> None:
        del data

    async def read(self, seconds: float) -> bytes | Lost:
        del seconds
        octets, self._octets = self._octets[: self._at_once], self._octets[self._at_once :]
        return octets or Lost("it hung up")

    def close(self) -> None:
        self._octets = b""


def check_talk(octets: bytes) -> None:
    """Whatever a milter says along a session is an answer, and its changes are ones."""
    (choice, *steps), said = take_choices(octets, 4)
    options = Options(6, Actions(0x1FF), Steps(int.from_bytes(bytes(steps), "big")) & OFFERED_STEPS)
    wire = cast("Wire", _Wire(said, choice % 7 + 1))
    asyncio.run(_talk(MilterConnection(wire, options, PacketReader())))


async def _talk(connection: MilterConnection) -> None:
    milter = MilterFilter(MilterAddress("/milter"), MilterTimeouts(), 100)
    filtering = milter.begin(CLIENT)
    filtering.connect(connection)
    answers: list[Answer] = [await filtering.begin(MAIL)]
    message = make_message()
    if isinstance(answers[-1], Passed):
        answers.append(await filtering.take_recipient("bob@example.org", ()))
    if not isinstance(answers[-1], Failed):
        judgement = await filtering.judge(message)
        answers.append(judgement.answer)
        assert (0 if judgement.body is None else judgement.body.size) <= 100
        with contextlib.suppress(EditError):
            edit_header(message.header, judgement.edits)
    filtering.close()
    assert all(isinstance(each, Passed | Refused | Discarded | Failed) for each in answers)
    for each in answers:
        if isinstance(each, Refused):
            assert 400 <= each.reply.code < 600


TARGETS = (
    Target(
        "milter-packets",
        check_packets,
        (b"\x07" + format_packet(b"c") + format_packet(b"h", b"X\0v\0"),),
        (b"\0\0\0\x01c", b"\0\0\0\x40", b"\0\0\0\x41", b"\xff\xff\xff\xff", b"\0\0\0\0"),
    ),
    Target(
        "milter-answers",
        check_answers,
        tuple(kind + content for kind, content in _ANSWERS),
        (b"\0", b"\r\n", b"550-", b"451 ", b"5.7.1 ", b"%%", b"<", b">", b"\xff"),
    ),
    Target(
        "milter-options",
        check_options,
        (b"\0\0\0\x06\0\0\x01\xff\0\x1f\xf7\xff\0\0\0\0j {i}\0", b"\0\0\0\x02" + b"\0" * 8),
        (b"\0\0\0\x05j\0", b"\0\0\0\x06", b" ", b"\xff\xff\xff\xff"),
    ),
    Target("milter-told-field", check_told_field, (b"Subject\xff one\r\n\ttwo",), (b"\0", b"\r\n")),
)
