"""What a log comes to, for people: what failed first, on one screen where there is little of it."""

from collections.abc import Iterator, Mapping, Sequence

from letterlock.base.counts import format_count
from letterlock.base.printable import make_printable
from letterlock.cli.story_text import Document, tell
from letterlock.protocols.mail_log.causes import is_ok

MAX_NAMES = 3
MAX_SAID = 240


def format_log(
    causes: Sequence[Document], probes: Sequence[Document], counts: Mapping[str, int]
) -> Iterator[str]:
    """Tell each cause, what hosts showed that were asked, and how much was read."""
    for cause in causes:
        yield from _tell_cause(cause)
        yield ""
    for probe in probes:
        now = probe["cause"] or ("nothing is wrong now" if probe["answered"] else "not known")
        yield make_printable(f"asked {probe['mx']}[{probe['ip']}]: {now}")
        yield from tell("logged", probe["logged"])
        yield from tell("seen", probe["detail"])
        yield ""
    yield _describe_counts(causes, counts)


def _tell_cause(cause: Document) -> Iterator[str]:
    yield make_printable(f"{cause['count']} x {cause['cause']}: {cause['meaning']}")
    if (names := _name(cause["domains"])) != "":
        yield from tell("to", names)
    if not is_ok(cause["cause"]) and (hosts := _name(cause["hosts"])) != "":
        yield from tell("at", hosts)
    if cause["first"] is not None:
        until = "" if cause["first"] == cause["last"] else f" to {cause['last']}"
        yield from tell("seen", f"{cause['first']}{until}")
    if not is_ok(cause["cause"]) and cause["said"]:
        said = cause["said"]
        yield from tell("last said", said if len(said) <= MAX_SAID else f"{said[:MAX_SAID]}...")
    if cause["fix"]:
        yield from tell("to do", cause["fix"])


def _name(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (", and others" if more > 0 else "")


def _describe_counts(causes: Sequence[Document], counts: Mapping[str, int]) -> str:
    total = sum(cause["count"] for cause in causes)
    fine = sum(cause["count"] for cause in causes if is_ok(cause["cause"]))
    lines = format_count(counts["lines"], "line")
    deliveries = format_count(total, "delivery", "deliveries")
    text = f"{deliveries} in {lines}, {fine} of them delivered"
    if not total:
        text = f"no deliveries in {lines}: is it a mail server's log?"
    if counts["unread"]:
        unread = format_count(counts["unread"], "line has", "lines have")
        text += f"; {unread} no form that is known"
    if counts["untied"]:
        untied = format_count(counts["untied"], "line belongs", "lines belong")
        text += f"; {untied} to deliveries that are not in the log"
    return text
