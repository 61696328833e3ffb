"""The repairs of one report: single values that real reports write in other ways, and their list.

RFC 8460 §4.4 (values), §4.5 (policies); RFC 3339 §5.6, RFC 5952. Each `take_` gives the value and,
where it was not written as it should be, words for that. None as the value: what it should be is
not clear, and it is unknown. What the values belong to is in `reading`.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

from letterlock.base.domains import MAX_DOMAIN_OCTETS, DomainError, parse_domain
from letterlock.protocols.tlsrpt.report import MAX_COUNT

MAX_KINDS = 100
"""Of repairs in the list of one report; the rest is counted."""
MAX_SHOWN_CHARACTERS = 80
MAX_KNOWN_NAMES = 1024
MAX_KNOWN_DAYS = 64
"""Remembered of all reports: those on our domains have the same names, and those of a day its ends.
Addresses are not: a large report has thousands."""
MAX_CONTACT_CHARACTERS = 320
"""Of one that is remembered."""
MAX_CONVERSIONS = 500
"""Of names outside ASCII in one report: each costs what a thousand other values cost."""

Taken = tuple[str | None, str | None]

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}\Z", re.ASCII)
# RFC 5952 §4, of addresses that most are: no group that is zero but those in `::`.
_GROUP = "[1-9a-f][0-9a-f]{0,3}"
_IPV6 = re.compile(
    rf"(?!::ffff:)(?=[0-9a-f]*(?::[0-9a-f]*){{2,6}}\Z)(?:{_GROUP}(?::{_GROUP})*)?::"
    rf"(?:{_GROUP}(?::{_GROUP})*)?\Z|{_GROUP}(?::{_GROUP}){{7}}\Z"
)
_IP_LITERAL = re.compile(r"\[(?:ipv6:)?([^\[\]]+)\]\Z", re.IGNORECASE)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}\Z")
# RFC 5322 §3.4.1: a dot-atom or a quoted string, "@", and a domain or an address literal.
_ADDR_SPEC = re.compile(
    r'(?:[^\s()<>\[\]:;@\\,."]+(?:\.[^\s()<>\[\]:;@\\,."]+)*|"(?:[^"\\\r\n]|\\[^\r\n])*")'
    r"@(?:[^\s()<>\[\]:;@\\,\"]+|\[[^\s\[\]\\]+\])\Z"
)
# A line of the policy (`mx: host`), a text that looks like an array (`[host]`).
_AROUND_PATTERN = re.compile(r"\A(?:mx:|[\s\[\]\"'])*+", re.IGNORECASE)
_BEHIND_PATTERN = " \t\r\n[]\"'"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+\Z")
_USUAL_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:[0-5]\dZ\Z", re.ASCII)
_USUAL_CHARACTERS = 20
_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)([Tt ])(\d\d):(\d\d):(\d\d)(?:\.(\d{1,30}))?"
    r"([Zz]|[+-]\d\d:\d\d)?\Z",
    re.ASCII,
)
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)\Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_KEPT = re.compile("[\0\ud800-\udfff]")


class Repairs:
    """The list in the making: alike repairs are one line, with the first place and their number."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], tuple[str, int]] = {}
        self._others = 0

    def note(self, where: str, kind: str, shown: Any = None) -> None:
        """Note one: its place (`policies[3].policy.policy-type`), what was wrong, the value."""
        key = (where.rpartition(".")[2].partition("[")[0], kind)
        if known := self._kinds.get(key):
            self._kinds[key] = (known[0], known[1] + 1)
        elif len(self._kinds) < MAX_KINDS:
            first = f"{where}: {kind}" if shown is None else f"{where}: {show(shown)}: {kind}"
            self._kinds[key] = (first, 1)
        else:
            self._others += 1

    def lines(self) -> tuple[str, ...]:
        """Give the list."""
        return tuple(self._format())

    def _format(self) -> Iterator[str]:
        for first, count in self._kinds.values():
            yield first if count == 1 else f"{first} ({count} times)"
        if self._others:
            yield f"and {self._others} more"


