"""JSON of unknown origin, within bounds: a value for it, with what was wrong about the text.

RFC 8259 and RFC 7493 (I-JSON). Read in spite of the faults that real reports have: another
encoding, a byte order mark, octets behind the end, line ends within strings, NaN, numbers that no
counter has, and names that stand twice. What is no JSON for other reasons is refused.
"""

import json
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final

from letterlock.protocols.tlsrpt.limits import (
    MAX_JSON_DEPTH,
    MAX_JSON_MEMBERS,
    MAX_REPORT_OCTETS,
)
from letterlock.protocols.tlsrpt.report import Fault, ReportError

_MAX_DIGITS = 30
_BRACKETS = b"[]{}"
_STEPS: Final = tuple({"[": 1, "{": 1, "]": -1, "}": -1}.get(chr(octet), 0) for octet in range(256))
_OTHER_OCTETS: Final = bytes(octet for octet in range(256) if octet not in _BRACKETS)
_NO_MEMBERS: Final = bytes(octet for octet in range(256) if octet not in b",{[")
_NO_QUOTES: Final = bytes(octet for octet in range(256) if octet != ord('"'))
_MAX_QUOTES: Final = 4 * MAX_JSON_MEMBERS + 4
_BLANKS = " \t\r\n\0"


class Contradiction:
    """Stands for the value of a name that one object has twice, with different values."""

    def __repr__(self) -> str:
        return "two different values"


class OddNumber:
    """Stands for a number that JSON does not have, or that is longer than any counter."""

    def __init__(self, text: str) -> None:
        self._text = text if len(text) <= _MAX_DIGITS else f"{text[:_MAX_DIGITS]}..."

    def __repr__(self) -> str:
        return self._text


def check_size(octets: bytes) -> None:
    """Refuse what could take too much memory, without looking closely. Raises ReportError.

    What stands in strings counts here too: so a report with very many commas in its texts would be
    refused, and there is none.
    """
    if len(octets) > MAX_REPORT_OCTETS:
        raise ReportError(Fault.TOO_LARGE, f"more than {MAX_REPORT_OCTETS >> 20} MiB of JSON")
    if len(octets) <= MAX_JSON_MEMBERS:
        return
    # What is left is counted in half the time that count takes for octets that come so often.
    members = len(octets.translate(None, _NO_MEMBERS))
    # Between two strings there is a colon or a comma.
    if members > MAX_JSON_MEMBERS or len(octets.translate(None, _NO_QUOTES)) > _MAX_QUOTES:
        raise ReportError(Fault.TOO_LARGE, f"more than {MAX_JSON_MEMBERS} members in the JSON")


def parse_json(octets: bytes) -> tuple[Any, list[str]]:
    """Parse one JSON text; gives its value and what was wrong with the text.

    Objects are dicts whose values may be a Contradiction, numbers int, float or OddNumber; texts
    may hold NUL and lone surrogates. Raises ReportError.
    """
    check_size(octets)
    _check_depth(octets)
    text, faults = _decode(octets)
    try:
        value, end = _decode_json(_STRICT, text)
    except json.JSONDecodeError:
        try:
            value, end = _decode_json(_WITH_CONTROLS, text)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise ReportError(Fault.NOT_JSON, f"{error.msg} ({where})") from None
        faults.append("control characters stand in strings as they are")
    faults += _find_more_faults(text, value, end)
    return value, faults


def _decode_json(decoder: json.JSONDecoder, text: str) -> tuple[Any, int]:
    start = len(text) - len(text.lstrip(" \t\r\n"))
    try:
        return decoder.raw_decode(text, start)
    except RecursionError:  # only where the interpreter's own limit is set very low
        raise ReportError(Fault.TOO_LARGE, "too deep for this machine") from None


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    value = _Repeated(value)
    for name, member in pairs:
        if value[name] != member:
            value[name] = Contradiction()
    return value


class _Repeated(dict[str, Any]):
    """An object in which a name stands twice."""


def _make_integer(text: str) -> int | OddNumber:
    return int(text) if len(text) <= _MAX_DIGITS else OddNumber(text)


def _make_float(text: str) -> float | OddNumber:
    value = float(text) if len(text) <= 1000 else float("inf")
    return OddNumber(text) if value in {float("inf"), float("-inf")} else value


def _make_decoder(*, strict: bool) -> json.JSONDecoder:
    return json.JSONDecoder(
        strict=strict,
        object_pairs_hook=_make_object,
        parse_int=_make_integer,
        parse_float=_make_float,
        parse_constant=OddNumber,
    )


_STRICT = _make_decoder(strict=True)
_WITH_CONTROLS = _make_decoder(strict=False)


def _check_depth(octets: bytes) -> None:
    """Refuse what is nested too deep. Raises ReportError."""
    if octets.count(b"[") + octets.count(b"{") <= MAX_JSON_DEPTH:
        return
    # What stands in strings goes first; without escapes in them they end at each second quote.
    plain = octets.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(plain.split(b'"')[::2]).translate(None, _OTHER_OCTETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_JSON_DEPTH:
        raise ReportError(
            Fault.TOO_LARGE, f"more than {MAX_JSON_DEPTH} objects and arrays in each other"
        )


def _decode(octets: bytes) -> tuple[str, list[str]]:
    encoding = json.detect_encoding(octets)
    try:
        text = octets.decode(encoding)
    except UnicodeDecodeError:
        return octets.decode("latin-1"), [f"not {encoding}: read as Latin-1"]
    if encoding == "utf-8":
        return text, []
    if encoding == "utf-8-sig":
        return text, ["a byte order mark stands before it"]
    return text, [f"in {encoding}, not in UTF-8"]


def _find_more_faults(text: str, value: Any, end: int) -> Iterator[str]:
    if text[end:].strip(_BLANKS):
        yield "what stands behind its end is left out"
    elif "\0" in text[end:]:
        yield "zeros stand behind its end"
    if has_repeated_names(value):
        yield "an object has a name twice: with different values, it has none"


def has_repeated_names(value: Any) -> bool:
    """Say whether any object in a value of `parse_json` has a name twice."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if isinstance(each, _Repeated):
                return True
            waiting += [member for member in each.values() if isinstance(member, (dict, list))]
        elif isinstance(each, list):
            waiting += [member for member in each if isinstance(member, (dict, list))]
    return False
