"""A report of `tlsrpt show` for people, on one screen: what failed first, and what that means.

RFC 8460 §4.3. Made of the JSON document, so that both tell the same. Sessions of several policies
may be the same ones, and are not added up.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from letterlock.base.counts import format_count
from letterlock.base.printable import make_printable
from letterlock.cli.story_text import tell
from letterlock.protocols.tlsrpt.meanings import find_meaning

MAX_POLICIES = 4
MAX_FAILURES = 3
"""Of one policy; alike ones are one line. The JSON document has all."""
MAX_REPAIRS = 5
MAX_TEXT_CHARACTERS = 140

_TYPES = {"sts": "MTA-STS", "tlsa": "DANE", "no-policy-found": "no policy"}
Failure = Mapping[str, Any]


def format_story(document: Mapping[str, Any]) -> Iterator[str]:
    """Tell one report, or why it is none."""
    yield make_printable(f"{document['file']}: {document['verdict']}")
    if document["error"] is not None:
        yield from tell("reason", document["error"])
        return
    report = document["report"]
    yield from tell("from", _describe_sender(report))
    yield from tell("about", _describe_range(report))
    yield from tell("report id", _shorten(report["report_id"] or "not told"))
    policies = sorted(report["policies"], key=_by_failures)
    for result in policies[:MAX_POLICIES]:
        yield from _tell_policy(result)
    if not policies:
        yield from tell("policies", "none: the report says nothing")
    if (more := policies[MAX_POLICIES:]) != []:
        failing = sum(1 for result in more if result["failed"] or result["failures"])
        others = format_count(len(more), "policy", "policies")
        yield from tell("", f"and {others} more, {failing} of them with failures")
    repairs = document["repairs"]
    for number, repair in enumerate(repairs[:MAX_REPAIRS]):
        yield from tell("" if number else "repaired", _shorten(repair))
    if len(repairs) > MAX_REPAIRS:
        yield from tell("", f"and {len(repairs) - MAX_REPAIRS} more; --json has them all")


def _describe_sender(report: Mapping[str, Any]) -> str:
    name, contact = report["organization_name"], report["contact_info"]
    if name and contact:
        return _shorten(f"{name} ({contact})")
    return _shorten(name or contact or "not told")


def _describe_range(report: Mapping[str, Any]) -> str:
    start, end = report["start"], report["end"]
    if start is None or end is None:
        return f"from {start or 'a time not told'} to {end or 'a time not told'}"
    if start.endswith("T00:00:00Z") and end == f"{start[:10]}T23:59:59Z":
        return f"{start[:10]}, a day of UTC"
    return f"{start} to {end}"


def _by_failures(result: Mapping[str, Any]) -> tuple[bool, int]:
    """Sort what failed first, most failures first."""
    failed = result["failed"] or sum(each["count"] or 0 for each in result["failures"])
    return not (failed or result["failures"]), -failed


def _tell_policy(result: Mapping[str, Any]) -> Iterator[str]:
    is_failing = bool(result["failed"] or result["failures"])
    label = "FAILED" if is_failing else "fine" if result["failed"] == 0 else "not told"
    yield from tell(label, f"{_describe_policy(result)}: {_describe_counts(result)}")
    groups = _group(result["failures"])
    told: set[str | None] = set()
    for failures in groups[:MAX_FAILURES]:
        yield from _tell_failures(failures, told)
    if len(groups) > MAX_FAILURES:
        yield from tell("", f"and {len(groups) - MAX_FAILURES} other kinds of failures")


def _describe_policy(result: Mapping[str, Any]) -> str:
    kind = _TYPES.get(result["type"], result["type"] or "a policy not told")
    mode = next((line for line in result["strings"] if line.startswith("mode:")), "")
    words = [_shorten(result["domain"] or "a domain not told"), _shorten(kind)]
    if result["type"] == "sts" and mode:
        words.append(_shorten(mode))
    return ", ".join(words)


def _describe_counts(result: Mapping[str, Any]) -> str:
    successful, failed = result["successful"], result["failed"]
    if successful is None and failed is None:
        return "how many sessions there were is not told"
    if failed is None:
        return f"{format_count(successful, 'session')} fine, how many failed is not told"
    if successful is None:
        return f"{format_count(failed, 'session')} failed, how many did not is not told"
    total = successful + failed
    if not failed:
        return f"{format_count(total, 'session')}, none failed" if total else "no sessions"
    share = f"{failed / total:.1%}" if 1000 * failed >= total else "less than 0.1%"
    return f"{failed} of {format_count(total, 'session')} failed, {share}"


def _group(failures: Sequence[Failure]) -> list[list[Failure]]:
    """Put together what differs in addresses only, the largest first."""
    groups: dict[tuple[Any, ...], list[Failure]] = {}
    for each in failures:
        key = (each["result_type"], each["receiving_mx_hostname"], each["reason_code"])
        groups.setdefault(key, []).append(each)
    return sorted(groups.values(), key=lambda group: -sum(each["count"] or 0 for each in group))


def _tell_failures(failures: Sequence[Failure], told: set[str | None]) -> Iterator[str]:
    first = failures[0]
    counts = [each["count"] for each in failures]
    known = sum(count for count in counts if count is not None)
    number = f"{known}{' or more' if None in counts else ''}" if known else "an unknown number"
    words = [f"{number} {_shorten(first['result_type'] or 'without a result type')}"]
    if host := first["receiving_mx_hostname"]:
        words.append(f"at {_shorten(host)}")
    senders = sorted({each["sending_mta_ip"] for each in failures if each["sending_mta_ip"]})
    if senders:
        words.append(f"from {senders[0]}" + (f" and {len(senders) - 1} more" * (len(senders) > 1)))
    if reason := first["reason_code"]:
        words.append(f"({_shorten(reason)})")
    yield from tell("", " ".join(words))
    if first["result_type"] not in told:
        told.add(first["result_type"])
        meaning = find_meaning(first["result_type"])
        yield from tell("", f"= {meaning.what}. Whose: {meaning.whose}. Do: {meaning.remedy}.")


def _shorten(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    return f"{text[:MAX_TEXT_CHARACTERS]}..."