def show(value: Any) -> str:
    """Give a value of a report for a line of ours: short, and of one line."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    text = repr(value[: MAX_SHOWN_CHARACTERS + 1] if isinstance(value, str) else value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def take_text(value: Any) -> Taken:
    """Take a text; an empty one is none."""
    if isinstance(value, str):
        kept = _NOT_KEPT.sub("\ufffd", value)
        if not kept:
            return None, "empty: unknown"
        return kept, None if kept == value else "characters that are none are replaced"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value), "a number: read as text"
    return None, "not a text: unknown"


def take_word(value: Any) -> Taken:
    """Take a word of a registry, which is in lower case there and has hyphens."""
    text, why = take_text(value)
    if text is None:
        return text, why
    word = text.strip().lower().replace("_", "-")
    return word, why or (None if word == text else "read in lower case, with hyphens")


def take_count(value: Any) -> tuple[int | None, str | None]:
    """Take a count of sessions, from 0 to MAX_COUNT."""
    why = None
    if isinstance(value, str):
        if not (re.fullmatch(r"\s*\d{1,16}\s*", value, re.ASCII)):
            return None, "not a number: unknown"
        value, why = int(value), "a text: read as a number"
    elif isinstance(value, float) and value.is_integer():
        value, why = int(value), "a fraction: read as an integer"
    if isinstance(value, bool) or not isinstance(value, int):
        return None, "missing: unknown" if value is None else "not a count: unknown"
    if value < 0:
        return None, "negative: unknown"
    if value > MAX_COUNT:
        return None, "too large for a count: unknown"
    return value, why


def take_address(text: str) -> Taken:
    """Take an IP address; it is given as RFC 5952 writes it."""
    if _IPV4.match(text) or _IPV6.match(text):
        return text, None
    bare = text.strip()
    if literal := _IP_LITERAL.match(bare):
        bare = literal[1]
    try:
        # A zone (`%eth0`) means nothing on another machine, and may be any text.
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None, "not an IP address: unknown"
    written = str(address)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        written = f"::ffff:{address.ipv4_mapped}"
    return written, None if written == text else "not as RFC 5952 writes it: rewritten"


class Names:
    """Takes domain names; converts a limited number of those outside ASCII."""

    def __init__(self) -> None:
        self._left = MAX_CONVERSIONS

    def take_domain(self, text: str) -> Taken:
        """Take a Policy Domain: in lower case, in A-labels, without a final dot."""
        if len(text) <= MAX_DOMAIN_OCTETS and _is_usual_name(text):
            return text, None
        name = self._parse(text)
        if name is None:
            return None, "not a domain name: unknown"
        return name, self._compare(text, name)

    def take_host(self, text: str) -> Taken:
        """Take a host name; what is none is kept."""
        if len(text) <= MAX_DOMAIN_OCTETS and _is_usual_name(text):
            return text, None
        name = self._parse(text)
        if name is None:
            return text, "not a host name: kept"
        return name, self._compare(text, name)

    def take_pattern(self, text: str) -> Taken:
        """Take a pattern of MX host names (RFC 8461 §4.1); what is none is kept."""
        if len(text) <= MAX_DOMAIN_OCTETS and _is_usual_name(text.removeprefix("*.")):
            return text, None
        bare = _AROUND_PATTERN.sub("", text).rstrip(_BEHIND_PATTERN)
        why = None if bare == text else "more than the pattern: left out"
        host, other_why = self.take_host(bare.removeprefix("*."))
        if host is not None and bare.startswith("*."):
            host = f"*.{host}"
        return host, why or other_why

    def _parse(self, text: str) -> str | None:
        bare = text.strip()
        if not bare.isascii():
            self._left -= 1
            if self._left < 0:
                return None
        if len(bare) > MAX_DOMAIN_OCTETS + 1:
            return None
        try:
            return parse_domain(bare)
        except DomainError:
            return None

    def _compare(self, text: str, name: str) -> str | None:
        # RFC 4343: case means nothing; RFC 8460 §4.4: A-labels, and not U-labels.
        return None if text.lower() == name else "not A-labels without a final dot: rewritten"


@lru_cache(MAX_KNOWN_NAMES)
def _is_usual_name(text: str) -> bool:
    """Say if a name, of at most MAX_DOMAIN_OCTETS, is written as most are."""
    return _HOST.match(text) is not None


def take_contact(text: str) -> Taken:
    """Take the e-mail address of who is responsible; what is none is kept."""
    is_short = len(text) <= MAX_CONTACT_CHARACTERS
    return _take_known_contact(text) if is_short else _take_contact(text)


@lru_cache(MAX_KNOWN_NAMES)
def _take_known_contact(text: str) -> Taken:
    return _take_contact(text)


def _take_contact(text: str) -> Taken:
    bare = text.strip()
    if bare[:7].lower() == "mailto:":
        bare = bare[7:]
    if not _ADDR_SPEC.match(bare):
        return text, "not an e-mail address: kept"
    return bare, None if bare == text else "more than the address: left out"


def take_uri(text: str) -> Taken:
    """Take a URI; one that is broken over lines (RFC 8460 §B) is put together."""
    if _URI.match(text):
        return text, None
    joined = "".join(text.split())
    # Of words with a colon in them no URI is made.
    if joined.startswith(("https://", "http://")) and _URI.match(joined):
        return joined, "blanks in the URI are left out"
    return text, "not a URI: kept"


def take_moment(value: Any, *, is_end: bool = False) -> tuple[datetime | None, str | None]:
    """Take a date-time, in UTC. A day by itself stands for its first second, or its last."""
    if isinstance(value, str) and len(value) == _USUAL_CHARACTERS:
        usual = _take_usual_moment(value)
        if usual is not None:
            return usual
    if isinstance(value, str) and (date_time := _DATE_TIME.match(value)):
        return _guard(_read_date_time, date_time)
    if isinstance(value, str) and (day := _DAY.match(value.strip())):
        return _guard(_read_day_end if is_end else _read_day, day)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _guard(_read_seconds, value)
    if isinstance(value, str) and (text := value.strip()) != value:
        moment, why = take_moment(text, is_end=is_end)
        return moment, why or "blanks around it"
    return None, "missing: unknown" if value is None else "not a date-time: unknown"


@lru_cache(MAX_KNOWN_DAYS)
def _take_usual_moment(text: str) -> tuple[datetime | None, str | None] | None:
    """Take what is written as most are; None: it is not."""
    if _USUAL_DATE_TIME.match(text) is None:
        return None
    return _guard(datetime.fromisoformat, text)


def _guard(
    read: Callable[[Any], tuple[datetime, str | None] | datetime], value: Any
) -> tuple[datetime | None, str | None]:
    try:
        found = read(value)
    except (ValueError, OverflowError):
        return None, "no such moment: unknown"
    return (found, None) if isinstance(found, datetime) else found


def _read_seconds(value: float) -> tuple[datetime, str]:
    return _EPOCH + timedelta(seconds=int(value)), "seconds since 1970, not a date-time"


def _read_day_end(found: re.Match[str]) -> tuple[datetime, str]:
    day, why = _read_day(found)
    return day + timedelta(days=1, seconds=-1), why


def _read_day(found: re.Match[str]) -> tuple[datetime, str]:
    year, month, day = map(int, found.groups())
    return datetime(year, month, day, tzinfo=UTC), "a day without a time"


def _read_date_time(found: re.Match[str]) -> tuple[datetime, str | None]:
    year, month, day, separator, hour, minute, second, fraction, zone = found.groups()
    faults = []
    if separator == " ":
        faults.append("a blank stands for the T")
    if not zone:
        faults.append("no time zone: read as UTC")
    is_midnight = (hour, minute, second) == ("24", "00", "00")
    if is_midnight:
        faults.append("there is no hour 24: read as the next midnight")
    # RFC 3339 §5.7: a leap second may be told; a `datetime` has none.
    seconds = 59 if second == "60" else int(second)
    hours = 0 if is_midnight else int(hour)
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    moment = datetime(int(year), int(month), int(day), hours, int(minute), seconds, micro, UTC)
    moment += timedelta(days=is_midnight) - _read_offset(zone)
    return moment, "; ".join(faults) or None


def _read_offset(zone: str | None) -> timedelta:
    if not zone or zone in "Zz":
        return timedelta()
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 23 or minutes > 59:
        raise ValueError(zone)
    size = timedelta(hours=hours, minutes=minutes)
    return -size if zone[0] == "-" else size
