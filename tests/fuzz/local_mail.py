"""Mail of this machine: what programs drop and write above it, and who runs them with which words.

Any local user may write a dropped file as he likes.
"""

import contextlib
import tomllib
from datetime import UTC, datetime
from io import BytesIO

from letterlock.base.domains import Domain
from letterlock.protocols.smtp.address_lists import AddressListError, find_addresses
from letterlock.protocols.smtp.header_section import (
    MAX_HEADER_OCTETS,
    HeaderTooLong,
    find_recipients,
    split_header,
)
from letterlock.protocols.smtp.submitted import DROPPED, Submission, complete_header
from letterlock.send.failures import SendError
from letterlock.send.input_text import InputText
from letterlock.send.options import parse_options
from letterlock.send.place import read_keys
from letterlock.services.receive.dropped import DroppedReader, LocalUser
from letterlock.storage.drop import (
    FORMAT,
    MAX_VALUE_OCTETS,
    DropEnvelope,
    DropError,
    format_envelope,
    format_limits,
    parse_envelope,
    parse_limits,
)
from tests.fuzz.target import Target, split_ways, take_choices, take_texts

_NOW = datetime(2026, 11, 22, tzinfo=UTC)
_SUBMISSION = Submission("a@b.example", "J\u00f6", _NOW, "mx.b.example", "b.example", "0123456789")
_READER = DroppedReader(Domain("b.example"), 500)

_HEADER_WORDS = (
    *(b"To: ", b"Cc: ", b"Bcc: ", b"Resent-To: ", b"From: ", b"From ", b"\n\n", b"\r\n", b"\n "),
    *(b":", b"<", b">", b"(", b")", b'"', b"\\", b",", b";", b"@", b"[", b"]", b"\0", b"\xff"),
)  # fmt: skip
_HEADERS = (
    b'From: root (Cron)\nTo: "X, y" <a@b>, t: c, d;\nBcc: e\n\nbody\n',
    b"Resent-To: a\r\nTo: b\r\n\r\nbody",
    b"From bob Mon\n Subject: x\nhello\n",
)


def check_header(octets: bytes) -> None:
    """What goes out is one header section of CRLF lines, without Bcc, and says who wrote it."""
    with contextlib.suppress(AddressListError):
        assert all(find_recipients(split_header(octets)[0]))
    text = octets.replace(b"\r", b"").replace(b"\n", b"\r\n")
    try:
        fields, _ = split_header(text)
    except HeaderTooLong:
        assert len(text) > MAX_HEADER_OCTETS
        return
    header = complete_header(fields, _SUBMISSION)
    again, rest = split_header(header + b"\r\nbody")
    names = [name for name, _ in again]
    assert rest == b"body"
    assert not DROPPED.intersection(names)
    prefix = "resent-" if any(name.startswith("resent-") for name, _ in fields) else ""
    assert {f"{prefix}{name}" for name in ("from", "date", "message-id")} <= set(names)
    assert header.count(b"\n") == header.count(b"\r\n")
    assert complete_header(again, _SUBMISSION) == header


def check_address_list(octets: bytes) -> None:
    """Addresses stand in the text, in their order; what was found is a list again."""
    (text,) = take_texts(octets, 1)
    try:
        found = find_addresses(text)
    except AddressListError:
        return
    assert [address for address, _ in find_addresses(", ".join(a for a, _ in found))] == [
        address for address, _ in found
    ]


def check_dropped(octets: bytes) -> None:
    """A file is a message for somebody or an error; no fact in it makes a line of its own."""
    parse_limits(octets)
    try:
        envelope, message = parse_envelope(octets)
    except DropError:
        return
    for value in (*envelope.recipients, *envelope.facts.values()):
        assert len(value.encode()) <= MAX_VALUE_OCTETS
        assert not {"\n", "\r", "\0"}.intersection(value)
    again, rest = parse_envelope(format_envelope(envelope) + message)
    assert (again.recipients, again.facts, rest) == (
        envelope.recipients,
        envelope.facts,
        message,
    )
    with contextlib.suppress(DropError):
        found = _READER.read(BytesIO(octets), LocalUser(1000, "j\u00f6 doe"), 1e300, _NOW)
        assert found.moment <= _NOW
        assert octets[found.start :].startswith(message[:1])
        assert len(found.envelope.recipients) + len(found.bad) <= len(envelope.recipients)
        assert all("@" in each.address for each in found.envelope.recipients)


def check_send(octets: bytes) -> None:
    """Words are options or an error; a dot ends a message however it comes; TOML is TOML."""
    with contextlib.suppress(SendError):
        parse_options("sendmail", take_texts(octets, 5))
    (choice,), text = take_choices(octets, 1)
    found = []
    for pieces in split_ways(text, choice):
        reader = InputText()
        found.append((b"".join(map(reader.receive, pieces)), reader.finish(), reader.has_ended))
    assert len(set(found)) == 1
    (settings,) = take_texts(octets, 1)
    try:
        document = tomllib.loads(settings)
    except (tomllib.TOMLDecodeError, RecursionError):
        with contextlib.suppress(ValueError, RecursionError):
            read_keys(settings)
        return
    send = document.get("send")
    keys = document.get("data_dir"), send.get("drop_dir") if isinstance(send, dict) else None
    if all(key is None or isinstance(key, str) for key in keys):
        assert read_keys(settings) == keys


_ENVELOPES = (
    format_envelope(DropEnvelope(("a@b", "c"), {"sender": "d", "notify": "SUCCESS,DELAY"})),
    format_envelope(DropEnvelope(("\u00e9@b",), {"sender": "", "ret": "HDRS", "envid": "x+"})),
)
TARGETS = (
    Target("submitted-header", check_header, _HEADERS, _HEADER_WORDS, runs=600),
    Target("address-list", check_address_list, _HEADERS, _HEADER_WORDS, 400, runs=1500),
    Target(
        "dropped-message",
        check_dropped,
        (*(octets + _HEADERS[0] for octets in _ENVELOPES), format_limits({"a": 1})),
        (
            FORMAT,
            b"recipient ",
            b"sender ",
            b"name ",
            b"\n\n",
            b"\n",
            b"\0",
            b"\xc3",
            *_HEADER_WORDS,
        ),
        runs=800,
    ),
    Target(
        "sendmail-words",
        check_send,
        (
            b"-ti\xff-f\xffa@b\xff--\xffc",
            b'data_dir = "/a"\n[send]\ndrop_dir = "b" # c\n',
            b"a\r\n.\r\nb\n..\n.",
        ),
        (
            b"data_dir",
            b"drop_dir",
            b"[send]",
            b'"""',
            b"'",
            b'"',
            b"=",
            b"\n",
            b"\n.\n",
            b"-N",
            b"-b",
        ),
        600,
        runs=800,
    ),
)
