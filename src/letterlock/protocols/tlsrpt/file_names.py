"""The file name of a report: who sends it about whom, for which time.

RFC 8460 §5.1. The report itself is right where its file name says something else (§5.6).
"""

import re

from msgspec import Struct

from letterlock.base.domains import DomainError, parse_domain

MAX_NAME_CHARACTERS = 1000
_NAME = re.compile(
    r"(?P<sender>[^!\s/\\]+)!(?P<domain>[^!\s/\\]+)!(?P<begin>\d{1,18})!(?P<end>\d{1,18})"
    r"(?:!(?P<id>[A-Za-z0-9]+))?\.(?P<extension>json(?:\.gz)?)\Z",
    re.ASCII,
)
# What real reporters have: `!` within the identifier, other endings.
_LOOSE_NAME = re.compile(
    r"[^!]+![^!]+!\d{1,18}!\d{1,18}(?:![^/\\]*)?(?:\.json)?\.(?:json|gz|zip)\Z", re.IGNORECASE
)


class FileName(Struct, frozen=True):
    """What it says. `begin` and `end` are seconds since 1970; domains are as `parse_domain` has."""

    sender: str
    policy_domain: str
    begin: int
    end: int
    unique_id: str | None = None
    is_packed: bool = True


def parse_file_name(text: str) -> FileName | None:
    """Parse a file name; None for one that is not as RFC 8460 recommends.

    White space, which folding leaves in it, is left out.
    """
    found = _NAME.match("".join(text.split())) if len(text) <= MAX_NAME_CHARACTERS else None
    if found is None:
        return None
    try:
        sender, domain = parse_domain(found["sender"]), parse_domain(found["domain"])
    except DomainError:
        return None
    is_packed = found["extension"] == "json.gz"
    return FileName(sender, domain, int(found["begin"]), int(found["end"]), found["id"], is_packed)


def format_file_name(name: FileName) -> str:
    """Format a file name. Raises ValueError for an identifier of more than letters and digits."""
    if name.unique_id is not None and not re.fullmatch(r"[A-Za-z0-9]+", name.unique_id):
        raise ValueError("the unique-id of a file name has letters and digits only")
    parts = [name.sender, name.policy_domain, str(name.begin), str(name.end)]
    if name.unique_id is not None:
        parts.append(name.unique_id)
    return "!".join(parts) + (".json.gz" if name.is_packed else ".json")


def is_file_name_of_report(text: str) -> bool:
    """Say whether a file name is meant to be that of a report, in whatever form."""
    plain = "".join(text[:MAX_NAME_CHARACTERS].split())
    return _LOOSE_NAME.match(plain) is not None
