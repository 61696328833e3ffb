"""A dropped message: the file that a program of this machine leaves for the node.

A line that names the format, one line for each fact, an empty line, and the message's octets as
they came. Who wrote it says the file's owner, nothing in it. `letterlock send` loads this module,
so it loads next to nothing itself; the node's side is in `drop_folder`.
"""

FORMAT = b"letterlock-drop 1\n"
FORMAT_NAME = b"letterlock-drop "

MAX_ENVELOPE_OCTETS = 1024 * 1024
MAX_VALUE_OCTETS = 1000
MODE = 0o3733
"""Of the folder: everyone may leave a file, nobody list them; only its owner and the node remove
it (sticky). Files get the folder's group, the node's, by which it reads them (setgid)."""
FILE_MODE = 0o640
WHOLE = "msg."
"""How the name of a file begins that is whole."""
PARTIAL = "tmp."
"""How it begins while it is being written."""
BELL = "bell"
"""A FIFO. Whoever left a file writes an octet, and the node looks at once."""
QUEUE = "queue"
"""A socket of the node's, that tells users what waits of their mail."""
LIMITS = "limits"
"""A file of the node's: what it takes, one `name number` a line."""

_FACTS = ("sender", "name", "notify", "ret", "envid")


class DropError(ValueError):
    """A file is not a dropped message, or a fact cannot stand in one; the message says why."""


class DropEnvelope:
    """Who a dropped message is for, and what was asked for it.

    `facts` may have `sender` ("" is the null sender; without it, it is whoever owns the file),
    `name` (full name), `notify`, `ret` and `envid` (RFC 3461 §4). Not a dataclass: to load those
    takes longer than all else that `letterlock send` does.
    """

    __slots__ = ("facts", "recipients")

    def __init__(self, recipients: tuple[str, ...], facts: dict[str, str]) -> None:
        self.recipients = recipients
        self.facts = facts


def format_envelope(envelope: DropEnvelope) -> bytes:
    """Give what stands above the message. Raises DropError for what can't stand there."""
    lines = [FORMAT]
    lines += [_format_line(key, envelope.facts[key]) for key in _FACTS if key in envelope.facts]
    lines += [_format_line("recipient", each) for each in envelope.recipients]
    octets = b"".join(lines) + b"\n"
    if len(octets) > MAX_ENVELOPE_OCTETS:
        raise DropError("too many recipients")
    return octets


def parse_envelope(beginning: bytes) -> tuple[DropEnvelope, bytes]:
    """Give the envelope, and what follows it. Raises DropError.

    `beginning` is the whole file, or its first MAX_ENVELOPE_OCTETS.
    """
    if not beginning.startswith(FORMAT):
        raise DropError("it does not begin as a dropped message does")
    end = beginning.find(b"\n\n", len(FORMAT) - 1, MAX_ENVELOPE_OCTETS)
    if end < 0:
        raise DropError("its envelope does not end")
    facts: dict[str, str] = {}
    recipients: list[str] = []
    for line in beginning[len(FORMAT) : end].split(b"\n"):
        key, value = _parse_line(line)
        if key == "recipient":
            recipients.append(value)
        elif key in facts:
            raise DropError(f"{key} stands twice")
        else:
            facts[key] = value
    if not recipients:
        raise DropError("it has no recipients")
    return DropEnvelope(tuple(recipients), facts), beginning[end + 2 :]


def parse_limits(octets: bytes) -> dict[str, int]:
    """Read what the node takes; what is not understood is left out."""
    found = {}
    for line in octets.split(b"\n"):
        name, _, number = line.partition(b" ")
        if number.isdigit() and len(number) < 20 and name.isascii():
            found[name.decode("ascii")] = int(number)
    return found


def format_limits(limits: dict[str, int]) -> bytes:
    """Write what `parse_limits` reads."""
    return "".join(f"{name} {number}\n" for name, number in limits.items()).encode("ascii")


def _format_line(key: str, value: str) -> bytes:
    _check(value)
    return f"{key} {value}\n".encode()


def _parse_line(line: bytes) -> tuple[str, str]:
    name, space, octets = line.partition(b" ")
    try:
        key, value = name.decode("ascii"), octets.decode("utf-8")
    except UnicodeDecodeError:
        raise DropError("its envelope is not UTF-8") from None
    if not space or key not in {*_FACTS, "recipient"}:
        raise DropError("its envelope has a line that means nothing")
    _check(value)
    return key, value


def _check(value: str) -> None:
    try:
        octets = value.encode()
    except UnicodeEncodeError:
        raise DropError("it is not UTF-8") from None
    if len(octets) > MAX_VALUE_OCTETS:
        raise DropError("it is too long")
    if any(octet < 0x20 or octet == 0x7F for octet in octets):
        raise DropError("it has a control character")
