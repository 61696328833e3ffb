"""How what changed at domains is told: as lines, as mail by sendmail(1), to a program.

RFC 5322 §3.6, RFC 3834 §5 (Auto-Submitted). Mail goes by a program and not by a queue of ours: who
watches need not run a node, and where one runs, `letterlock-sendmail` takes mail for it even while
it is down. No shell is anywhere, and nothing that others wrote is an argument.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec

from letterlock.base.printable import make_printable
from letterlock.protocols.check.findings import Severity
from letterlock.protocols.incidents.notices import Fields, format_mail
from letterlock.services.check.watching import Change, Event

LIMIT = timedelta(minutes=1)
MAX_LISTED = 200
"""Changes in one mail; there may be thousands when a network is down."""
MAX_EVIDENCE = 300
MAX_REASONS = 2
"""Of several kinds of sender that fare the same, in one line."""
NAMES_BETWEEN = ", "
MAX_SUBJECT = 68
"""RFC 5322 §2.1.1: the field fits on a line of 78 characters."""

RunProgram = Callable[
    [Path, Sequence[str], Mapping[str, str], timedelta, bytes], Awaitable[str | None]
]


class Teller(Protocol):
    """One way to tell. `name` is its own among the ways."""

    @property
    def name(self) -> str: ...

    async def tell(self, changes: Sequence[Change], now: datetime) -> str | None:
        """Tell of at least one; gives None when that is taken, or else why not, in one line."""


@dataclass(frozen=True, slots=True)
class MailTeller:
    """Hands a mail to a program that takes it as sendmail(1) does.

    `sender` "": whoever the program takes us for. `variables` are its environment.
    """

    program: Path
    recipient: str
    sender: str
    hostname: str
    run: RunProgram
    make_token: Callable[[], str]
    variables: Mapping[str, str]
    name: str = "mail"

    async def tell(self, changes: Sequence[Change], now: datetime) -> str | None:
        fields = Fields(
            self.sender or self.recipient,
            (self.recipient,),
            now,
            f"<{self.make_token()}@{self.hostname}>",
        )
        content = format_mail(make_subject(changes), format_text(changes), fields)
        arguments = ["-i", *(("-f", self.sender) if self.sender else ()), "--", self.recipient]
        # As programs of this machine write lines.
        content = content.replace(b"\r\n", b"\n")
        return await self.run(self.program, arguments, self.variables, LIMIT, content)


@dataclass(frozen=True, slots=True)
class CommandTeller:
    """Runs the operator's program: all of it as JSON on its input, and in short as variables."""

    program: Path
    run: RunProgram
    name: str = "command"

    async def tell(self, changes: Sequence[Change], now: datetime) -> str | None:
        del now
        variables = {
            "LETTERLOCK_SUBJECT": make_subject(changes),
            "LETTERLOCK_SEVERITY": _find_severity(changes),
            "LETTERLOCK_CHANGES": str(len(changes)),
        }
        document = {"changes": [describe_change(each) for each in changes]}
        given = json.dumps(document, ensure_ascii=True).encode() + b"\n"
        return await self.run(self.program, (), variables, LIMIT, given)


def describe_change(change: Change) -> dict[str, Any]:
    """Give the parts as JSON has them."""
    parts = msgspec.to_builtins(change)
    assert isinstance(parts, dict)
    return parts


def rank_changes(changes: Sequence[Change]) -> list[Change]:
    """Put the worst first; what has ended is good news, and last."""
    order = list(Severity)
    return sorted(changes, key=lambda each: (each.event is Event.ENDS, order.index(each.severity)))


def fold(changes: Sequence[Change]) -> list[Change]:
    """Make one change of those of several kinds of sender that are the same, at the first's place.

    One fault is the fault of many verdicts. Their names are joined, and so are their reasons.
    """
    groups: dict[tuple[object, ...], list[Change]] = {}
    for number, each in enumerate(changes):
        way = (each.before, each.now) if _is_verdict(each) else (number,)
        groups.setdefault((each.domain, each.time, *way), []).append(each)
    return [_join(group) for group in groups.values()]


def make_subject(changes: Sequence[Change]) -> str:
    """Give one line: how bad, what and where, as far as there is room; what ended is good news."""
    changes = fold(changes)
    first = rank_changes(changes)[0]
    word = "ended" if first.event is Event.ENDS else first.severity
    domains = {each.domain for each in changes}
    others = f" and {len(domains) - 1} more" if len(domains) > 1 else ""
    count = f" ({len(changes)} changes)" if len(changes) > 1 else ""
    short = f"{word}: {_tell_shortest(first)}"
    texts = (
        f"{short} at {first.domain}{others}{count}",
        f"{short} at {first.domain}{others}",
        f"{word}: {first.domain}{others}{count}",
        f"{word}: {first.domain}",
    )
    text = next((each for each in texts if len(each) <= MAX_SUBJECT), texts[-1][:MAX_SUBJECT])
    return make_printable(text)


def format_line(change: Change) -> str:
    """Tell of one change in one printable line, with its time."""
    place = f" at {change.where}" if change.where else ""
    evidence = f": {change.evidence[:MAX_EVIDENCE]}" if change.evidence else ""
    severity = f"{change.severity}: " if change.event is not Event.ENDS else ""
    text = f"{change.time} {change.domain}: {severity}{_tell_short(change)}{place}{evidence}"
    return make_printable(text)


def format_text(changes: Sequence[Change]) -> str:
    """Write what people read in a mail: the worst first."""
    lines, changes = [], fold(changes)
    for change in rank_changes(changes)[:MAX_LISTED]:
        lines.append(format_line(change))
        if change.fix:
            lines.append(f"    to do: {make_printable(change.fix)}")
    if len(changes) > MAX_LISTED:
        lines.append(f"and {len(changes) - MAX_LISTED} more")
    lines += ["", "Look again: letterlock check DOMAIN", ""]
    return "\n".join(lines)


def _is_verdict(change: Change) -> bool:
    return not change.where and change.event is Event.CHANGES


def _join(group: Sequence[Change]) -> Change:
    if len(group) == 1:
        return group[0]
    reasons = list(dict.fromkeys(each.evidence for each in group if each.evidence))
    more = f"; and {len(reasons) - MAX_REASONS} more reasons" if len(reasons) > MAX_REASONS else ""
    return replace(
        group[0],
        what=NAMES_BETWEEN.join(each.what for each in group),
        evidence="; ".join(reasons[:MAX_REASONS]) + more,
    )


def _find_severity(changes: Sequence[Change]) -> Severity:
    """Give how bad the worst is that began or changed; where all has ended, nothing is."""
    first = rank_changes(changes)[0]
    return Severity.INFO if first.event is Event.ENDS else first.severity


def _tell_shortest(change: Change) -> str:
    """Tell for a subject, which has said that something ended."""
    if change.event is Event.ENDS:
        return change.what
    number = change.what.count(NAMES_BETWEEN) + 1
    what = f"{number} senders" if number > 1 else change.what
    return _tell_short(replace(change, what=what))


def _tell_short(change: Change) -> str:
    if change.event is Event.BEGINS:
        return f"{change.what} began"
    if change.event is Event.ENDS:
        return f"{change.what} ended"
    what = change.what if change.where else f"mail of {change.what}"
    return f"{what}: {change.before} -> {change.now}"
