"""Requests that POST something, read from octets as they come: all of it strict and bounded.

RFC 9112 §3 (request line), §5 (fields), §6 (how long a body is), §7.1 (chunks); RFC 9110 §10.1.1
(Expect). What two readers could take differently is refused: a bare LF, folded lines, two lengths,
a length beside chunks. Left out: every other method, and trailer fields, which are passed over.
"""

import re

from msgspec import Struct

MAX_HEAD_OCTETS = 16 * 1024
MAX_CHUNK_LINE_OCTETS = 1024
"""Of a chunk's size with its extensions, which are passed over."""
MAX_CHUNKS = 20_000
"""Of one body: else 8 MiB in chunks of one octet would keep us for seconds."""
MAX_TRAILER_OCTETS = 8 * 1024
START = b"POST "

# RFC 9112 §3, RFC 9110 §5.5, §5.6.2.
_REQUEST_LINE = re.compile(r"POST ([!-~]+) HTTP/1\.([01])(?=\r\n|\Z)")
_FIELDS = re.compile(r"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*)*")
_BLANKS = " \t"
_LENGTH = re.compile(r"[0-9]{1,12}")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[ -~\t]*)?[ \t]*")
_ONCE = frozenset(("host", "content-length", "transfer-encoding", "content-type"))
_END_OF_HEAD = b"\r\n\r\n"


class PostHead(Struct, frozen=True):
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


class PostFault(Struct, frozen=True):
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
    head = octets.decode("latin-1")
    request = _REQUEST_LINE.match(head)
    if request is None:
        return _BAD_LINE
    fields = _parse_fields(head, request.end())
    if fields is None:
        return _BAD_FIELD
    target, version = request.groups()
    host, is_old = fields.get("host"), version == "0"
    if host is None and not is_old:
        return _NO_HOST
    length = _find_length(fields, is_old=is_old)
    if isinstance(length, PostFault):
        return length
    expectation = fields.get("expect", "").lower()
    if expectation not in {"", "100-continue"}:
        return _BAD_EXPECTATION
    return PostHead(
        target=target,
        host=host or "",
        media_type=fields.get("content-type", "").partition(";")[0].strip(_BLANKS).lower(),
        content_encoding=fields.get("content-encoding", "").lower(),
        length=length,
        has_expectation=bool(expectation) and not is_old,
        is_last=is_old or _says_close(fields.get("connection", "")),
    )


def _parse_fields(head: str, start: int) -> dict[str, str] | None:
    """Read fields from some place on, their names in lower case; None where one is malformed.

    Of several lines of one name their values are joined (RFC 9110 §5.3), save those of which there
    is one.
    """
    if _FIELDS.fullmatch(head, start) is None:
        return None
    fields: dict[str, str] = {}
    for line in head[start + 2 :].split("\r\n") if start < len(head) else ():
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(_BLANKS)
        if name in fields:
            if name in _ONCE:
                return None
            value = f"{fields[name]}, {value}"
        fields[name] = value
    return fields


def _find_length(fields: dict[str, str], *, is_old: bool) -> int | PostFault | None:
    """Give a body's length; None: it is in chunks. RFC 9112 §6.1, §6.3."""
    length, coding = fields.get("content-length"), fields.get("transfer-encoding")
    if coding is not None:
        if length is not None or is_old:
            return _BAD_LENGTH
        return None if coding.lower() == "chunked" else _BAD_CODING
    if length is None:
        return _NO_LENGTH
    return int(length) if _LENGTH.fullmatch(length) else _BAD_LENGTH


def _says_close(connection: str) -> bool:
    return "close" in {each.strip(_BLANKS) for each in connection.lower().split(",")}
