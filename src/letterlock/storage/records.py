"""Values as the engines keep them: times as microseconds, small structures as JSON."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from letterlock.protocols.smtp.envelope import Notify

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_encode = msgspec.json.Encoder(order="deterministic", enc_hook=str).encode
_decode_mapping: Callable[[str | bytes], dict[str, Any]] = msgspec.json.Decoder(
    dict[str, Any]
).decode
_decode_texts: Callable[[str | bytes], dict[str, str]] = msgspec.json.Decoder(dict[str, str]).decode
_decode_numbers: Callable[[str | bytes], tuple[int, ...]] = msgspec.json.Decoder(
    tuple[int, ...]
).decode


def to_micros(moment: datetime) -> int:
    """Give microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    # Four times as fast as making a timedelta of its own.
    return _EPOCH + micros * _MICROSECOND


def from_optional_micros(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def to_duration(span: timedelta) -> int:
    """Give a span in microseconds."""
    return span // _MICROSECOND


def from_duration(micros: int) -> timedelta:
    return micros * _MICROSECOND


def to_text(text: str) -> str:
    """Make words of a peer storable: no NUL, no half of a surrogate pair."""
    if "\0" in text or not text.isascii():
        return text.replace("\0", "?").encode("utf-8", "replace").decode()
    return text


def to_json(value: Mapping[str, Any] | tuple[int, ...]) -> str:
    """Encode; what JSON has no form for becomes its text."""
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:
        loose = json.dumps(value, ensure_ascii=False, default=str)
        return loose.encode("utf-8", "replace").decode()


def mapping_from_json(text: str) -> dict[str, Any]:
    return _decode_mapping(text)


def texts_from_json(text: str) -> dict[str, str]:
    return _decode_texts(text)


def numbers_from_json(text: str) -> tuple[int, ...]:
    return _decode_numbers(text)


def format_notify(notify: frozenset[Notify]) -> str:
    return ",".join(sorted(notify))


def parse_notify(text: str) -> frozenset[Notify]:
    return frozenset(Notify(word) for word in text.split(",") if word)
