"""The reports in a file: JSON, packed JSON, or a mail that carries them, forwarded or not.

RFC 8460 §5.1-5.3. A part of a mail is a report by its media type or by its file name, whatever the
rest says; one that could be anything (JSON, gzip, zip) counts only where it turns out to be one.
What is unusual about a mail is named among the repairs.
"""

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum

import msgspec

from letterlock.protocols.mime.header import ParameterizedValue
from letterlock.protocols.mime.parts import Part, decode_base64, find_parts
from letterlock.protocols.tlsrpt.file_names import is_file_name_of_report
from letterlock.protocols.tlsrpt.limits import (
    MAX_MAIL_OCTETS,
    MAX_REPORT_OCTETS,
    MAX_REPORTS,
)
from letterlock.protocols.tlsrpt.mail import (
    GZIP_TYPE,
    JSON_TYPE,
    find_report_domain,
    find_submitter,
)
from letterlock.protocols.tlsrpt.reading import parse_report
from letterlock.protocols.tlsrpt.repairs import show
from letterlock.protocols.tlsrpt.report import Fault, ReadReport, Report, ReportError
from letterlock.protocols.tlsrpt.unpacking import Unpacked, is_packed, unpack
from letterlock.protocols.tlsrpt.usual_mail import find_usual_part

Found = ReadReport | ReportError

