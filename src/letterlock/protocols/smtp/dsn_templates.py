"""The texts of notifications: those that come with the program, and those an operator puts there.

A text is a few header lines (RFC 5322 §2.2), an empty line, and paragraphs with `{names}` in braces
from a fixed set. Lines of a paragraph are one text, wrapped anew; one that begins with a space or
ends with a colon is by itself. A paragraph in which a name has nothing to say is left out.
Sentences about causes (`dsn_causes`) are in a file of their own: `name: text`. Whatever a text
holds, it is lines of a plain part: it can't begin a field or a part. Where the files are is not
known here. RFC 5646 §2.1 (languages).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from letterlock.protocols.smtp.dsn_causes import DEFAULT_SENTENCES
from letterlock.protocols.smtp.dsn_report import Action

MAX_TEXT_OCTETS = 64 * 1024
MAX_LINE_CHARACTERS = 500
MAX_HEADER_CHARACTERS = 200
MAX_FAULTS = 20

LINE_NAMES = (
    *("recipients", "sender", "hostname", "postmaster", "queue_id"),
    *("arrived", "size", "next_try", "until"),
)
"""What may stand anywhere in a text."""
BLOCK_NAMES = ("reasons", "returned", "tried", "details")
"""What has lines of its own: it stands alone on its line."""
HEADER_NAMES = ("hostname", "queue_id")
"""What may stand in Subject and From."""
SENTENCE_NAMES = ("domain", "size", "words", "arrived", "postmaster", "hostname")
"""What may stand in a sentence about a cause."""

_BLOCKS = frozenset(f"{{{name}}}" for name in BLOCK_NAMES)
_AUTHOR = "Mail Delivery System"
_HEADERS = ("subject", "from", "content-language")
_FIELD = re.compile(r"([A-Za-z-]{1,40}):[ \t]*(.*?)[ \t]*\Z")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,3}\Z")  # RFC 5646 §2.1, in short
_SENTENCE = re.compile(r"([a-z0-9-]{1,40}):[ \t]*(.*?)[ \t]*\Z")
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]{0,40})\}|[{}]")


@dataclass(frozen=True, slots=True)
class TextFault:
    """A mistake in a text. `line` counts from 1; 0: the file as a whole."""

    line: int
    message: str


class TextError(ValueError):
    """A text that can't be used; `faults` are the mistakes in it."""

    def __init__(self, faults: list[TextFault]) -> None:
        super().__init__("; ".join(f"line {each.line}: {each.message}" for each in faults))
        self.faults = tuple(faults[:MAX_FAULTS])


@dataclass(frozen=True, slots=True)
class NoticeText:
    """One kind of notification. `author` is From's display name; a paragraph is of whole lines."""

    subject: str
    paragraphs: tuple[tuple[str, ...], ...]
    author: str = _AUTHOR
    language: str | None = None

    def fill(self, values: Mapping[str, str]) -> list[str]:
        """Give the lines, of any length, and an empty one between paragraphs."""
        lines: list[str] = []
        for paragraph in self.paragraphs:
            names = {name for line in paragraph for name in find_names(line)}
            if all(values.get(name) for name in names):
                filled = "\n".join(fill_names(line, values) for line in paragraph)
                lines += [*([""] if lines else []), *filled.split("\n")]
        return lines


@dataclass(frozen=True, slots=True)
class NoticeTexts:
    """All that notifications say. What is missing is said in the words that come with us."""

    notices: Mapping[Action, NoticeText] = field(default_factory=dict)
    sentences: Mapping[str, str] = field(default_factory=dict)

    def find_notice(self, action: Action) -> NoticeText:
        return self.notices.get(action) or default_notice(action)

    def find_sentence(self, name: str) -> str:
        return self.sentences.get(name) or DEFAULT_SENTENCES[name]


def parse_notice_text(content: bytes) -> NoticeText:
    """Read a text of one kind of notification; raises TextError with every mistake."""
    faults: list[TextFault] = []
    lines = list(_split_lines(content, faults))
    headers: dict[str, str] = {}
    start = 0
    for start, line in enumerate(lines, 1):
        if not line.strip():
            break
        _read_header(start, line, headers, faults)
    body = lines[start:]
    if "subject" not in headers and not faults:
        faults.append(TextFault(1, "the first lines must give a Subject, then an empty line"))
    if not any(line.strip() for line in body) and not faults:
        faults.append(TextFault(len(lines), "there is no text below the empty line"))
    for number, line in enumerate(body, start + 1):
        faults += _check_names(number, line, LINE_NAMES, BLOCK_NAMES)
    if faults:
        raise TextError(faults)
    return NoticeText(
        headers["subject"],
        tuple(_split_paragraphs(body)),
        headers.get("from", _AUTHOR),
        headers.get("content-language"),
    )


def parse_sentences(content: bytes) -> dict[str, str]:
    """Read sentences about causes: `name: text`, continued by lines that begin with a space.

    `#` begins a comment. Raises TextError with every mistake.
    """
    faults: list[TextFault] = []
    sentences: dict[str, str] = {}
    name = ""
    for number, line in enumerate(_split_lines(content, faults), 1):
        if not line.strip() or line[0] == "#":
            continue
        faults += _check_names(number, line, SENTENCE_NAMES, ())
        if line[0] == " " and name:
            if name in sentences:
                sentences[name] = f"{sentences[name]} {line.strip()}".strip()
            continue
        found = _SENTENCE.match(line)
        name = found[1] if found else ""
        if found is None:
            faults.append(TextFault(number, "this is not `name: text`"))
        elif name not in DEFAULT_SENTENCES:
            faults.append(TextFault(number, f"there is no cause of the name {name}"))
        elif name in sentences:
            faults.append(TextFault(number, f"{name} stands here twice"))
        else:
            sentences[name] = found[2]
    if faults:
        raise TextError(faults)
    return sentences


