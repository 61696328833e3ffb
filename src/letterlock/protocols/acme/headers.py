"""Header fields of ACME's responses: links to other resources, and how long to wait.

RFC 8288 §3 (Link; RFC 8555 §7.1, §7.4.2), RFC 9110 §10.2.3 (Retry-After; RFC 8555 §6.6, §7.5.1).
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from letterlock.protocols.acme.fields import ObjectError, Url, parse_url

MAX_LINKS = 20
MAX_HEADER_CHARACTERS = 2048

_LINK = re.compile(r"\s*<(?P<url>[^<>]*)>(?P<parameters>(?:[^,\"]|\"[^\"]*\")*)(?:,|\Z)")
_PARAMETER = re.compile(
    r";\s*(?P<name>[A-Za-z0-9*_-]+)\s*=\s*(?:\"(?P<quoted>[^\"]*)\"|(?P<token>[^\s;,\"]+))"
)
_SECONDS = re.compile(r"[0-9]{1,9}\Z")


def find_links(values: Iterable[bytes], relation: str) -> tuple[Url, ...]:
    """Find the absolute URLs of a relation in Link headers; others are passed over."""
    found: dict[Url, None] = {}
    for value in values:
        for link in _LINK.finditer(value[:MAX_HEADER_CHARACTERS].decode("latin-1")):
            if relation in _find_relations(link["parameters"]) and len(found) < MAX_LINKS:
                try:
                    found[parse_url(link["url"])] = None
                except ObjectError:
                    continue
    return tuple(found)


def parse_retry_after(value: bytes, now: datetime) -> timedelta | None:
    """Give how long to wait, at least zero; None: it is neither seconds nor a date."""
    text = value[:MAX_HEADER_CHARACTERS].decode("latin-1").strip()
    if _SECONDS.match(text):
        return timedelta(seconds=int(text))
    try:
        moment = parsedate_to_datetime(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return max(moment - now, timedelta())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def format_link(url: str, relation: str) -> str:
    """Make the value of a Link header; the URL is one of ours (RFC 8288 §3)."""
    return f'<{url}>;rel="{relation}"'


def format_retry_after(wait: timedelta) -> str:
    """Make the value of Retry-After: whole seconds, at least one, never too few."""
    return str(max(1, -(-wait // timedelta(seconds=1))))


def _find_relations(parameters: str) -> list[str]:
    """Give the relations of a link: the first `rel` counts (RFC 8288 §3.3)."""
    for found in _PARAMETER.finditer(parameters):
        if found["name"].lower() == "rel":
            return (found["quoted"] or found["token"] or "").lower().split()
    return []
