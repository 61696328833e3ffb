"""JSON becomes a report: strict where it can be, repaired where what was meant is clear.

RFC 8460 §4.4, §4.5. What deviates is named in the list of repairs; what is not said, or cannot be
meant, is unknown. Members that the RFC does not have are passed over, as its next version may have
them. The mail around it is in `finding`, what it is packed in is in `unpacking`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.json_text import check_size, parse_json
from letterlock.protocols.tlsrpt.limits import MAX_FAILURES, MAX_POLICIES
from letterlock.protocols.tlsrpt.plain_reading import read_plain
from letterlock.protocols.tlsrpt.repairs import (
    Names,
    Repairs,
    Taken,
    take_address,
    take_contact,
    take_count,
    take_moment,
    take_text,
    take_uri,
    take_word,
)
from letterlock.protocols.tlsrpt.report import (
    FailureDetails,
    Fault,
    PolicyResult,
    ReadReport,
    Report,
    ReportError,
)
from letterlock.protocols.tlsrpt.result_types import ResultType

Object = Mapping[str, Any]

_KEYS = frozenset(
    (
        *("organization-name", "date-range", "start-datetime", "end-datetime", "contact-info"),
        *("report-id", "policies", "policy", "policy-type", "policy-string", "policy-domain"),
        *("mx-host", "summary", "total-successful-session-count", "total-failure-session-count"),
        *("failure-details", "result-type", "sending-mta-ip", "receiving-mx-hostname"),
        *("receiving-mx-helo", "receiving-ip", "failed-session-count", "additional-information"),
        "failure-reason-code",
    )
)
_OTHER_KEYS = {
    "receiving-mx-host-name": "receiving-mx-hostname",
    "additional-info-uri": "additional-information",
    "failure-error-code": "failure-reason-code",
    "mx-host-pattern": "mx-host",
}
"""What some reporters call a member, and its name in RFC 8460."""
_POLICY_TYPES = frozenset(PolicyType)
_RESULT_TYPES = frozenset(ResultType)
_STRINGS = msgspec.json.Decoder(list[str])


def parse_report(octets: bytes) -> ReadReport:
    """Parse a report's JSON, unpacked. Raises ReportError."""
    check_size(octets)
    report = read_plain(octets)
    if report is not None:
        return ReadReport(report, (), octets)
    value, faults = parse_json(octets)
    reader = _Reader()
    for fault in faults:
        reader.repairs.note("the JSON", fault)
    report = reader.read_report(value)
    return ReadReport(report, reader.repairs.lines(), octets)