_JSON_START = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*[\[{]")
_MAIL_START = re.compile(rb"(?:>?From [^\n]*\n)?[!-9;-~]+[ \t]*:")
_BASE64_STARTS = (b"H4sI", b"UEsD", b"eyJ", b"ewo", b"ewk", b"eyA", b"ew0K")
"""Of gzip, of zip, and of an object in JSON."""
_ANYTHING = frozenset(
    (
        *("application/json", "application/gzip", "application/x-gzip", "application/zip"),
        *("application/x-zip-compressed", "application/octet-stream", "application/x-json"),
    )
)
_ENDINGS = (".json", ".gz", ".zip")
_SHOWN_TYPES = 8
FORWARDED = "mail: the report is in a forwarded message"
"""Among the repairs: what signs the mail is not who wrote the report."""


class _Sign(IntEnum):
    """How a part shows that it is a report."""

    NONE = 0
    MAY_BE = 1
    BY_NAME = 2
    BY_TYPE = 3


def read_file(octets: bytes) -> tuple[Found, ...]:
    """Read all reports of a file or mail: at least one value or error. Never raises."""
    try:
        return tuple(_read_file(octets))
    except ReportError as error:
        return (error,)


def _read_file(octets: bytes) -> Sequence[Found]:
    if len(octets) > MAX_MAIL_OCTETS:
        raise ReportError(Fault.TOO_LARGE, f"more than {MAX_MAIL_OCTETS >> 20} MiB")
    if is_packed(octets) or _JSON_START.match(octets):
        return _Reading().read_packed(octets, ())
    if _MAIL_START.match(octets):
        return _Reading().read_mail(octets)
    what = "neither JSON, gzip nor zip, nor a mail" if octets.strip() else "it is empty"
    raise ReportError(Fault.NO_REPORT, what)


class _Reading:
    """One file's reading: how much of it was unpacked already."""

    def __init__(self) -> None:
        self._left = MAX_REPORT_OCTETS

    def read_packed(self, octets: bytes, notes: tuple[str, ...]) -> list[Found]:
        """Read what may be packed. Raises ReportError."""
        files = unpack(octets)
        found = [self._try(file, notes) for file in files]
        if len(files) == 1:
            return found
        if not any(isinstance(each, ReadReport) for each in found):
            return found[:1]
        # What lies beside a report in an archive, and is none, is passed over.
        return [
            each
            for each in found
            if isinstance(each, ReadReport)
            or each.fault not in {Fault.NOT_JSON, Fault.NOT_A_REPORT, Fault.NO_REPORT}
        ]

    def _try(self, file: Unpacked, notes: tuple[str, ...]) -> Found:
        octets, more = file
        self._left -= len(octets)
        if self._left < 0:
            return ReportError(
                Fault.TOO_LARGE, f"more than {MAX_REPORT_OCTETS >> 20} MiB of reports in it"
            )
        try:
            read = parse_report(octets)
        except ReportError as error:
            return error
        return _add_notes(read, (*notes, *more))

    def read_mail(self, mail: bytes) -> list[Found]:
        """Read a mail's reports. Raises ReportError where there is none."""
        usual = find_usual_part(mail)
        if usual is not None:
            return list(self._read_part(usual, _Sign.BY_TYPE))
        types, signs = [], []
        for part in find_parts(mail):
            types.append(part.media_type or "unknown")
            if (sign := _find_sign(part)) is not _Sign.NONE:
                signs.append((part, sign))
        looked = [each for each in signs if each[1] is not _Sign.MAY_BE] or signs
        found = [
            each for part, sign in looked[:MAX_REPORTS] for each in self._read_part(part, sign)
        ]
        if not found:
            shown = ", ".join(types[:_SHOWN_TYPES]) or "nothing"
            raise ReportError(Fault.NO_REPORT, f"none of the mail's parts is one: {shown}")
        if (left := len(looked) - MAX_REPORTS) > 0:
            text = f"more than {MAX_REPORTS} reports in one mail: {left} are not read"
            found.append(ReportError(Fault.TOO_LARGE, text))
        return found

    def _read_part(self, part: Part, sign: _Sign) -> Iterator[Found]:
        octets, notes = _decode(part)
        notes = (*_judge_part(part, sign, octets), *notes)
        try:
            found: Sequence[Found] = self.read_packed(octets, notes)
        except ReportError as error:
            found = [error]
        for each in found:
            if isinstance(each, ReadReport):
                yield _add_notes(each, tuple(_judge_mail(part, each.report)))
            elif sign is not _Sign.MAY_BE:
                yield each


def _find_sign(part: Part) -> _Sign:
    if part.media_type.startswith("application/tlsrpt"):
        return _Sign.BY_TYPE
    name = part.file_name
    if name is not None and is_file_name_of_report(name):
        return _Sign.BY_NAME
    if part.media_type in _ANYTHING or (name or "").lower().endswith(_ENDINGS):
        return _Sign.MAY_BE
    return _Sign.NONE


def _decode(part: Part) -> Unpacked:
    """Undo the transfer encoding, also one that is not declared."""
    octets = part.decode()
    bare = octets.lstrip()
    if bare.startswith(_BASE64_STARTS):
        return decode_base64(bare), ("mail: base64, and not declared",)
    # What comes as text may have blanks before it; in what is packed each octet counts.
    return (bare if bare[:1] in {b"{", b"["} else octets), ()


def _judge_part(part: Part, sign: _Sign, octets: bytes) -> Iterator[str]:
    """Name what is not as RFC 8460 §5.3 has it about the part."""
    if sign is not _Sign.BY_TYPE or part.media_type not in {GZIP_TYPE, JSON_TYPE}:
        kind = part.media_type or "unknown"
        yield f"mail: the report's media type is {kind}, not {GZIP_TYPE} or {JSON_TYPE}"
    elif (is_so := is_packed(octets)) != (part.media_type == GZIP_TYPE):
        how = "packed" if is_so else "not packed"
        yield f"mail: the report is {how}, and its media type is {part.media_type}"


def _judge_mail(part: Part, report: Report) -> Iterator[str]:
    """Name what is not as RFC 8460 §5.3 has it about the mail."""
    if part.is_forwarded:
        yield FORWARDED
        around = _find_types_around(part)
    else:
        around = part.outer_types
    if not around:
        yield "mail: the report is the whole message, not a part of multipart/report"
    elif around[-1].value != "multipart/report":
        yield f"mail: the report is in {around[-1].value}, not in multipart/report"
    elif (kind := around[-1].parameters.get("report-type", "").lower()) != "tlsrpt":
        yield f"mail: its report-type is {show(kind) if kind else 'missing'}, not tlsrpt"
    header = part.message_header
    if find_report_domain(header) is None:
        yield "mail: TLS-Report-Domain is missing, or no domain"
    submitter = find_submitter(header)
    if submitter is None:
        yield "mail: TLS-Report-Submitter is missing, or no domain"
        return
    contact = (report.contact_info or "").rpartition("@")[2].lower()
    if contact and contact != submitter:
        yield "mail: TLS-Report-Submitter is not the domain of contact-info"


def _find_types_around(part: Part) -> Sequence[ParameterizedValue]:
    """Give the media types around a part, within the message that it is in."""
    types = [outer.value for outer in part.outer_types]
    return part.outer_types[len(types) - types[::-1].index("message/rfc822") :]


def _add_notes(read: ReadReport, notes: tuple[str, ...]) -> ReadReport:
    if not notes:
        return read
    return msgspec.structs.replace(read, repairs=(*notes, *read.repairs))
