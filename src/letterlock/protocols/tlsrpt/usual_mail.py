"""The quick way to find the report in a mail that is written as most are; none for any other.

RFC 8460 §5.3: a multipart/report of a text and of the report, packed by gzip. What this finds is
what `mime.parts` finds, where only that part is a report: a property test compares them. Measured:
going through all parts takes a third of the time that reading a usual mail takes.
"""

import re

from letterlock.protocols.mime.header import Header, ParameterizedValue, parse_parameterized
from letterlock.protocols.mime.parts import Part, find_boundary, find_header_end
from letterlock.protocols.tlsrpt.mail import GZIP_TYPE

MAX_USUAL_OCTETS = 128 * 1024
"""A larger mail takes its time elsewhere."""

_TEXT = re.compile(rb"content-type:[ \t]*text/plain[;\r]", re.IGNORECASE)
_NAMED = re.compile(rb"name", re.IGNORECASE)
_BLANK_LINE = b"\r\n\r\n"


def find_usual_part(mail: bytes) -> Part | None:
    """Find the part that is the report; None: the mail has to be looked at part by part."""
    if len(mail) > MAX_USUAL_OCTETS or b"\n\n" in mail:
        return None
    header_end, body = find_header_end(mail)
    header = Header(mail[:header_end])
    kind = parse_parameterized(header.find(b"content-type") or "")
    delimiter = b"--" + find_boundary(kind)
    if kind.value != "multipart/report" or mail.count(delimiter) != 3:
        return None
    before, *pieces = mail.split(b"\r\n" + delimiter)
    if len(pieces) != 3 or len(before) + 2 < body:
        return None
    text, report, rest = pieces
    opened = _open_report(report)
    if opened is None or not _is_text(text) or not rest.startswith(b"--"):
        return None
    part_header, part_kind, octets = opened
    end = len(mail) - len(rest) - len(delimiter) - 2
    return Part(part_header, part_kind, (kind,), mail, end - octets, end, header)


def _open_report(piece: bytes) -> tuple[Header, ParameterizedValue, int] | None:
    """Give header, media type and the octets of the body of a part that is a report, packed.

    The part comes with the line end of its delimiter. None: it is not.
    """
    fields, _, body = piece.partition(_BLANK_LINE)
    header = Header(fields[2:] + b"\r\n")
    kind = parse_parameterized(header.find(b"content-type") or "")
    if kind.value != GZIP_TYPE or not body or not fields.startswith(b"\r\n"):
        return None
    return header, kind, len(body)


def _is_text(part: bytes) -> bool:
    """Say if a part is text, and has no file name."""
    fields, blank, _ = part.partition(_BLANK_LINE)
    return (
        bool(blank)
        and fields.startswith(b"\r\n")
        and _TEXT.match(fields, 2) is not None
        and _NAMED.search(fields) is None
    )
