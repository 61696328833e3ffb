"""Our certificates for people: the list, and one of them whole."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from letterlock.base.counts import format_count
from letterlock.base.printable import make_printable
from letterlock.cli.story_text import wrap

_HEAD = ("NAME", "KEY", "ISSUER", "ENDS", "RENEWED", "TLSA")
_NONE = "-"


def format_list(described: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Give a table, and below it what somebody has to look at."""
    if not described:
        yield "There are no certificates."
        return
    rows = [_HEAD, *map(_make_row, described)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
    for each in described:
        if each["problems"]:
            yield ""
        for problem in each["problems"]:
            yield from wrap(f"{_title(each)}: {make_printable(problem)}", "  ")
    for each in described:
        if each["rollover"] is not None and not each["problems"]:
            yield ""
            note = make_printable(each["rollover"]["note"])
            yield from wrap(f"{_title(each)}: key roll-over: {note}", "  ")


def format_certificate(each: Mapping[str, Any]) -> Iterator[str]:
    """Give all that is known of one."""
    yield _title(each) + ("" if each["wanted"] else ": not in the settings any more, not renewed")
    yield from _format_facts(each["certificate"])
    renewal = each["renewal"]
    yield from _line("renewed", f"{_when(each)}: {renewal['why']}")
    if renewal["explanation"]:
        yield from _line("", f"the authority explains: {renewal['explanation']}")
    for trouble in each["troubles"]:
        times = "once" if trouble["count"] == 1 else f"{trouble['count']} times in a row"
        text = f"{trouble['authority']}: {times}, last at {trouble['last']}: {trouble['reason']}"
        yield from _line("failed", text)
        yield from _line("", f"not asked before {trouble['not_before']}")
    yield from _format_tlsa(each["tlsa"])
    if each["rollover"] is not None:
        rollover = each["rollover"]
        yield from _line("roll-over", f"{rollover['stage']}: {rollover['note']}")
    for problem in each["problems"]:
        yield from _line("problem", problem)
    for before in each.get("history", ()):
        revoked = f", revoked at {before['revoked']}" if before["revoked"] else ""
        text = f"{before['issued']} until {before['not_after']}{revoked}: {before['serial']}"
        yield from _line("issued", text)


def _format_facts(facts: Mapping[str, Any] | None) -> Iterator[str]:
    if facts is None:
        yield from _line("", "there is no certificate yet")
        return
    yield from _line("serial", facts["serial"])
    yield from _line("names", ", ".join(facts["names"]))
    yield from _line("issuer", f"{facts['issuer']}, by {facts['authority']}")
    left = format_count(facts["days_left"], "day")
    yield from _line("valid", f"{facts['not_before']} to {facts['not_after']} ({left} left)")
    yield from _line("key", f"SHA-256 {facts['spki_sha256']}")


def _format_tlsa(tlsa: Mapping[str, Any]) -> Iterator[str]:
    if tlsa["state"] == "not-asked":
        return
    where = f" at {tlsa['base']}" if tlsa["base"] else ""
    reason = f": {tlsa['reason']}" if tlsa["reason"] else ""
    yield from _line("TLSA", f"{tlsa['state']}{where}{reason}")
    for record in tlsa["records"]:
        yield from _line("", record)


def _line(name: str, text: str) -> Iterator[str]:
    """Give a line, or several, with their name in front of the first."""
    lines = list(wrap(make_printable(text), " " * 12))
    yield f"  {name:10}{lines[0].lstrip()}"
    yield from lines[1:]


def _make_row(each: Mapping[str, Any]) -> tuple[str, ...]:
    facts = each["certificate"]
    return (
        make_printable(each["name"]),
        each["key_type"],
        make_printable(_short_issuer(facts["issuer"])) if facts else _NONE,
        f"{facts['not_after'][:10]} ({facts['days_left']} d)" if facts else _NONE,
        _when(each) if each["wanted"] else "never",
        each["tlsa"]["state"],
    )


def _when(each: Mapping[str, Any]) -> str:
    renewal = each["renewal"]
    if not renewal["due"]:
        return str(renewal["at"])
    waits = each["troubles"] and renewal["next_try"] and renewal["next_try"] > renewal["at"]
    return f"due; next try {renewal['next_try']}" if waits else "due now"


def _short_issuer(issuer: str) -> str:
    """Give the common name, where there is one."""
    parts = [part for part in issuer.split(",") if part.startswith("CN=")]
    return parts[0].removeprefix("CN=") if parts else issuer


def _title(each: Mapping[str, Any]) -> str:
    return f"{make_printable(each['name'])} ({each['key_type']})"
