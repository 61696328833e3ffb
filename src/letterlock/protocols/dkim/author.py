"""The domains of who a message is from, as its From field names them.

RFC 5322 §3.4 (mailboxes and groups), §3.2.2 (comments), §3.6.2 (From). Only what signing needs: an
address is what stands in angle brackets, or else all there is between two commas.
"""

import re
from collections.abc import Iterator

from letterlock.base.domains import Domain, DomainError, parse_domain

MAX_AUTHORS = 20
MAX_FIELD_OCTETS = 16 * 1024
"""Of a From field that is looked at."""

# A quoted string, a quoted pair, what gives structure, or text up to the next of these.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|[(),:;<>]|[^"\\(),:;<>]+|["\\]', re.DOTALL)


def find_author_domains(value: bytes) -> tuple[Domain, ...]:
    """Give the domains in the value of a From field, in their order; what is unreadable is out."""
    if len(value) > MAX_FIELD_OCTETS:
        return ()
    text = value.replace(b"\r\n", b"").decode("utf-8", "replace")
    found: list[Domain] = []
    for address in _list_addresses(text):
        local, at, domain = address.rpartition("@")
        if not (local and at):
            continue
        try:
            found.append(parse_domain(domain))
        except DomainError:
            continue
        if len(found) == MAX_AUTHORS:
            break
    return tuple(found)


def _list_addresses(text: str) -> Iterator[str]:
    """Give what may be an addr-spec, without white space and comments."""
    plain: list[str] = []
    angle: list[str] | None = None
    is_open = False
    for part in _drop_comments(text):
        if is_open and angle is not None and part != ">":
            angle.append(part)
        elif part == "<" and angle is None:
            angle, is_open = [], True
        elif part == ">":
            is_open = False
        elif part == ":":
            plain = []  # it was the name of a group
        elif part in {",", ";"}:
            yield _join(plain if angle is None else angle)
            plain, angle = [], None
        else:
            plain.append(part)
    yield _join(plain if angle is None else angle)


def _drop_comments(text: str) -> Iterator[str]:
    depth = 0
    for part in _TOKEN.findall(text):
        if part == "(":
            depth += 1
        elif part == ")":
            depth = max(0, depth - 1)
        elif depth == 0:
            yield part


def _join(parts: list[str]) -> str:
    return "".join(part if part[0] == '"' else re.sub(r"\s+", "", part) for part in parts)
