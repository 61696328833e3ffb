"""MTA-STS policies: parse the policy file, write ours, match MX hosts against one.

RFC 8461 §3.2 (format), §4.1 (matching). Fetching is in `network.https`; how long a policy holds is
in `cache`.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from letterlock.base.domains import Domain, DomainError, parse_domain

MAX_POLICY_OCTETS = 64 * 1024
"""RFC 8461 §3.3 suggests 64 kilobytes; what is longer is no policy."""
MAX_AGE_SECONDS = 31_557_600
"""RFC 8461 §3.2: a year. A longer lifetime counts as this one."""
MIME_TYPE = "text/plain"

_VERSION = "STSv1"
_SHOWN_CHARACTERS = 60

# sts-policy-alphanum *31(sts-policy-alphanum / "_" / "-" / ".") ":" *WSP VALUE *WSP
_FIELD = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*"
    r"(?P<value>[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?)[ \t]*\Z"
)
_MAX_AGE = re.compile(r"[0-9]{1,10}\Z")
_TERM = re.compile(r"\r?\n")


class MtaStsMode(StrEnum):
    """RFC 8461 §5: what a failure to meet the policy means for the message."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MtaStsPolicy:
    """What a policy file says.

    `mx` holds patterns in lower case, `*.example.com` standing for one label; it is empty only with
    mode none. `max_age` counts from the fetch, and is a year at most.
    """

    mode: MtaStsMode
    mx: tuple[str, ...]
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class PolicyError:
    """A policy file is not valid; `reason` says on one line which rule it broke."""

    reason: str


def parse_policy(octets: bytes) -> MtaStsPolicy | PolicyError:
    """Parse the body of a policy file.

    RFC 8461 §3.2: unknown fields are passed over, of a field that is there twice (but `mx`) the
    first counts, and everything else has to follow the grammar: so no empty lines.
    """
    if len(octets) > MAX_POLICY_OCTETS:
        return PolicyError(f"the policy has more than {MAX_POLICY_OCTETS} octets")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return PolicyError("the policy is not UTF-8")
    fields: dict[str, str] = {}
    patterns: list[str] = []
    lines = _TERM.split(text)
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        found = _FIELD.match(line)
        if found is None:
            return PolicyError(f"line {number} is not `key: value`: {_show(line)}")
        name, value = found["name"], found["value"]
        if name != "mx":
            fields.setdefault(name, value)
        elif (pattern := _parse_pattern(value)) is not None:
            patterns.append(pattern)
        else:
            return PolicyError(f"line {number}: {_show(value)} is not an mx pattern")
    return _make_policy(fields, tuple(dict.fromkeys(patterns)))


def format_policy(policy: MtaStsPolicy) -> str:
    """Write a policy file, as `parse_policy` reads it.

    Raises ValueError for a policy that no file can have.
    """
    lines = [f"version: {_VERSION}", f"mode: {policy.mode}"]
    lines += [f"mx: {pattern}" for pattern in policy.mx]
    lines.append(f"max_age: {int(policy.max_age.total_seconds())}")
    text = "".join(f"{line}\r\n" for line in lines)
    if parse_policy(text.encode()) != policy:
        raise ValueError(f"no policy file can say {policy}")
    return text


def find_mx_pattern(policy: MtaStsPolicy, mx_host: Domain) -> str | None:
    """Find the pattern that lists an MX host (its name in the MX record); None: it is not listed.

    RFC 8461 §4.1: names without regard to case, `*` is one whole label, the left-most.
    """
    wildcard = f"*.{mx_host.partition('.')[2]}"
    return next((pattern for pattern in policy.mx if pattern in (mx_host, wildcard)), None)


def _make_policy(fields: dict[str, str], mx: tuple[str, ...]) -> MtaStsPolicy | PolicyError:
    for name in ("version", "mode", "max_age"):
        if name not in fields:
            return PolicyError(f"the policy has no {name}")
    if fields["version"] != _VERSION:
        return PolicyError(f"version is {_show(fields['version'])}, not {_VERSION}")
    if fields["mode"] not in tuple(MtaStsMode):
        return PolicyError(f"mode is {_show(fields['mode'])}, not enforce, testing or none")
    if not _MAX_AGE.match(fields["max_age"]):
        return PolicyError(f"max_age is {_show(fields['max_age'])}, not a number of seconds")
    mode = MtaStsMode(fields["mode"])
    if not mx and mode is not MtaStsMode.NONE:
        return PolicyError(f"the policy has no mx, which mode {mode} needs")
    seconds = min(int(fields["max_age"]), MAX_AGE_SECONDS)
    return MtaStsPolicy(mode, mx, timedelta(seconds=seconds))


def _parse_pattern(value: str) -> str | None:
    """RFC 8461 §3.2: `["*."] Domain`, in A-labels and without a final dot."""
    name = value.removeprefix("*.")
    if not name.isascii() or name.endswith("."):
        return None
    try:
        domain = parse_domain(name)
    except DomainError:
        return None
    return f"*.{domain}" if value.startswith("*.") else domain


def _show(text: str) -> str:
    """Quote what a stranger wrote, so that it stays on one line and short."""
    return repr(text[:_SHOWN_CHARACTERS])
