"""What rspamd says of a message: its answer to `/checkv2`, in JSON.

Written for version 3, and read as its own milter does. What is missing has a default, and what is
not known here is left out; only an answer without an action is none. Everything is bounded: an
answer repeats what strangers wrote. What follows from it is `services.filter.rspamd`'s.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

MAX_ANSWER_OCTETS = 1024 * 1024
MAX_FIELDS = 500
"""Of header fields to add, and as many to remove."""
MAX_RECIPIENTS = 1000
MAX_SYMBOLS = 1000
MAX_TEXT_CHARACTERS = 1000
"""Of a message for the client, and of names; values of fields are bounded where they are put."""


class AnswerError(ValueError):
    """What came is no answer of rspamd's."""


class AddedField(Struct, frozen=True):
    """A header field to add: at the bottom, or before the field that is number `order`.

    Fields are counted from 0, our own Received first; below 0 from the bottom.
    """

    name: str
    value: str
    order: int | None = None


class RemovedField(Struct, frozen=True):
    """A header field to take out: the `number`th of its name; 0 all, below 0 from the bottom."""

    name: str
    number: int


class Symbol(Struct, frozen=True):
    """A rule that matched, and what it was worth."""

    name: str
    score: float


class RspamdAnswer(Struct, frozen=True):
    """What is to be done, and what led to it.

    `action` is rspamd's name for it, or one that its owner made; `message` is for the client.
    `on_reject` is what its owner wants in place of a refusal: `discard` or `quarantine`, or "".
    """

    action: str
    score: float = 0.0
    required_score: float = 0.0
    symbols: tuple[Symbol, ...] = ()
    message: str | None = None
    subject: str | None = None
    added: tuple[AddedField, ...] = ()
    removed: tuple[RemovedField, ...] = ()
    signatures: tuple[str, ...] = ()
    """Values of DKIM-Signature."""
    spam_fields: tuple[AddedField, ...] = ()
    """What marks spam, in place of the usual field."""
    sender: str | None = None
    added_recipients: tuple[str, ...] = ()
    removed_recipients: tuple[str, ...] = ()
    on_reject: str = ""
    is_advice: bool = False
    """The action is only to be told in a header field."""


def parse_answer(octets: bytes) -> RspamdAnswer:
    """Raise AnswerError."""
    if len(octets) > MAX_ANSWER_OCTETS:
        raise AnswerError(f"more than {MAX_ANSWER_OCTETS} octets")
    try:
        document = json.loads(octets.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise AnswerError("not JSON") from None
    fields = _mapping(document)
    action = _text(fields.get("action"))
    if not action:
        reason = _text(fields.get("error"))
        raise AnswerError(f"an error: {reason}" if reason else "no action")
    milter = _mapping(fields.get("milter"))
    return RspamdAnswer(
        action=action,
        score=_number(fields.get("score")),
        required_score=_number(fields.get("required_score")),
        symbols=_read_symbols(_mapping(fields.get("symbols"))),
        message=_text(_mapping(fields.get("messages")).get("smtp_message")),
        subject=_string(fields.get("subject")),
        added=tuple(_list_added(milter.get("add_headers")))[:MAX_FIELDS],
        removed=tuple(_list_removed(milter.get("remove_headers")))[:MAX_FIELDS],
        signatures=tuple(_list_strings(fields.get("dkim-signature")))[:MAX_FIELDS],
        spam_fields=tuple(_list_spam_fields(milter.get("spam_header")))[:MAX_FIELDS],
        sender=_text(milter.get("change_from")),
        added_recipients=tuple(_list_strings(milter.get("add_rcpt")))[:MAX_RECIPIENTS],
        removed_recipients=tuple(_list_strings(milter.get("del_rcpt")))[:MAX_RECIPIENTS],
        on_reject=_text(milter.get("reject")) or "",
        is_advice=milter.get("no_action") is True,
    )


def describe(answer: RspamdAnswer, max_symbols: int = 15) -> str:
    """Give an answer as one line for a log: what counts most of it, the heaviest rules first."""
    heavy = sorted(answer.symbols, key=lambda symbol: -abs(symbol.score))
    names = ",".join(f"{symbol.name}({symbol.score:.2f})" for symbol in heavy[:max_symbols])
    more = f",and {len(heavy) - max_symbols} more" if len(heavy) > max_symbols else ""
    return f"{answer.action} [{answer.score:.2f}/{answer.required_score:.2f}] [{names}{more}]"


def _read_symbols(symbols: Mapping[str, Any]) -> tuple[Symbol, ...]:
    pairs = list(symbols.items())[:MAX_SYMBOLS]
    return tuple(
        Symbol(name[:MAX_TEXT_CHARACTERS], _number(_mapping(value).get("score")))
        for name, value in pairs
    )


def _list_added(headers: object) -> Iterator[AddedField]:
    """Read `{name: value}`, where a value may be `{"value":, "order":}`, or an array of both."""
    for name, values in _mapping(headers).items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, str):
                yield AddedField(name, value)
                continue
            text = _mapping(value).get("value")
            if isinstance(text, str):
                order = _mapping(value).get("order", _mapping(value).get("index"))
                yield AddedField(name, text, order if _is_whole(order) else None)


def _list_removed(headers: object) -> Iterator[RemovedField]:
    for name, numbers in _mapping(headers).items():
        for number in numbers if isinstance(numbers, list) else [numbers]:
            if _is_whole(number):
                yield RemovedField(name, number)


def _list_spam_fields(field: object) -> Iterator[AddedField]:
    """Read the value of the usual field, whose name is then "", or fields by name."""
    if isinstance(field, str):
        yield AddedField("", field)
    for name, value in _mapping(field).items():
        if isinstance(value, str):
            yield AddedField(name, value)


def _list_strings(value: object) -> Sequence[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _text(value: object) -> str | None:
    return value[:MAX_TEXT_CHARACTERS] if isinstance(value, str) else None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> float:
    """Give a number that can be shown; 0 for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    try:
        number = float(value)
    except OverflowError:
        return 0.0
    return number if math.isfinite(number) else 0.0