def find_names(line: str) -> list[str]:
    """Give the names in braces, in their order."""
    return [found[1] for found in _PIECE.finditer(line) if found[1] is not None]


def fill_names(line: str, values: Mapping[str, str]) -> str:
    """Put values in the place of names, once: what a value holds is not looked at."""
    return _PIECE.sub(
        lambda found: values.get(found[1], "") if found[1] is not None else found[0][:1], line
    )


@lru_cache(maxsize=len(Action))
def default_notice(action: Action) -> NoticeText:
    """Give the text that comes with the program."""
    return parse_notice_text(DEFAULT_NOTICES[action].encode())


def _split_lines(content: bytes, faults: list[TextFault]) -> Iterator[str]:
    """Give the lines without their ends; what is not plain text is a fault."""
    if len(content) > MAX_TEXT_OCTETS:
        faults.append(TextFault(0, f"is larger than {MAX_TEXT_OCTETS} octets"))
        return
    for number, octets in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            line = octets.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError:
            faults.append(TextFault(number, "is not UTF-8"))
            continue
        if not line.replace("\t", " ").isprintable():
            faults.append(TextFault(number, "has a character that cannot be printed"))
        elif len(line) > MAX_LINE_CHARACTERS:
            faults.append(TextFault(number, f"is longer than {MAX_LINE_CHARACTERS} characters"))
        yield line.replace("\t", "    ").rstrip()


def _read_header(number: int, line: str, headers: dict[str, str], faults: list[TextFault]) -> None:
    found = _FIELD.match(line)
    name = found[1].lower() if found else ""
    if found is None or name not in _HEADERS:
        known = "Subject, From (a name without address) or Content-Language"
        faults.append(TextFault(number, f"before the empty line stand only {known}"))
    elif name in headers:
        faults.append(TextFault(number, f"{found[1]} stands here twice"))
    elif not found[2] or len(found[2]) > MAX_HEADER_CHARACTERS:
        most = MAX_HEADER_CHARACTERS
        faults.append(TextFault(number, f"{found[1]} must have 1 to {most} characters"))
    elif name == "content-language" and not _LANGUAGE.match(found[2]):
        faults.append(TextFault(number, 'Content-Language must be a language such as "de"'))
    else:
        headers[name] = found[2]
        faults += _check_names(number, line, HEADER_NAMES, ())


def _check_names(
    number: int, line: str, names: tuple[str, ...], blocks: tuple[str, ...]
) -> Iterator[TextFault]:
    for found in _PIECE.finditer(line):
        name = found[1]
        if name is None and len(found[0]) == 1:
            yield TextFault(number, f"a {found[0]} by itself is written {found[0] * 2}")
        elif name in blocks and line.strip() != found[0]:
            yield TextFault(number, f"{{{name}}} must stand alone on its line")
        elif name is not None and name not in (*names, *blocks):
            known = ", ".join(f"{{{each}}}" for each in (*names, *blocks))
            yield TextFault(number, f"{{{name}}} is unknown here; there are {known}")


def _split_paragraphs(lines: list[str]) -> Iterator[tuple[str, ...]]:
    """Split at empty lines. A line goes on in the next, unless a space or a block begins there."""
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if not line.strip():
            if paragraph:
                yield tuple(paragraph)
            paragraph = []
        elif paragraph and not (_stands_alone(line) or _stands_alone(paragraph[-1])):
            paragraph[-1] += f" {line}"
        else:
            paragraph.append(line)


def _stands_alone(line: str) -> bool:
    return line[0] == " " or line in _BLOCKS or line.endswith(":")


_DETAILS = """
What was tried (times are UTC):
{tried}

For people who run mail servers:
This is the mail system at host {hostname}. The message has the queue id {queue_id} here; it came at
{arrived} and has {size}.

{details}
"""

DEFAULT_NOTICES = {
    Action.FAILED: f"""Subject: Undelivered Mail Returned to Sender

Your message could not be delivered to {{recipients}}. It will not be tried again.

{{reasons}}

{{returned}}
If you need help, write to {{postmaster}} and include this report.
{_DETAILS}""",
    Action.DELAYED: f"""Subject: Delayed Mail (still being retried)

THIS IS A WARNING ONLY. YOU DO NOT NEED TO SEND YOUR MESSAGE AGAIN.

Your message has not been delivered to {{recipients}} yet.

{{reasons}}

The next try is due at {{next_try}}.

It is tried again until {{until}}; if it still cannot be delivered then, it comes back to you. If
you need help, write to {{postmaster}} and include this report.
{_DETAILS}""",
    Action.DELIVERED: f"""Subject: Successful Mail Delivery Report

Your message was delivered to {{recipients}}, as you asked to be told. This does not say that it was
read.
{_DETAILS}""",
    Action.RELAYED: f"""Subject: Successful Mail Delivery Report

Your message to {{recipients}} was handed on to a mail server that does not confirm deliveries. You
will be told if that server cannot deliver it, but not if it can.
{_DETAILS}""",
    Action.EXPANDED: f"""Subject: Successful Mail Delivery Report

Your message came to {{recipients}}, as you asked to be told. That stands for several addresses, and
the message goes on to each of them. You will not be told when it gets there.
{_DETAILS}""",
}
"""In the form that an operator's have."""
