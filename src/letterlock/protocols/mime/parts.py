"""The parts of a message, however deep they lie, each with where its octets are.

RFC 2045 §6 (encodings), RFC 2046 §5.1 (multipart), §5.2.1 (message/rfc822), RFC 6522 §3. Each octet
is looked at a bounded number of times: parts and depth have limits, and what is beyond them is one
part. Lines may end in LF, and the last delimiter may be missing.
"""

import binascii
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from letterlock.protocols.mime.header import (
    MAX_HEADER_OCTETS,
    Header,
    ParameterizedValue,
    parse_parameterized,
)

MAX_DEPTH = 12
MAX_PARTS = 200
MAX_DELIMITERS = 10_000
"""Of one multipart, those included that only look like one."""
MAX_BOUNDARY_CHARACTERS = 200
"""RFC 2046 §5.1.1 has 70; some have more."""

_CR = 0x0D
_PLAIN = ParameterizedValue("text/plain", {})


class Part(Struct, frozen=True, gc=False):
    """A part that is no multipart. `whole`, from `start` to `end`, holds its body as it came.

    `outer_types` are the media types around it, outermost first, with their parameters. The message
    that it is in has `message_header`, and begins at `message` in `whole`.
    """

    header: Header
    content_type: ParameterizedValue
    outer_types: tuple[ParameterizedValue, ...]
    whole: bytes
    start: int
    end: int
    message_header: Header
    message: int = 0

    @property
    def media_type(self) -> str:
        """The media type, in lower case."""
        return self.content_type.value

    @property
    def encoding(self) -> str:
        """The transfer encoding, in lower case; empty where none is declared."""
        return (self.header.find(b"content-transfer-encoding") or "").lower()

    @property
    def file_name(self) -> str | None:
        """What Content-Disposition or Content-Type call it; None: nothing."""
        disposition = self.header.find(b"content-disposition")
        parameters = parse_parameterized(disposition).parameters if disposition else {}
        return parameters.get("filename") or self.content_type.parameters.get("name") or None

    @property
    def is_forwarded(self) -> bool:
        """Whether it is part of a message within the message."""
        return any(outer.value == "message/rfc822" for outer in self.outer_types)

    def decode(self) -> bytes:
        """Give its octets with the transfer encoding undone, as far as that can be done."""
        return _decode(self.whole[self.start : self.end], self.encoding)


def find_header_end(octets: bytes, start: int = 0, end: int | None = None) -> tuple[int, int]:
    """Give where a header section ends, and where the body behind it begins."""
    end = len(octets) if end is None else end
    if octets.startswith((b"\r\n", b"\n"), start, end):
        return start, start + (2 if octets[start] == _CR else 1)
    limit = min(end, start + MAX_HEADER_OCTETS)
    with_cr = octets.find(b"\n\r\n", start, limit)
    without = octets.find(b"\n\n", start, limit if with_cr < 0 else with_cr + 1)
    if without >= 0:
        return without + 1, without + 2
    return (with_cr + 1, with_cr + 3) if with_cr >= 0 else (limit, end)


def find_parts(message: bytes) -> list[Part]:
    """Find the parts of a message, in their order."""
    parts: list[Part] = []
    waiting = [_Entity(message, 0, len(message), 0, ())]
    left = MAX_PARTS
    while waiting and left > 0:
        left -= 1
        entity = waiting.pop()
        part = _read_part(entity)
        if len(entity.outer) == MAX_DEPTH:
            parts.append(part)
        elif part.media_type == "message/rfc822":
            waiting.append(_open_message(part, (*entity.outer, part.content_type)))
        elif boundary := find_boundary(part.content_type):
            outer = (*entity.outer, part.content_type)
            spans = list(islice(_cut(part, boundary), left))
            waiting += [
                _Entity(part.whole, start, end, part.message, outer, part.message_header)
                for start, end in reversed(spans)
            ]
        else:
            parts.append(part)
    return parts


class _Entity(Struct, frozen=True, gc=False):
    """A message, or a part with its header, within `whole`.

    `message_header` is that of the message that a part is in, None for the message itself.
    """

    whole: bytes
    start: int
    end: int
    message: int
    outer: tuple[ParameterizedValue, ...]
    message_header: Header | None = None


def _read_part(entity: _Entity) -> Part:
    whole = entity.whole
    header_end, start = find_header_end(whole, entity.start, entity.end)
    header = Header(whole[entity.start : header_end])
    value = header.find(b"content-type")
    kind = _PLAIN if value is None else parse_parameterized(value)
    message_header = entity.message_header or header
    return Part(
        header, kind, entity.outer, whole, start, entity.end, message_header, entity.message
    )


def _open_message(part: Part, outer: tuple[ParameterizedValue, ...]) -> _Entity:
    """Give the message in a part. RFC 2046 §5.2.1 allows no encoding there; some have one."""
    if part.encoding in {"base64", "quoted-printable"}:
        body = part.decode()
        return _Entity(body, 0, len(body), 0, outer)
    return _Entity(part.whole, part.start, part.end, part.start, outer)


def find_boundary(kind: ParameterizedValue) -> bytes:
    """Give what stands between the parts of a multipart; nothing where there are none."""
    boundary = kind.parameters.get("boundary", "")
    if not kind.value.startswith("multipart/") or len(boundary) > MAX_BOUNDARY_CHARACTERS:
        return b""
    return boundary.encode("utf-8", "replace")


def _cut(part: Part, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Give where the parts between delimiter lines begin and end."""
    whole, end, delimiter = part.whole, part.end, b"--" + boundary
    begin: int | None = None
    for at in _find_line_starts(whole, part.start, end, delimiter):
        line_end = whole.find(b"\n", at, end)
        behind = at + len(delimiter)
        rest = whole[behind : min(line_end if line_end >= 0 else end, behind + 100)]
        is_last = rest.startswith(b"--")
        if rest.strip() and not is_last:
            continue
        if begin is not None:
            yield begin, _before_line_end(whole, begin, at)
        if is_last or line_end < 0:
            return
        begin = line_end + 1
    if begin is not None:
        yield begin, end


def _find_line_starts(whole: bytes, start: int, end: int, text: bytes) -> Iterator[int]:
    """Give the lines that begin with a text, up to MAX_DELIMITERS of them."""
    if whole.startswith(text, start, end):
        yield start
    at = start
    for _ in range(MAX_DELIMITERS):
        at = whole.find(b"\n" + text, at, end)
        if at < 0:
            return
        at += 1
        yield at


def _before_line_end(whole: bytes, begin: int, at: int) -> int:
    """Give where a part ends: the line end before the delimiter is the delimiter's."""
    end = at - 1
    if whole[end - 1 : end] == b"\r":
        end -= 1
    return max(begin, end)


def _decode(body: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return decode_base64(body)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    return body


def decode_base64(body: bytes) -> bytes:
    """Decode base64; octets that are none of its characters are passed over (RFC 2045 §6.8)."""
    try:
        return binascii.a2b_base64(body)
    except binascii.Error:
        pass
    try:
        return binascii.a2b_base64(body + b"==")
    except binascii.Error:
        return b""
