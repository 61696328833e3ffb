"""A notice in words: the mail that the postmaster gets, and the same as JSON for a program.

RFC 3834 §5 (Auto-Submitted), RFC 8689 §5 (TLS-Required: a mail on TLS that is broken has to arrive
in spite of it). Words of others are in it, made harmless by `conditions`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from textwrap import wrap
from typing import Any

from letterlock.base.clock import format_time
from letterlock.storage.alerts import AlertKey, AlertText, Notice, Told, Turn

MAX_TOLD = 50
"""In one notice; `tlsrpt alerts` has all."""
MAX_SUBJECT_CHARACTERS = 120
_WIDTH = 76
_WORDS = {Turn.BEGAN: "new", Turn.GOES_ON: "goes on", Turn.ENDED: "over"}
_LABELS = 10


@dataclass(frozen=True, slots=True)
class Letter:
    """Whom the mail is from, to whom it goes, and what goes round the notice."""

    sender: str
    recipients: tuple[str, ...]
    hostname: str
    silence: timedelta


def describe(key: AlertKey, text: AlertText) -> dict[str, Any]:
    """Give an alert as it is told in JSON."""
    return {
        "rule": key.rule.value,
        "domain": key.domain or None,
        "subject": key.subject,
        "node": key.node or None,
        "what": text.what,
        "since": format_time(text.since),
        "evidence": list(text.evidence),
        "do": text.remedy,
    }


def describe_notice(notice: Notice) -> dict[str, Any]:
    """Give a notice as a program gets it."""
    told = [
        {"turn": each.turn.value, "note": each.note, **describe(each.key, each.text)}
        for each in notice.told[:MAX_TOLD]
    ]
    return {"id": notice.id, "made": format_time(notice.made), "alerts": told}


def make_subject(notice: Notice) -> str:
    """Say all in one short line of ASCII."""
    if len(notice.told) == 1:
        (told,) = notice.told
        over = "over: " if told.turn is Turn.ENDED else ""
        text = f"TLS alert: {over}{name(told.key, told.text)}"
    else:
        turns = Counter(each.turn for each in notice.told)
        numbers = ", ".join(f"{turns[turn]} {word}" for turn, word in _WORDS.items() if turns[turn])
        domains = sorted({each.key.domain for each in notice.told if each.key.domain})
        where = ", ".join(domains[:3]) + (", ..." if len(domains) > 3 else "")
        text = f"TLS alerts: {numbers}" + (f": {where}" if where else "")
    return _to_ascii(text)[:MAX_SUBJECT_CHARACTERS]


def name(key: AlertKey, text: AlertText) -> str:
    """Name an alert: what is wrong, and where."""
    return f"{key.domain}: {text.what}" if key.domain else text.what


def format_mail(notice: Notice, letter: Letter, date: str) -> bytes:
    """Write the mail; `date` is its Date. The same notice has the same Message-ID each time."""
    fields = (
        f"From: Letterlock <{letter.sender}>",
        f"To: {', '.join(letter.recipients)}",
        f"Subject: {make_subject(notice)}",
        f"Date: {date}",
        f"Message-ID: <{notice.id}.alert@{letter.hostname}>",
        "Auto-Submitted: auto-generated",
        "TLS-Required: No",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
    )
    lines = (*fields, *map(_to_ascii, _list_lines(notice, letter)))
    return b"".join(line.encode() + b"\r\n" for line in lines)


def _list_lines(notice: Notice, letter: Letter) -> Iterator[str]:
    for told in notice.told[:MAX_TOLD]:
        yield from _tell(told)
        yield ""
    if len(notice.told) > MAX_TOLD:
        yield f"and {len(notice.told) - MAX_TOLD} more"
        yield ""
    days = f"{letter.silence.total_seconds() / 86_400:g}"
    last = (
        f"What is open: letterlock tlsrpt alerts, on {letter.hostname}. What goes on is told again "
        f"after {days} days. Reports are what others say: look before you change something."
    )
    yield from _wrap(last)


def _tell(told: Told) -> Iterator[str]:
    words = f"{_WORDS[told.turn]}: {name(told.key, told.text)} [{told.key.rule}]"
    yield from _wrap(words, rest="  ")
    yield from _labelled("since", f"{told.text.since:%Y-%m-%d %H:%M} UTC")
    if told.turn is Turn.ENDED:
        yield from _labelled("now", told.note)
        return
    for place, line in enumerate(told.text.evidence):
        yield from _labelled("" if place else "evidence", line)
    yield from _labelled("do", told.text.remedy)


def _labelled(label: str, text: str) -> list[str]:
    first = f"  {label:{_LABELS}}"
    return _wrap(text, first, " " * (_LABELS + 2))


def _wrap(text: str, first: str = "", rest: str = "") -> list[str]:
    return wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    )


def _to_ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
