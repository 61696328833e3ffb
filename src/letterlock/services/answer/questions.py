"""What the process that answers and the one that finds say to each other: a packet for each.

Each is one line of JSON. Both are our own processes; still, a packet that is not understood is
dropped.
"""

from dataclasses import dataclass

import msgspec

from letterlock.protocols.maps.messages import Reply, Status
from letterlock.services.answer.answers import Answer

MAX_PACKET_OCTETS = 100_000
"""More than the longest answer: what is in a packet beyond it would be lost."""

_QUESTION = msgspec.json.Decoder(tuple[str, bool])
_ANSWER = msgspec.json.Decoder(tuple[str, Status, str, float])


@dataclass(frozen=True, slots=True)
class Question:
    """A key whose answer is to be found. `is_awaited`: there is none meanwhile, Postfix waits."""

    key: str
    is_awaited: bool


def format_question(question: Question) -> bytes:
    return msgspec.json.encode((question.key, question.is_awaited))


def parse_question(packet: bytes) -> Question | None:
    """Give the question; None for what is none."""
    try:
        return Question(*_QUESTION.decode(packet))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def format_answer(key: str, answer: Answer) -> bytes:
    """Format an answer; the reply is cut where there is no room, and then it is a failure."""
    reply = answer.reply
    packet = msgspec.json.encode((key, reply.status, reply.text, answer.seconds))
    if len(packet) <= MAX_PACKET_OCTETS:
        return packet
    return msgspec.json.encode((key, Status.PERM, "the answer is too long", answer.seconds))


def parse_answer(packet: bytes) -> tuple[str, Reply, float] | None:
    """Give key, reply and seconds; None for what is no answer."""
    try:
        key, status, text, seconds = _ANSWER.decode(packet)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return key, Reply(status, text), seconds
