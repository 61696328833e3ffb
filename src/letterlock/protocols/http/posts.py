"""Requests that POST something, read from octets as they come: all of it strict and bounded.

RFC 9112 §3 (request line), §5 (fields), §6 (how long a body is), §7.1 (chunks); RFC 9110 §10.1.1
(Expect). What two readers could take differently is refused: a bare LF, folded lines, two lengths,
a length beside chunks. Left out: every other method, and trailer fields, which are passed over.
"""

import re
from dataclasses import dataclass

MAX_HEAD_OCTETS = 16 * 1024
MAX_CHUNK_LINE_OCTETS = 1024
"""Of a chunk's size with its extensions, which are passed over."""
MAX_CHUNKS = 20_000
"""Of one body: else 8 MiB in chunks of one octet would keep us for seconds."""
MAX_TRAILER_OCTETS = 8 * 1024
START = b"POST "

# RFC 9112 §3, RFC 9110 §5.5, §5.6.2.
_REQUEST_LINE = re.compile(rb"POST ([!-~]+) HTTP/1\.([01])")
_FIELD_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE_OCTETS = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
_LENGTH = re.compile(rb"[0-9]{1,12}")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[ -~\t]*)?[ \t]*")
_ONCE = frozenset((b"host", b"content-length", b"transfer-encoding", b"content-type"))
_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class PostHead:
    """What a request says before its body. Texts are Latin-1; "" is what does not stand there.

    `length` is None for a body in chunks. `has_expectation`: the client waits for 100 (Continue).
    """

    target: str
    host: str
    media_type: str
    content_encoding: str
    length: int | None
    has_expectation: bool
    is_last: bool


@dataclass(frozen=True, slots=True)
class PostFault:
    """What can't be read, and with which status that is answered; nothing can be read after it."""

    status: int
    reason: str


_BAD_LINE = PostFault(400, "the request line is not one of HTTP/1.1")
_BAD_FIELD = PostFault(400, "a header field is malformed, or stands there twice")
_BAD_LENGTH = PostFault(400, "how long the body is cannot be told")
_BAD_CHUNK = PostFault(400, "a chunk of the body is malformed")
_NO_HOST = PostFault(400, "there is no Host field")
_NO_LENGTH = PostFault(411, "there is no Content-Length field")
_LONG_HEAD = PostFault(431, "the header is too long")
_BAD_CODING = PostFault(501, "the transfer coding is not chunked")
_NOT_YET = PostFault(400, "there is more to come")
_BAD_EXPECTATION = PostFault(417, "this expectation is not known")

Event = PostHead | bytes | PostFault