class _Reader:
    """Reads one report's value, and collects what it repaired."""

    def __init__(self) -> None:
        self.repairs = Repairs()
        self._names = Names()
        self._failures_left = MAX_FAILURES
        # Values of failures repeat; most of a report's time would go into looking at them again.
        self._known: dict[tuple[str, str], Taken] = {}

    def read_report(self, value: Any) -> Report:
        """Read the whole. Raises ReportError for what is no report."""
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            self.repairs.note("the JSON", "a report in an array: read as the report")
            value = value[0]
        if not isinstance(value, dict):
            raise ReportError(Fault.NOT_A_REPORT, "the JSON is not an object")
        members = self._rename("", value)
        if "policies" not in members:
            raise ReportError(Fault.NOT_A_REPORT, 'it has no "policies"')
        dates = self._take_object("date-range", members.get("date-range"))
        start = self._take_moment(dates, "start-datetime")
        end = self._take_moment(dates, "end-datetime", is_end=True)
        if start is not None and end is not None and start > end:
            self.repairs.note("date-range", "it ends before it starts: kept")
        return Report(
            self._take(members, "organization-name", take_text),
            self._take(members, "report-id", take_text),
            start,
            end,
            self._take(members, "contact-info", _take_contact),
            tuple(self._read_policies(members["policies"])),
        )

    def _read_policies(self, value: Any) -> Iterator[PolicyResult]:
        results = self._take_objects("policies", value, None)
        if not results:
            self.repairs.note("policies", "none")
        if len(results) > MAX_POLICIES:
            raise ReportError(Fault.TOO_LARGE, f"more than {MAX_POLICIES} policies")
        for number, result in results:
            where = f"policies[{number}]"
            yield self._read_policy(where, self._rename(where, result))

    def _read_policy(self, where: str, result: Object) -> PolicyResult:
        place = f"{where}.policy"
        policy = self._take_object(place, result.get("policy"))
        kind = self._take(policy, "policy-type", take_word, place)
        if kind is not None and kind not in _POLICY_TYPES:
            self.repairs.note(f"{place}.policy-type", "not a type of RFC 8460: kept", kind)
        domain = self._take(policy, "policy-domain", self._take_domain, place)
        has_lines, has_hosts = kind != PolicyType.NO_POLICY_FOUND, kind == PolicyType.STS
        strings = self._read_lines(f"{place}.policy-string", policy, kind, is_due=has_lines)
        hosts = self._read_hosts(f"{place}.mx-host", policy, is_due=has_hosts)
        place = f"{where}.summary"
        summary = self._take_object(place, result.get("summary"))
        successful = self._take_count(summary, "total-successful-session-count", place)
        failed = self._take_count(summary, "total-failure-session-count", place)
        failures = tuple(self._read_failures(where, result, failed))
        return PolicyResult(kind, domain, strings, hosts, successful, failed, failures)

    def _read_lines(
        self, where: str, policy: Object, kind: str | None, *, is_due: bool
    ) -> tuple[str, ...]:
        lines = list(
            self._take_strings(where, policy.get("policy-string"), is_due=is_due, kind=kind)
        )
        kept = [line.rstrip("\r\n") for line in lines]
        if kept != lines:
            self.repairs.note(where, "line ends at the ends of lines are left out")
        return tuple(kept)

    def _read_hosts(self, where: str, policy: Object, *, is_due: bool) -> tuple[str, ...]:
        hosts = []
        for text in self._take_strings(where, policy.get("mx-host"), is_due=is_due):
            host, why = self._names.take_pattern(text)
            if why is not None:
                self.repairs.note(where, why, text)
            if host:
                hosts.append(host)
        return tuple(hosts)

    def _read_failures(
        self, where: str, result: Object, failed: int | None
    ) -> Iterator[FailureDetails]:
        place = f"{where}.failure-details"
        if "failure-details" not in result:
            if failed:
                self.repairs.note(place, "missing, though sessions failed: unknown")
            return
        failures = self._take_objects(place, result["failure-details"], failed)
        self._failures_left -= len(failures)
        if self._failures_left < 0:
            raise ReportError(Fault.TOO_LARGE, f"more than {MAX_FAILURES} failures")
        for number, failure in failures:
            where = f"{place}[{number}]"
            yield self._read_failure(where, self._rename(where, failure))

    def _read_failure(self, where: str, failure: Object) -> FailureDetails:
        kind = self._take(failure, "result-type", take_word, where)
        if kind is not None and kind not in _RESULT_TYPES:
            self.repairs.note(f"{where}.result-type", "not a type of RFC 8460: kept", kind)
        optional = self._take_optional
        return FailureDetails(
            kind,
            self._take_count(failure, "failed-session-count", where),
            optional(failure, "sending-mta-ip", take_address, where),
            optional(failure, "receiving-mx-hostname", self._names.take_host, where),
            optional(failure, "receiving-mx-helo", _keep, where),
            optional(failure, "receiving-ip", take_address, where),
            optional(failure, "additional-information", take_uri, where),
            optional(failure, "failure-reason-code", _keep, where),
        )

    def _rename(self, where: str, value: Object) -> Object:
        """Give an object whose members have the names of RFC 8460, where that is clear."""
        if value.keys() <= _KEYS:
            return value
        members = {name: member for name, member in value.items() if name in _KEYS}
        for name, member in value.items():
            if name in _KEYS:
                continue
            plain = name.strip().lower().replace("_", "-") if len(name) < 60 else name
            meant = _OTHER_KEYS.get(plain, plain)
            if meant in _KEYS and meant not in members:
                self.repairs.note(
                    where or "the JSON", f'a member named otherwise: read as "{meant}"', name
                )
                members[meant] = member
        return members

    def _take(
        self,
        members: Object,
        name: str,
        take: Callable[[Any], Taken],
        where: str = "",
    ) -> str | None:
        """Take a member that should be there."""
        place = f"{where}.{name}" if where else name
        if name not in members:
            self.repairs.note(place, "missing: unknown")
            return None
        value, why = take(members[name])
        if why is not None:
            self.repairs.note(place, why, members[name])
        return value

    def _take_optional(
        self, members: Object, name: str, take: Callable[[str], Taken], where: str
    ) -> str | None:
        """Take a text that may be missing; null and an empty one say that it is."""
        value = members.get(name)
        if value is None or value == "":
            return None
        text, why = take_text(value)
        if text is not None:
            known = self._known.get((name, text))
            if known is None:
                known = self._known[name, text] = take(text)
            text, other_why = known
            why = why or other_why
        if why is not None:
            self.repairs.note(f"{where}.{name}", why, value)
        return text

    def _take_domain(self, value: Any) -> Taken:
        text, why = take_text(value)
        if text is None:
            return text, why
        domain, other_why = self._names.take_domain(text)
        return domain, why or other_why

    def _take_count(self, members: Object, name: str, where: str) -> int | None:
        value = members.get(name)
        count, why = take_count(value)
        if why is not None:
            self.repairs.note(f"{where}.{name}", why, value)
        return count

    def _take_moment(self, dates: Object, name: str, *, is_end: bool = False) -> Any:
        value = dates.get(name)
        moment, why = take_moment(value, is_end=is_end)
        if why is not None:
            self.repairs.note(f"date-range.{name}", why, value)
        return moment

    def _take_object(self, where: str, value: Any) -> Object:
        if isinstance(value, dict):
            return self._rename(where, value)
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            self.repairs.note(where, "an object in an array: read as the object")
            return self._rename(where, value[0])
        self.repairs.note(where, "missing" if value is None else "not an object: unknown", value)
        return {}

    def _take_objects(
        self, where: str, value: Any, expected: int | None
    ) -> list[tuple[int, Object]]:
        """Take an array of objects, with their numbers. `expected` 0: it may be null."""
        if isinstance(value, dict):
            self.repairs.note(where, "an object: read as an array of one")
            value = [value]
        if not isinstance(value, list):
            if value is not None or expected != 0:
                self.repairs.note(where, "not an array: unknown", value)
            return []
        for number, each in enumerate(value):
            if not isinstance(each, dict):
                self.repairs.note(f"{where}[{number}]", "not an object: left out", each)
        return [(number, each) for number, each in enumerate(value) if isinstance(each, dict)]

    def _take_strings(
        self, where: str, value: Any, *, is_due: bool, kind: str | None = None
    ) -> Iterator[str]:
        """Take an array of texts, in the other forms that are seen for it too."""
        if value is None:
            if is_due:
                self.repairs.note(where, "missing: unknown")
            return
        if isinstance(value, str):
            value = self._split_text(where, value, kind)
        if not isinstance(value, list):
            self.repairs.note(where, "not an array: unknown", value)
            return
        if any(isinstance(each, list) for each in value):
            self.repairs.note(where, "an array in the array: read as one")
            value = list(_flatten(value))
        texts = list(self._take_texts(where, value))
        # Each time it gets shorter, as quotes in it have escapes.
        while len(texts) == 1 and (inner := _find_inner(texts[0])) is not None:
            self.repairs.note(where, "JSON in a text: read as an array")
            texts = list(self._take_texts(where, inner))
        yield from texts

    def _take_texts(self, where: str, values: Iterable[Any]) -> Iterator[str]:
        for each in values:
            text, why = take_text(each)
            if why is not None:
                self.repairs.note(where, why.replace("unknown", "left out"), each)
            if text is not None:
                yield text

    def _split_text(self, where: str, text: str, kind: str | None) -> list[str]:
        self.repairs.note(where, "a text: read as an array", text)
        if _find_inner(text) is not None:
            return [text]
        # RFC 8460 §4: the records of a TLSA policy, "separated by a semicolon".
        lines = text.split(";") if kind == PolicyType.TLSA else text.splitlines()
        return [line.strip() for line in lines if line.strip()]


def _keep(text: str) -> Taken:
    return text, None


def _take_contact(value: Any) -> Taken:
    text, why = take_text(value)
    if text is None:
        return text, why
    contact, other_why = take_contact(text)
    return contact, why or other_why


def _flatten(value: Iterable[Any]) -> Iterator[Any]:
    """Give the members of an array, and of the arrays in it, one level deep."""
    for each in value:
        if isinstance(each, list):
            yield from each
        else:
            yield each


def _find_inner(value: Any) -> list[str] | None:
    """Give the texts of a JSON array that stands in a text (Microsoft's `policy-string`)."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return None
    try:
        return _STRINGS.decode(value)
    except (msgspec.MsgspecError, UnicodeError):
        return None
