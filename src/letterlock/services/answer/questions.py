"""What the process that answers and the one that finds say to each other: a packet for each.

A question is the key; an answer is one line of JSON. Both are our own processes; still, a packet
that is not understood is dropped.
"""

import msgspec

from letterlock.protocols.maps.messages import Reply, Status
from letterlock.services.answer.answers import Answer

MAX_PACKET_OCTETS = 100_000
"""More than the longest answer: what is in a packet beyond it would be lost."""

_ANSWER = msgspec.json.Decoder(tuple[str, Status, str, float])


def format_question(key: str) -> bytes:
    return key.encode()


def parse_question(packet: bytes) -> str | None:
    try:
        return packet.decode()
    except UnicodeDecodeError:
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
