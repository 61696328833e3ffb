"""The quick way to read a report that is written as RFC 8460 has it; gives none for any other.

RFC 8460 §4.4. Most reports are, and large ones must not take long. What this finds is what
`reading` finds, and without a repair: a property test compares them.
"""

from typing import Annotated, Literal

from msgspec import Meta, MsgspecError, Struct
from msgspec.json import Decoder

from letterlock.protocols.tlsrpt.repairs import (
    Names,
    take_address,
    take_contact,
    take_moment,
    take_uri,
)
from letterlock.protocols.tlsrpt.report import MAX_COUNT, FailureDetails, PolicyResult, Report
from letterlock.protocols.tlsrpt.result_types import ResultType

_RESULT_TYPES = frozenset(ResultType)
_Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
_OTHER_WAYS = (b"null", b'""', b'\\"', b"\\u")
"""Octets of what the decoder would take, and `reading` looks at more closely."""


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
_STRINGS_AROUND = 12
"""Names and texts of a report without its policies."""


class _NotPlain(Exception):  # noqa: N818 - a fact
    """Something may have to be repaired."""


def read_plain(octets: bytes) -> Report | None:
    """Read a report in which nothing has to be repaired; None where something may have to be."""
    if any(way in octets for way in _OTHER_WAYS):
        return None
    try:
        return _read(octets, _DECODER.decode(octets))
    except (_NotPlain, MsgspecError, RecursionError, UnicodeError):
        return None


def _read(octets: bytes, found: _Report) -> Report:
    start, start_fault = take_moment(found.date_range.start_datetime)
    end, end_fault = take_moment(found.date_range.end_datetime)
    _require(start is not None and end is not None and start <= end)
    _require(start_fault is None and end_fault is None)
    _require(take_contact(found.contact_info)[1] is None)
    _require(bool(found.policies))
    names = Names()
    strings = _STRINGS_AROUND + sum(_count_strings(each, names) for each in found.policies)
    # A name that stands twice in an object is not in what was decoded, and its quotes are here.
    _require(octets.count(b'"') == 2 * strings)
    policies = tuple(map(_make_result, found.policies))
    return Report(
        found.organization_name, found.report_id, start, end, found.contact_info, policies
    )


def _require(condition: bool) -> None:  # noqa: FBT001 - as `assert`
    if not condition:
        raise _NotPlain


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
    _require(names.take_domain(policy.policy_domain) == (policy.policy_domain, None))
    _require(policy.policy_string is not None or policy.policy_type == "no-policy-found")
    _require(policy.mx_host is not None or policy.policy_type != "sts")
    strings = 8
    if (lines := policy.policy_string) is not None:
        _require(not any(line.endswith(("\r", "\n")) for line in lines))
        _require(len(lines) != 1 or not lines[0].lstrip().startswith("["))
        strings += 1 + len(lines)
    if policy.mx_host is not None:
        _require(all(names.take_pattern(host) == (host, None) for host in policy.mx_host))
        strings += 1 + len(policy.mx_host)
    if failures is None:
        _require(result.summary.failed == 0)
        return strings
    return strings + 1 + _count_failure_strings(failures, names)


def _count_failure_strings(failures: tuple[FailureDetails, ...], names: Names) -> int:
    """Do the same for the failures: column by column, and each value once."""
    _require({each.result_type for each in failures} <= _RESULT_TYPES)
    counts = {-1 if each.count is None else each.count for each in failures}
    _require(all(0 <= count <= MAX_COUNT for count in counts))
    strings = 3 * len(failures)
    for column, take in (
        ([each.sending_mta_ip for each in failures], take_address),
        ([each.receiving_ip for each in failures], take_address),
        ([each.receiving_mx_hostname for each in failures], names.take_host),
        ([each.additional_information for each in failures], take_uri),
        ([each.receiving_mx_helo for each in failures], None),
        ([each.reason_code for each in failures], None),
    ):
        strings += 2 * (len(column) - column.count(None))
        if take is not None:
            values = {text for text in column if text is not None}
            _require(all(take(text) == (text, None) for text in values))
    return strings
