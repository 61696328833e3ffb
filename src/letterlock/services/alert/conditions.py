"""What may be told: a condition, its words, and how words of others become harmless in it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time

from msgspec import Struct

from letterlock.base.printable import make_printable
from letterlock.storage.alerts import AlertKey, AlertText

ACTIVE_DAYS = 14
"""What no report has told of for so long is not told of as wrong now."""
BASE_DAYS = 28
"""What a day is compared with."""
WINDOW_DAYS = ACTIVE_DAYS + BASE_DAYS
"""The reports that are looked at."""
MAX_CHARACTERS = 300
"""Of one line; host names have at most 253."""
MAX_EVIDENCE = 6
_TYPES = {"sts": "MTA-STS", "tlsa": "DANE", "no-policy-found": "no policy", "": "a type not told"}


class Condition(Struct, frozen=True):
    """Something that is wrong now.

    A higher `level` is told anew. Without `may_begin` it keeps an alert open, and opens none.
    """

    key: AlertKey
    text: AlertText
    level: int = 0
    may_begin: bool = True


class Found(Struct, frozen=True):
    """What is wrong, and what is proved to be right again, in one line each."""

    conditions: tuple[Condition, ...] = ()
    mended: Mapping[AlertKey, str] = {}


def join(found: Iterable[Found]) -> Found:
    """Put together what was found; of each key the first condition counts."""
    conditions: dict[AlertKey, Condition] = {}
    mended: dict[AlertKey, str] = {}
    for each in found:
        for condition in each.conditions:
            conditions.setdefault(condition.key, condition)
        mended.update(each.mended)
    left = {key: text for key, text in mended.items() if key not in conditions}
    return Found(tuple(conditions.values()), left)


def make_text(what: str, since: datetime, evidence: Iterable[str], remedy: str) -> AlertText:
    """Make the words of an alert; each is one short line, whatever a report has in it."""
    lines = tuple(clean(line) for line in evidence)[:MAX_EVIDENCE]
    return AlertText(clean(what), since, lines, clean(remedy))


def clean(text: str) -> str:
    """Make words of others one line, printable and short."""
    printable = make_printable(text)
    return (
        printable if len(printable) <= MAX_CHARACTERS else f"{printable[: MAX_CHARACTERS - 3]}..."
    )


def start_of(day: date) -> datetime:
    """Give midnight in UTC."""
    return datetime.combine(day, time(), UTC)


def name_some(names: Iterable[str], most: int = 3) -> str:
    """Name a few, and how many more there are."""
    found = sorted(set(names))
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(each or "somebody" for each in found[:most]) + more


def name_days(first: date, last: date) -> str:
    """Name the days from one to another."""
    return f"{first} to {last}" if first != last else f"{first}"


def name_type(kind: str) -> str:
    """Name a type of policies for people."""
    return _TYPES.get(kind, kind)
