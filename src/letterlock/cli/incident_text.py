"""An answer of `incident check` for people: what each place shows, and whether the list has it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from letterlock.base.counts import format_count
from letterlock.base.printable import make_printable
from letterlock.cli.story_text import tell

if TYPE_CHECKING:
    from letterlock.node.incidents import Answer
    from letterlock.services.incidents.results import Result

MAX_NAMES = 10
MAX_ENTRY_CHARACTERS = 300

_ANSWERS = {True: "AFFECTED", False: "not affected", None: "not known"}


def format_result(result: "Result") -> Iterator[str]:
    """Tell of one certificate; at length only where there is something to do."""
    yield make_printable(f"{_ANSWERS[result.affected]}: {result.source}")
    if result.serial is not None:
        key = f" ({result.key})" if result.key else ""
        yield from tell("serial", f"{result.serial}{key}")
    if result.asked:
        yield from tell("asked", "; ".join(result.asked))
    if result.reason:
        yield from tell("reason", result.reason)
    if result.affected is False:
        return
    if result.names:
        more = f" and {len(result.names) - MAX_NAMES} more" if len(result.names) > MAX_NAMES else ""
        yield from tell("names", ", ".join(result.names[:MAX_NAMES]) + more)
    if result.place is not None:
        yield from tell("listed", f"at {result.place}: {_shorten(result.entry)}")
    yield from tell("to do", result.advice)


def format_summary(path: Path, answer: "Answer") -> Iterator[str]:
    """Tell what it comes to."""
    closed = [each.source for each in answer.not_offered]
    if closed:
        yield make_printable(f"nothing listens at: {', '.join(closed)}")
    counts = [sum(each.affected is value for each in answer.results) for value in _ANSWERS]
    affected, free, unknown = counts
    yield make_printable(
        f"{affected} affected, {free} not affected, {unknown} not known; "
        f"{format_count(answer.listed.entries, 'serial number')} in {path}"
    )


def _shorten(entry: str | None) -> str:
    if entry is None:
        return "the list cannot be read again"
    return entry if len(entry) <= MAX_ENTRY_CHARACTERS else f"{entry[:MAX_ENTRY_CHARACTERS]}..."
