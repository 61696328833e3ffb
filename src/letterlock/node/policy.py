"""The policy table of a node: `[policy.hops]`, then the Postfix table, then the default level."""

from dataclasses import dataclass
from datetime import date

from letterlock.base.config.outbound import PolicySection
from letterlock.protocols.policy.postfix_table import parse_postfix_table
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import (
    PolicyTable,
    TableEntry,
    WrongEntry,
    collect_entries,
    parse_entry,
)


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """The table, and what the operator should know of it, one line each."""

    table: PolicyTable
    problems: tuple[str, ...]
    unreadable: str | None = None
    """Why the Postfix table can't be read at all, one line."""


def describe_lapsed(table: PolicyTable, day: date) -> tuple[str, ...]:
    """Tell of entries that hold no longer on a day (UTC), one line each."""
    return tuple(map(describe_end, table.on(day).lapsed_entries))


def describe_end(entry: TableEntry) -> str:
    """Tell of an entry that holds no longer."""
    return f"{entry.where}: ended on {entry.until}; {entry.key} goes as if it were not there"


def load_policy(section: PolicySection) -> LoadedPolicy:
    """Build the table; what is wrong in it is a problem of its own key only.

    A Postfix table that can't be read at all makes the default unusable: nobody knows which mail it
    was to protect, so that all mail that no other entry is for waits.
    """
    hops = [parse_entry(hop.key, hop.fields, hop.where) for hop in section.hops.values()]
    default: TableEntry | WrongEntry = TableEntry(
        "", Level(section.default_level.value), "policy.default_level"
    )
    problems: list[str] = []
    unreadable: str | None = None
    postfix: tuple[TableEntry | WrongEntry, ...] = ()
    if section.postfix_table is not None:
        try:
            content = section.postfix_table.read_bytes()
        except OSError as error:
            default = WrongEntry("", str(section.postfix_table), f"{error.strerror}")
            unreadable = f"{section.postfix_table}: {error.strerror}"
        else:
            parsed = parse_postfix_table(content, str(section.postfix_table))
            postfix = parsed.entries
            problems += parsed.warnings
    table = PolicyTable(collect_entries(hops, postfix), default)
    problems += [
        f"{entry.where}: {entry.reason}; mail for {entry.key or 'all other next hops'} waits"
        for entry in table.wrong_entries
    ]
    return LoadedPolicy(table, tuple(problems), unreadable)
