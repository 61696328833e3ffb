"""How counts leave a collector: the text that tlsrpt-reporter's `tlsrpt-fetcher` writes.

tlsrpt-reporter 0.6, version `v1devel-c`; no RFC has it. For a day there is a list of domains, and
for each of them JSON in which policies and failures are names of members, as JSON texts of their
own: they read like libtlsrpt's. Written and read here; processes are others' business.
"""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, MsgspecError, Struct

from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.tlsrpt.datagram import (
    POLICY_TYPES,
    RESULT_TYPES,
    DatagramError,
    WireFailure,
    WirePolicy,
    make_failure,
    make_policy,
)
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.report import MAX_COUNT, FailureDetails, PolicyResult
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.protocols.tlsrpt.results import DomainResults

VERSION = "TLSRPT FETCHER v1devel-c domain list"
MAX_OCTETS = 16 * 1024 * 1024
"""Of a list or of a domain's details; as tlsrpt-reportd has it."""
MAX_MEMBERS = 100_000
"""Policies, or failures of a policy, of one domain."""

_TIME = "%Y-%m-%d %H:%M:%S"
_END = "."
_TYPE_NUMBERS = {kind: number for number, kind in POLICY_TYPES.items()}
_RESULT_NUMBERS = {kind: number for number, kind in RESULT_TYPES.items()}
_Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]


class FetcherError(ValueError):
    """What a fetcher gave cannot be understood; the text is one line."""


class DomainList(Struct, frozen=True):
    """The domains of a day. `moment` is the collector's time, `day` the last that is over there."""

    moment: datetime
    day: date
    domains: tuple[str, ...]


class _Counts(Struct):
    cntrtotal: _Count
    cntrfailure: _Count
    failures: dict[str, _Count]


class _Details(Struct):
    d: str
    policies: dict[str, dict[str, _Counts]]


_DETAILS = msgspec.json.Decoder(_Details)
_POLICY = msgspec.json.Decoder(WirePolicy)
_FAILURE = msgspec.json.Decoder(WireFailure)
_ENCODER = msgspec.json.Encoder()


def format_domain_list(domains: DomainList) -> str:
    """Format the list of a day's domains, as lines."""
    moment = domains.moment.astimezone(UTC).strftime(_TIME)
    lines = (VERSION, moment, domains.day.isoformat(), *domains.domains, _END)
    return "".join(f"{line}\n" for line in lines)


def parse_domain_list(octets: bytes) -> DomainList:
    """Parse it. Raises FetcherError; also where it does not come to its end."""
    if len(octets) > MAX_OCTETS:
        raise FetcherError(f"more than {MAX_OCTETS} octets")
    lines = [line.rstrip() for line in octets.decode("utf-8", "replace").split("\n")]
    if lines[0] != VERSION:
        raise FetcherError(f"the first line is {lines[0][:80]!r}, not {VERSION!r}")
    if _END not in lines:
        raise FetcherError("the list has no end: its last line is a dot")
    names = lines[1 : lines.index(_END)]
    if len(names) < 2:
        raise FetcherError("the list lacks its time or its day")
    try:
        moment = datetime.strptime(names[0], _TIME).replace(tzinfo=UTC)
        return DomainList(moment, date.fromisoformat(names[1]), tuple(map(parse_domain, names[2:])))
    except DomainError as error:
        raise FetcherError(f"a domain: {error}") from None
    except ValueError:
        raise FetcherError("the second line is no time, or the third no day") from None


def format_details(domain: str, results: Iterable[DomainResults]) -> str:
    """Format what a day's sessions to one domain came to: one value for each of its records."""
    records: dict[str, dict[str, Any]] = {}
    for each in results:
        policies = records.setdefault(each.record, {})
        policies.update(
            (_format_policy(result), _format_counts(result)) for result in each.policies
        )
    return json.dumps({"d": domain, "policies": records}, indent=4) + "\n"


def parse_details(octets: bytes) -> tuple[DomainResults, ...]:
    """Parse it. Raises FetcherError."""
    if len(octets) > MAX_OCTETS:
        raise FetcherError(f"more than {MAX_OCTETS} octets")
    try:
        found = _DETAILS.decode(octets)
        domain = parse_domain(found.d)
        return tuple(
            DomainResults(domain, record, _make_results(domain, policies))
            for record, policies in found.policies.items()
        )
    except DomainError as error:
        raise FetcherError(f"a domain: {error}") from None
    except DatagramError as error:
        raise FetcherError(str(error)) from None
    except (MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        raise FetcherError(f"no details of a domain: {ascii(str(error))[1:200]}") from None


def _format_policy(result: PolicyResult) -> str:
    kind = _TYPE_NUMBERS[PolicyType(result.type or "")]
    return _ENCODER.encode(
        WirePolicy(kind, result.domain, result.strings, result.mx_hosts)
    ).decode()


def _format_counts(result: PolicyResult) -> dict[str, Any]:
    assert result.successful is not None
    assert result.failed is not None
    failures = {_format_failure(each): each.count for each in result.failures}
    total = result.successful + result.failed
    return {"cntrtotal": total, "cntrfailure": result.failed, "failures": failures}


def _format_failure(failure: FailureDetails) -> str:
    wire = WireFailure(
        _RESULT_NUMBERS[ResultType(failure.result_type or "")],
        failure.sending_mta_ip,
        failure.receiving_mx_hostname,
        failure.receiving_mx_helo,
        failure.receiving_ip,
        failure.additional_information,
        failure.reason_code,
    )
    return _ENCODER.encode(wire).decode()


def _make_results(domain: str, policies: dict[str, _Counts]) -> tuple[PolicyResult, ...]:
    _bound(policies)
    return tuple(_make_result(domain, text, counts) for text, counts in policies.items())


def _make_result(domain: str, text: str, counts: _Counts) -> PolicyResult:
    _bound(counts.failures)
    policy = make_policy(_POLICY.decode(text), domain)
    if counts.cntrfailure > counts.cntrtotal:
        raise FetcherError("more sessions failed than there were")
    failures = tuple(
        msgspec.structs.replace(make_failure(_FAILURE.decode(failure)), count=count)
        for failure, count in counts.failures.items()
    )
    return PolicyResult(
        policy.type,
        policy.domain,
        policy.strings,
        policy.mx_hosts,
        counts.cntrtotal - counts.cntrfailure,
        counts.cntrfailure,
        failures,
    )


def _bound(members: dict[str, Any]) -> None:
    if len(members) > MAX_MEMBERS:
        raise FetcherError(f"more than {MAX_MEMBERS} policies, or failures of one")
