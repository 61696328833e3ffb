"""JSON objects of an ACME server, field by field: what is there is checked, what is more ignored.

RFC 8555 §7.1 (unknown fields are ignored, so that servers can grow), RFC 3339 §5.6 (times). Every
text, list and URL is bounded here; what the fields mean is in the modules beside.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import msgspec

from letterlock.base.printable import make_line
from letterlock.protocols.acme.base64url import Base64UrlError, decode_base64url

MAX_URL_CHARACTERS = 2048
MAX_TEXT_CHARACTERS = 2048
HTTPS_PORT = 443

# RFC 3986 §3, of which ACME uses this much (RFC 8555 §6.1: HTTPS only); no user, no fragment.
_URL = re.compile(
    r"https://(?:(?P<name>[A-Za-z0-9._-]{1,253})|\[(?P<ip>[0-9A-Fa-f:.]{2,45})\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<target>(?:/[!$-;=?-Z_a-z~%@]*)?)\Z"
)
# RFC 3339 §5.6, `date-time`
_DATE_TIME = re.compile(
    # Python 3.14 reads the hour 24 too, which RFC 3339 does not have.
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,12})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)


class ObjectError(ValueError):
    """An object breaks the rule that the message names."""


@dataclass(frozen=True, slots=True)
class Url:
    """An HTTPS URL. `text` is as the server gave it: requests are signed over just that.

    RFC 8555 §6.4. `target` is the path with its query, at least `/`.
    """

    text: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        return self.text


def parse_url(text: str) -> Url:
    """Parse an absolute HTTPS URL. Raises ObjectError."""
    found = _URL.match(text) if len(text) <= MAX_URL_CHARACTERS else None
    port = int(found["port"] or HTTPS_PORT) if found else 0
    if found is None or not 0 < port <= 65535:
        raise ObjectError(f"{text[:80]!r} is not a URL that begins with https://")
    host = found["name"] or found["ip"]
    return Url(text, host.lower(), port, found["target"] or "/")


def format_line(text: str, most: int = MAX_TEXT_CHARACTERS) -> str:
    """Make one printable line of a server's words."""
    return make_line(text, most)


class Fields:
    """One object. Methods raise ObjectError where a field has the wrong form."""

    def __init__(self, members: Mapping[str, object], name: str) -> None:
        self._members = members
        self._name = name

    def text(self, field: str) -> str | None:
        """Give a text; None: it is not there."""
        value = self._members.get(field)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
            raise self.fault(f"{field} is no text of at most {MAX_TEXT_CHARACTERS} characters")
        return value

    def required_text(self, field: str) -> str:
        value = self.text(field)
        if value is None:
            raise self.fault(f"{field} is missing")
        return value

    def url(self, field: str) -> Url | None:
        value = self.text(field)
        return None if value is None else parse_url(value)

    def required_url(self, field: str) -> Url:
        return parse_url(self.required_text(field))

    def moment(self, field: str) -> datetime | None:
        """Give a time, in UTC."""
        value = self.text(field)
        return None if value is None else parse_moment(value)

    def flag(self, field: str) -> bool:
        """Give a boolean; False: it is not there."""
        value = self._members.get(field)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.fault(f"{field} is neither true nor false")
        return value

    def number(self, field: str) -> int | None:
        value = self._members.get(field)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fault(f"{field} is no whole number")
        return value

    def octets(self, field: str, most: int) -> bytes | None:
        """Give what a text is the base64url of; None: it is not there."""
        value = self._members.get(field)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > (most * 4 + 2) // 3:
            raise self.fault(f"{field} is no base64url of at most {most} octets")
        try:
            return decode_base64url(value)
        except Base64UrlError as error:
            raise self.fault(f"{field}: {error}") from error

    def has(self, field: str) -> bool:
        """Tell whether it is there; null is as good as nothing."""
        return self._members.get(field) is not None

    def texts(self, field: str, most: int) -> tuple[str, ...]:
        """Give a list of texts; empty: it is not there."""
        for value in (values := self._list(field, most)):
            if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
                raise self.fault(f"{field} has something else than short texts in it")
        return cast("tuple[str, ...]", values)

    def one(self, field: str) -> "Fields | None":
        """Give an object in this one; None: it is not there."""
        value = self._members.get(field)
        return None if value is None else self._object(field, value)

    def many(self, field: str, most: int) -> tuple["Fields", ...]:
        """Give a list of objects; empty: it is not there."""
        return tuple(self._object(field, value) for value in self._list(field, most))

    def entries(self, most: int) -> Mapping[str, str]:
        """Give the members whose values are texts. Raises ObjectError for more than `most`."""
        if len(self._members) > most:
            raise self.fault(f"it has more than {most} members")
        return {
            key[:MAX_TEXT_CHARACTERS]: value[:MAX_TEXT_CHARACTERS]
            for key, value in self._members.items()
            if isinstance(value, str)
        }

    def members(self) -> Mapping[str, object]:
        """Give all of it, unchecked."""
        return self._members

    def fault(self, text: str) -> ObjectError:
        """Make the error that says what is wrong with this object."""
        return ObjectError(f"{self._name}: {text}")

    def _list(self, field: str, most: int) -> tuple[object, ...]:
        value = self._members.get(field)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.fault(f"{field} is no list")
        if len(value) > most:
            raise self.fault(f"{field} has more than {most} entries")
        return tuple(value)

    def _object(self, field: str, value: object) -> "Fields":
        if not isinstance(value, dict):
            raise self.fault(f"{field} is no object")
        return Fields(value, f"{self._name}'s {field}")


def parse_object(body: bytes, name: str) -> Fields:
    """Parse a JSON object; `name` says what it is, in errors. Raises ObjectError."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ObjectError(f"{name}: it is not JSON") from error
    if not isinstance(value, dict):
        raise ObjectError(f"{name}: it is no JSON object")
    return Fields(value, name)


def parse_moment(text: str) -> datetime:
    """Parse a time of RFC 3339, to UTC. Raises ObjectError."""
    if _DATE_TIME.match(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise ObjectError(f"{text[:40]!r} is not a time")


def format_moment(moment: datetime) -> str:
    """Format a time in UTC, to the second (RFC 3339 §5.6)."""
    return f"{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"
