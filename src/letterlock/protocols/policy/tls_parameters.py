"""TLS versions and ciphers as Postfix's tables write them, within what the RFCs still allow.

RFC 8996 §4, §5 (TLS 1.0 and 1.1), RFC 9325 §3.1.1, §4.1, §4.2; RFC 7435 §3 and RFC 9325 §5.2 see
the one exception: where the alternative is clear text, and only when asked for by name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
DEFAULT_MIN_VERSION = "TLSv1.2"

STRICT_CIPHERS = (
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-CHACHA20-POLY1305"
)
"""RFC 9325 §4.2: forward secrecy and AEAD only; its first choice first."""

OPPORTUNISTIC_CIPHERS = f"{STRICT_CIPHERS}:ECDHE+AES:RSA+AES"
"""And, after these, what is still better than clear text."""

_NEVER = "!aNULL:!eNULL"
_DEFAULT_GRADES = ("medium", "low", "export")  # Postfix 3.8 and later take the last two as medium.
_SSL_VERSIONS = ("SSLv2", "SSLv3")
_ALL = {name.lower(): name for name in (*_SSL_VERSIONS, *VERSIONS)}
# OpenSSL ciphers(1): names of ciphers, keywords, and `+` between them.
_CIPHER = re.compile(r"[A-Za-z0-9_-]+(?:\+[A-Za-z0-9_-]+)*\Z")


class ParameterError(ValueError):
    """A protocol or cipher setting cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class VersionRange:
    """The versions that may be negotiated; `highest` of None is the newest there is."""

    lowest: str = DEFAULT_MIN_VERSION
    highest: str | None = None


@dataclass(frozen=True, slots=True)
class CipherWords:
    """A choice of ciphers in the words of Postfix's tables. `grade`: high, medium, or None."""

    grade: str | None = None
    excluded: tuple[str, ...] = ()


NO_WORDS = CipherWords()
"""Nothing was written of ciphers."""


def parse_protocols(text: str | None, *, is_old_allowed: bool) -> VersionRange:
    """Parse `>=TLSv1.2`, `<=TLSv1.3`, `!TLSv1`, `TLSv1.2:TLSv1.3`; None gives the default.

    TLS 1.0 and 1.1 are left out unless `is_old_allowed` and the text names one as wanted: Postfix's
    usual `!SSLv2:!SSLv3` asks for neither. Raises ParameterError.
    """
    if text is None:
        return VersionRange()
    wanted: set[str] = set()
    unwanted: set[str] = set()
    low, high = _SSL_VERSIONS[0], VERSIONS[-1]
    is_floor_named = False
    for item in filter(None, re.split(r"[:,\s]+", text)):
        if item.startswith(">="):
            low, is_floor_named = _parse_version(item[2:]), True
        elif item.startswith("<="):
            high = _parse_version(item[2:])
        elif item.startswith("!"):
            unwanted.add(_parse_version(item[1:]))
        else:
            wanted.add(_parse_version(item))
    order = list(_ALL.values())
    bounded = order[order.index(low) : order.index(high) + 1]
    allowed = [name for name in bounded if name not in unwanted and (not wanted or name in wanted)]
    is_old_named = is_old_allowed and (is_floor_named or bool(wanted))
    floor = VERSIONS[0] if is_old_named else DEFAULT_MIN_VERSION
    return _find_range([name for name in allowed if order.index(name) >= order.index(floor)], text)


def parse_ciphers(
    grade: str | None, exclude: Sequence[str] = (), *, is_old_allowed: bool
) -> str | None:
    """Give an OpenSSL list for a grade of Postfix's (or a list), less what is excluded.

    None where the default list of the level is meant. Ciphers of TLS 1.3 can't be excluded.
    Raises ParameterError.
    """
    excluded = _split(exclude)
    for item in excluded:
        if not _CIPHER.match(item):
            raise ParameterError(f"exclude: {item[:40]!r} is not a cipher or a kind of ciphers")
    base = _find_base(grade)
    if base is None and not excluded:
        return None
    default = OPPORTUNISTIC_CIPHERS if is_old_allowed else STRICT_CIPHERS
    return ":".join([base or default, _NEVER, *(f"!{item}" for item in excluded)])


def find_cipher_words(grade: str | None, exclude: Sequence[str] = ()) -> CipherWords | None:
    """Give what `parse_ciphers` could parse in Postfix's words; None: it is a list of ciphers.

    The grades low and export are medium, as Postfix 3.8 and later have it.
    """
    word = grade.lower() if grade is not None else None
    if word in _DEFAULT_GRADES:
        word = "medium"
    return CipherWords(word, tuple(_split(exclude))) if word in (None, "high", "medium") else None


def _split(texts: Sequence[str]) -> list[str]:
    return [item for text in texts for item in re.split(r"[:,\s]+", text) if item]


def _find_base(grade: str | None) -> str | None:
    if grade is None or grade.lower() in _DEFAULT_GRADES:
        return None
    if grade.lower() == "high":
        return STRICT_CIPHERS
    if grade.lower() == "null":
        raise ParameterError("ciphers: null does not encrypt (RFC 9325 §4.1)")
    items = grade.split(":")
    is_list = len(items) > 1 or "-" in grade
    if not is_list or not all(_CIPHER.match(item.removeprefix("!")) for item in items):
        raise ParameterError(f"ciphers: {grade[:40]!r} is not a grade (high, medium) or a list")
    return grade


def _parse_version(text: str) -> str:
    version = _ALL.get(text.lower())
    if version is None:
        raise ParameterError(f"protocols: {text[:40]!r} is not one of {', '.join(VERSIONS)}")
    return version


def _find_range(allowed: list[str], text: str) -> VersionRange:
    if not allowed:
        raise ParameterError(f"protocols: {text[:80]!r} leaves no version that may be used")
    first, last = VERSIONS.index(allowed[0]), VERSIONS.index(allowed[-1])
    if last - first + 1 != len(allowed):
        raise ParameterError(f"protocols: {text[:80]!r} leaves out a version between two others")
    return VersionRange(allowed[0], None if allowed[-1] == VERSIONS[-1] else allowed[-1])
