"""The tcp_table protocol: `get KEY` is asked, `200 VALUE` answered, each on a line.

Postfix's tcp_table(5). Octets that would break a line or a word stand as `%XX`. Nothing is ever
changed by it: `put` is refused.
"""

import re

from letterlock.protocols.maps.messages import BadQuery, Event, Reply, Status, Violation

MAX_LINE_OCTETS = 4096
"""tcp_table(5): for request and reply, the newline among them."""

_CODES = {Status.OK: 200, Status.NOTFOUND: 500}
_FAILED = 400
_TOO_LONG = "the answer is too long for tcp_table; use socketmap"
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")


class TcpTableReader:
    """Turns received octets into queries. After a violation it reads no more."""

    def __init__(self) -> None:
        self._held = b""
        self._is_broken = False

    def receive(self, octets: bytes) -> list[Event]:
        """Take octets from the client; give the queries that they complete."""
        if self._is_broken:
            return []
        *lines, self._held = (self._held + octets).split(b"\n")
        events: list[Event] = []
        for line in lines:
            if len(line) >= MAX_LINE_OCTETS:
                break
            events.append(_read_query(line))
        if len(events) < len(lines) or len(self._held) >= MAX_LINE_OCTETS:
            self._is_broken = True
            self._held = b""
            events.append(Violation(f"a line has at most {MAX_LINE_OCTETS} octets"))
        return events

    @property
    def is_between(self) -> bool:
        """Nothing is held: what comes next begins a query."""
        return not self._held and not self._is_broken


def _read_query(line: bytes) -> Event:
    word, space, text = line.removesuffix(b"\r").partition(b" ")
    if word != b"get" or not space:
        return BadQuery("a query is `get`, a space and a key")
    if any(found[1] is None for found in _ESCAPE.finditer(text)):
        return BadQuery("behind % stand two hexadecimal digits")
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), text)


def format_tcp_reply(reply: Reply) -> bytes:
    """Format an answer; one that is too long for a line becomes a failure."""
    line = _format_line(_CODES.get(reply.status, _FAILED), reply.text or str(reply.status))
    return line if len(line) <= MAX_LINE_OCTETS else _format_line(_FAILED, _TOO_LONG)


def _format_line(code: int, text: str) -> bytes:
    words = "".join(
        chr(octet) if 0x21 <= octet <= 0x7E and octet != ord("%") else f"%{octet:02X}"
        for octet in text.encode()
    )
    return f"{code} {words}\n".encode("ascii")
