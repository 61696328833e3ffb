"""The mail that carries a report: its fields, its subject, and the whole of one that we send.

RFC 8460 §5.3; RFC 6522 (multipart/report), RFC 8689 §5 (TLS-Required), RFC 3834 §5
(Auto-Submitted). Where a report lies in a mail is found in `finding`. What the fields say is no
more than a hint: the report is right (RFC 8460 §5.6).
"""

import re
import zlib
from binascii import b2a_base64

from msgspec import Struct

from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.mime.header import Header, decode_words
from letterlock.protocols.mime.parts import find_header_end
from letterlock.protocols.tlsrpt.file_names import FileName, format_file_name

GZIP_TYPE = "application/tlsrpt+gzip"
JSON_TYPE = "application/tlsrpt+json"

# RFC 8460 §5.3 wants <id-left@id-right>; some have neither the brackets nor the at sign.
_SUBJECT = re.compile(
    r"\s*Report\s+Domain:\s+(\S+)\s+Submitter:\s+(\S+)\s+Report-ID:\s+<?([^\s<>]+)>?\s*\Z",
    re.IGNORECASE,
)
_DOT_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_REPORT_ID = re.compile(rf"{_DOT_ATOM}@{_DOT_ATOM}\Z")
_FIELD_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?\Z")
_MAX_SUBJECT_CHARACTERS = 2000
_MAX_LINE_OCTETS = 998
_LINE_CHARACTERS = 78
_MAX_UNFOLDED = _LINE_CHARACTERS - len(": ")
_SMALL_OCTETS = 4096
_SMALL_PACKER = (12, 4)
"""Bits of its window, which holds all of it, and the level of its memory: 24 KiB."""
_LARGE_PACKER = (zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL)
_BASE64_LINE = 57
"""Octets that become 76 characters."""


class Subject(Struct, frozen=True):
    """What a subject says. `report_id` is without its angle brackets."""

    domain: str
    submitter: str
    report_id: str


class MailFields(Struct, frozen=True):
    """What a report mail's header says; None where it says nothing that can be understood."""

    subject: Subject | None
    report_domain: str | None
    report_submitter: str | None


class ReportMail(Struct, frozen=True):
    """What a mail of ours is made of.

    `octets` is the JSON, `text` what a person reads, in ASCII. `report_id` is that of the subject,
    a dot-atom, an at sign and another. `date` is as `smtp.header_fields.format_date` gives it,
    `message_id` in its angle brackets.
    """

    sender: str
    recipient: str
    date: str
    message_id: str
    report_id: str
    file_name: FileName
    octets: bytes
    text: str


def find_mail_header(mail: bytes, start: int = 0) -> Header:
    """Give the header of the message that begins at `start`."""
    return Header(mail[start : find_header_end(mail, start)[0]])


def read_mail_fields(header: Header) -> MailFields:
    """Read what a header says about the report."""
    subject = header.find(b"subject")
    return MailFields(
        parse_subject(decode_words(subject)) if subject else None,
        find_report_domain(header),
        find_submitter(header),
    )


def find_report_domain(header: Header) -> str | None:
    """Give the domain of TLS-Report-Domain; None: it is missing, or no domain."""
    return _take_domain(header.find(b"tls-report-domain"))


def find_submitter(header: Header) -> str | None:
    """Give the domain of TLS-Report-Submitter; None: it is missing, or no domain."""
    return _take_domain(header.find(b"tls-report-submitter"))


def parse_subject(text: str) -> Subject | None:
    """Parse a subject; None for one that is not a report's."""
    found = _SUBJECT.match(text) if len(text) <= _MAX_SUBJECT_CHARACTERS else None
    if found is None:
        return None
    domain, submitter = _take_domain(found[1]), _take_domain(found[2])
    if domain is None or submitter is None:
        return None
    return Subject(domain, submitter, found[3])


def format_subject(subject: Subject) -> str:
    """Format a subject, in one line. Raises ValueError for what is no identifier of one."""
    if not _REPORT_ID.match(subject.report_id):
        raise ValueError(f"not <id-left@id-right>: {subject.report_id[:80]!r}")
    return (
        f"Report Domain: {subject.domain} Submitter: {subject.submitter} "
        f"Report-ID: <{subject.report_id}>"
    )


def format_report_mail(mail: ReportMail) -> bytes:
    """Format a mail that can be signed and sent, with CRLF. The same values give the same octets.

    The submitter and the domain reported about are those of the file name. Raises ValueError for
    what cannot stand in a header field.
    """
    name = mail.file_name
    subject = Subject(name.policy_domain, name.sender, mail.report_id)
    packed = pack(mail.octets) if name.is_packed else mail.octets
    media_type = GZIP_TYPE if name.is_packed else JSON_TYPE
    boundary = f"tlsrpt-{zlib.crc32(packed):08x}-{len(packed)}"
    head = (
        _field("From", mail.sender),
        _field("To", mail.recipient),
        _field("Date", mail.date),
        _field("Message-ID", mail.message_id),
        _field("Subject", format_subject(subject)),
        _field("TLS-Report-Domain", name.policy_domain),
        _field("TLS-Report-Submitter", name.sender),
        # RFC 8460 §3: reports are delivered in spite of failures of TLS.
        _field("TLS-Required", "No"),
        _field("Auto-Submitted", "auto-generated"),
        _field("MIME-Version", "1.0"),
        _field("Content-Type", f'multipart/report; report-type="tlsrpt"; boundary="{boundary}"'),
    )
    parts = (
        _field("Content-Type", "text/plain; charset=us-ascii")
        + b"\r\n"
        + "\r\n".join(mail.text.splitlines()).encode("ascii", "replace")
        + b"\r\n",
        _field("Content-Type", media_type)
        + _field("Content-Transfer-Encoding", "base64")
        + _field("Content-Disposition", f'attachment; filename="{format_file_name(name)}"')
        + b"\r\n"
        + _encode(packed),
    )
    delimiter = f"--{boundary}".encode("ascii")
    body = b"".join(delimiter + b"\r\n" + part for part in parts)
    return b"".join(head) + b"\r\n" + body + delimiter + b"--\r\n"


def pack(octets: bytes) -> bytes:
    """Pack as gzip does, without a time and a name in it."""
    # Most reports are small. A large packer has 256 KiB of memory to begin with, which takes seven
    # times as long as the packing.
    window, memory = _SMALL_PACKER if len(octets) <= _SMALL_OCTETS else _LARGE_PACKER
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + window, memory)
    return packer.compress(octets) + packer.flush()


def _take_domain(text: str | None) -> str | None:
    try:
        return parse_domain(text[:300]) if text else None
    except DomainError:
        return None


def _field(name: str, value: str) -> bytes:
    """Give a field, folded between words. Raises ValueError."""
    if not _FIELD_VALUE.match(value):
        raise ValueError(f"{name}: cannot stand in a header field: {value[:80]!r}")
    if len(name) + len(value) <= _MAX_UNFOLDED:
        return f"{name}: {value}\r\n".encode("ascii")
    lines = [f"{name}:"]
    for word in value.split(" "):
        if len(lines[-1]) + 1 + len(word) > _LINE_CHARACTERS and lines[-1].strip() != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    if any(len(line) > _MAX_LINE_OCTETS for line in lines):
        raise ValueError(f"{name}: longer than a line: {value[:80]!r}")
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _encode(octets: bytes) -> bytes:
    lines = (
        b2a_base64(octets[at : at + _BASE64_LINE], newline=False)
        for at in range(0, len(octets), _BASE64_LINE)
    )
    return b"".join(line + b"\r\n" for line in lines)
