"""The quick way to read a report that is written as RFC 8460 has it; gives none for any other.

RFC 8460 §4.4. Most reports are, and large ones must not take long. What this finds is what
`reading` finds, and without a repair: a property test compares them.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Annotated, Literal

from msgspec import Meta, MsgspecError, Struct
from msgspec.json import Decoder

from letterlock.protocols.tlsrpt.repairs import (
    Names,
    Taken,
    take_address,
    take_contact,
    take_moment,
    take_uri,
)
from letterlock.protocols.tlsrpt.report import MAX_COUNT, FailureDetails, PolicyResult, Report
from letterlock.protocols.tlsrpt.result_types import ResultType

_RESULT_TYPES = frozenset(ResultType)
_HOST = attrgetter("receiving_mx_hostname")
_Column = tuple[Callable[[FailureDetails], str | None], Callable[[str], Taken] | None]
_COLUMNS: tuple[_Column, ...] = (
    (attrgetter("sending_mta_ip"), take_address),
    (attrgetter("receiving_ip"), take_address),
    (attrgetter("additional_information"), take_uri),
    (attrgetter("receiving_mx_helo"), None),
    (attrgetter("reason_code"), None),
)
"""The texts of failures, each with what may repair it; beside them is the host's name."""
_Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]


class _Range(Struct, forbid_unknown_fields=True, rename="kebab"):
    start_datetime: str
    end_datetime: str


class _Policy(Struct, forbid_unknown_fields=True, rename="kebab"):
    policy_type: Literal["sts", "tlsa", "no-policy-found"]
    policy_domain: str
    policy_string: tuple[str, ...] | None = None
    mx_host: tuple[str, ...] | None = None


class _Summary(
    Struct,
    forbid_unknown_fields=True,
    rename={
        "successful": "total-successful-session-count",
        "failed": "total-failure-session-count",
    },
):
    successful: _Count
    failed: _Count


class _Result(Struct, forbid_unknown_fields=True, rename="kebab"):
    policy: _Policy
    summary: _Summary
    failure_details: tuple[FailureDetails, ...] | None = None


class _Report(Struct, forbid_unknown_fields=True, rename="kebab"):
    organization_name: str
    date_range: _Range
    contact_info: str
    report_id: str
    policies: tuple[_Result, ...]


_DECODER = Decoder(_Report)
_LINE_ENDS = ("\r", "\n")
_STRINGS_AROUND = 12
"""Names and texts of a report without its policies."""


class _NotPlain(Exception):  # noqa: N818 - a fact
    """Something may have to be repaired."""


def read_plain(octets: bytes) -> Report | None:
    """Read a report in which nothing has to be repaired; None where something may have to be."""
    # The decoder would take these, and `reading` looks at them more closely.
    if _has(octets, b"null") or _has(octets, b'""') or _has_escapes(octets):
        return None
    try:
        return _read(octets, _DECODER.decode(octets))
    except (_NotPlain, MsgspecError, RecursionError, UnicodeError):
        return None


def _has_escapes(octets: bytes) -> bool:
    """Say if there are escapes of quotes, or by number.

    One octet is found forty times as fast as two, and most reports have no backslash at all.
    """
    return _has(octets, b"\\") and (_has(octets, b'\\"') or _has(octets, b"\\u"))


def _has(octets: bytes, part: bytes) -> bool:
    # `in` would try to take the part for an integer first, and make an error of that.
    return octets.find(part) >= 0


def _read(octets: bytes, found: _Report) -> Report:
    start, start_fault = take_moment(found.date_range.start_datetime)
    end, end_fault = take_moment(found.date_range.end_datetime)
    if start is None or end is None or start > end or start_fault or end_fault:
        raise _NotPlain
    if take_contact(found.contact_info)[1] is not None or not found.policies:
        raise _NotPlain
    names, strings = Names(), _STRINGS_AROUND
    for result in found.policies:
        strings += _count_strings(result, names)
    # A name that stands twice in an object is not in what was decoded, and its quotes are here.
    if octets.count(b'"') != 2 * strings:
        raise _NotPlain
    policies = tuple(map(_make_result, found.policies))
    return Report(
        found.organization_name, found.report_id, start, end, found.contact_info, policies
    )


def _make_result(result: _Result) -> PolicyResult:
    policy, summary = result.policy, result.summary
    return PolicyResult(
        policy.policy_type,
        policy.policy_domain,
        policy.policy_string or (),
        policy.mx_host or (),
        summary.successful,
        summary.failed,
        result.failure_details or (),
    )


def _count_strings(result: _Result, names: Names) -> int:
    """Give how many strings the JSON of a policy has, its names included. Raises _NotPlain."""
    policy, failures = result.policy, result.failure_details
    lines, hosts = policy.policy_string, policy.mx_host
    is_lacking = (lines is None and policy.policy_type != "no-policy-found") or (
        hosts is None and policy.policy_type == "sts"
    )
    domain = policy.policy_domain
    if is_lacking or names.take_domain(domain) != (domain, None):
        raise _NotPlain
    strings = 8
    if lines is not None:
        if len(lines) == 1 and lines[0].lstrip().startswith("["):
            raise _NotPlain
        for line in lines:
            if line.endswith(_LINE_ENDS):
                raise _NotPlain
        strings += 1 + len(lines)
    if hosts is not None:
        _require_each(names.take_pattern, hosts)
        strings += 1 + len(hosts)
    if failures is not None:
        return strings + 1 + _count_failure_strings(failures, names)
    if result.summary.failed:
        raise _NotPlain
    return strings


def _count_failure_strings(failures: tuple[FailureDetails, ...], names: Names) -> int:
    """Do the same for the failures: column by column, and each value once."""
    if not failures:
        return 0
    counts = [-1 if each.count is None else each.count for each in failures]
    is_known = _RESULT_TYPES.issuperset([each.result_type for each in failures])
    if not is_known or min(counts) < 0 or max(counts) > MAX_COUNT:
        raise _NotPlain
    told = 0
    columns: tuple[_Column, ...] = (*_COLUMNS, (_HOST, names.take_host))
    for read, take in columns:
        column = list(filter(None, map(read, failures)))  # `read_plain` lets no "" come here
        told += len(column)
        if take is not None and column:
            _require_each(take, column)
    return 3 * len(failures) + 2 * told


def _require_each(take: Callable[[str], Taken], column: Iterable[str]) -> None:
    """Raise _NotPlain where a value of a column would be repaired."""
    for text in set(column):
        found, why = take(text)
        if why is not None or found != text:
            raise _NotPlain