class PostReader:
    """Reads one request after the other: the head of each, and then its body as a whole."""

    def __init__(self, max_body_octets: int) -> None:
        """Take bodies of so many octets; a longer one is a fault."""
        self._max_body_octets = max_body_octets
        self._too_long = PostFault(413, f"more than {max_body_octets} octets")
        self._buffer = bytearray()
        self._looked = 0
        self._head: PostHead | None = None
        self._body = bytearray()
        self._fault: PostFault | None = None
        self._chunks = 0
        self._is_in_trailer = False
        self._trailer_octets = 0

    @property
    def held_octets(self) -> int:
        """How much is held of what came."""
        return len(self._buffer) + len(self._body)

    def receive(self, octets: bytes) -> None:
        """Take what came."""
        self._buffer += octets

    def next_event(self) -> Event | None:
        """Give a head, then its body, or a fault; None: there is more to come."""
        if self._fault is not None:
            return self._fault
        event = self._read_head() if self._head is None else self._read_body(self._head)
        if isinstance(event, PostFault):
            self._fault = event
            self._buffer.clear()
            self._body.clear()
        return event

    def _read_head(self) -> PostHead | PostFault | None:
        end = self._buffer.find(_END_OF_HEAD, max(0, self._looked - 3), MAX_HEAD_OCTETS)
        if end < 0:
            self._looked = len(self._buffer)
            return _LONG_HEAD if self._looked >= MAX_HEAD_OCTETS else None
        head = parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + len(_END_OF_HEAD)]
        self._looked = 0
        if isinstance(head, PostHead):
            if head.length is not None and head.length > self._max_body_octets:
                return self._too_long
            self._head = head
        return head

    def _read_body(self, head: PostHead) -> bytes | PostFault | None:
        if head.length is None:
            return self._read_chunks()
        if len(self._buffer) < head.length:
            return None
        body = bytes(self._buffer[: head.length])
        del self._buffer[: head.length]
        self._head = None
        return body

    def _read_chunks(self) -> bytes | PostFault | None:
        """Read what is there of chunks: RFC 9112 §7.1."""
        while not self._is_in_trailer:
            fault = self._read_chunk()
            if fault is _NOT_YET:
                return None
            if fault is not None:
                return fault
        return self._read_trailer()

    def _read_chunk(self) -> PostFault | None:
        buffer = self._buffer
        found = self._find_chunk()
        if isinstance(found, PostFault):
            return found
        start, size = found
        if size == 0:
            self._is_in_trailer = True
            del buffer[:start]
            return None
        if len(buffer) < start + size + 2:
            return _NOT_YET
        if buffer[start + size : start + size + 2] != b"\r\n":
            return _BAD_CHUNK
        self._chunks += 1
        self._body += buffer[start : start + size]
        del buffer[: start + size + 2]
        return None

    def _find_chunk(self) -> tuple[int, int] | PostFault:
        """Give where the next chunk starts, and how long it is."""
        end = self._buffer.find(b"\r\n", 0, MAX_CHUNK_LINE_OCTETS)
        if end < 0:
            return _BAD_CHUNK if len(self._buffer) >= MAX_CHUNK_LINE_OCTETS else _NOT_YET
        line = _CHUNK_LINE.fullmatch(bytes(self._buffer[:end]))
        if line is None or self._chunks == MAX_CHUNKS:
            return _BAD_CHUNK
        size = int(line[1], 16)
        is_too_long = len(self._body) + size > self._max_body_octets
        return self._too_long if is_too_long else (end + 2, size)

    def _read_trailer(self) -> bytes | PostFault | None:
        """Pass over trailer fields, to the empty line: RFC 9112 §7.1.2."""
        buffer = self._buffer
        while (end := buffer.find(b"\r\n")) > 0 and self._trailer_octets <= MAX_TRAILER_OCTETS:
            self._trailer_octets += end + 2
            del buffer[: end + 2]
        waiting = len(buffer) if end < 0 else 0
        if self._trailer_octets + waiting > MAX_TRAILER_OCTETS:
            return _LONG_HEAD
        if end < 0:
            return None
        del buffer[:2]
        body = bytes(self._body)
        self._body.clear()
        self._head, self._is_in_trailer, self._trailer_octets, self._chunks = None, False, 0, 0
        return body


def parse_head(octets: bytes) -> PostHead | PostFault:
    """Read a request's line and fields, without the empty line behind them."""
    lines = octets.split(b"\r\n")
    request = _REQUEST_LINE.fullmatch(lines[0])
    if request is None:
        return _BAD_LINE
    fields = _parse_fields(lines[1:])
    if fields is None:
        return _BAD_FIELD
    is_old = request[2] == b"0"
    if b"host" not in fields and not is_old:
        return _NO_HOST
    length = _find_length(fields, is_old=is_old)
    if isinstance(length, PostFault):
        return length
    expectation = fields.get(b"expect", b"").lower()
    if expectation not in {b"", b"100-continue"}:
        return _BAD_EXPECTATION
    options = fields.get(b"connection", b"").lower().split(b",")
    return PostHead(
        target=request[1].decode("ascii"),
        host=fields.get(b"host", b"").decode("latin-1"),
        media_type=_find_media_type(fields),
        content_encoding=fields.get(b"content-encoding", b"").decode("latin-1").lower(),
        length=length,
        has_expectation=bool(expectation) and not is_old,
        is_last=is_old or b"close" in (each.strip() for each in options),
    )


def _parse_fields(lines: list[bytes]) -> dict[bytes, bytes] | None:
    """Read fields, their names in lower case; None where one is malformed.

    Of several lines of one name their values are joined (RFC 9110 §5.3), save those of which there
    is one.
    """
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _FIELD_NAME.fullmatch(name) or value.translate(None, _VALUE_OCTETS):
            return None
        name, value = name.lower(), value.strip(b" \t")
        if name in fields:
            if name in _ONCE:
                return None
            value = fields[name] + b", " + value
        fields[name] = value
    return fields


def _find_length(fields: dict[bytes, bytes], *, is_old: bool) -> int | PostFault | None:
    """Give a body's length; None: it is in chunks. RFC 9112 §6.1, §6.3."""
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or is_old:
            return _BAD_LENGTH
        return None if coding.lower() == b"chunked" else _BAD_CODING
    if length is None:
        return _NO_LENGTH
    return int(length) if _LENGTH.fullmatch(length) else _BAD_LENGTH


def _find_media_type(fields: dict[bytes, bytes]) -> str:
    kind = fields.get(b"content-type", b"").partition(b";")[0]
    return kind.strip().lower().decode("latin-1")
