"""The table of all decisions, as docs/reference/tls-decisions.md has it: written, and read back.

`python -m tests.protocols.policy.decision_table` writes the page. What it then says is a decision:
look at every line that changed. `test_decision_table` holds the code to the page, cell by cell.
"""

import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

from letterlock.protocols.policy.requirement import (
    Decision,
    HostUnusable,
    Requirement,
    RequirementInvalid,
)
from tests.protocols.policy.situations import DEMANDS, MTA_STS, MX_STATES, TABLES, TLSA, decided

PAGE = Path(__file__).parents[3] / "docs/reference/tls-decisions.md"

HEAD = """\
# What TLS a host must have: every decision

For each host of a next hop: what the operator's table says (one section each), the host's TLSA
records, the MTA-STS policy of the domain, and what the message asks (RFC 8689). In the two groups
of columns DNSSEC vouches for the MX records that name the host, or does not.

A cell is the level, then the sources that must all be met.

- **dane**: the certificate matches a TLSA record; **verify**: a trusted chain and the MX host's
  name; **secure**: a trusted chain and the next hop's name; **encrypt**: TLS, whoever answers;
  **may**: TLS when offered; **none**: never TLS.
- **host only**: TLSA records prove the host, but nobody says that it is the domain's.
- **recorded**: judged and told of, and mail goes whatever comes of it.
- **skip**: this host gets no mail now; the next one is tried, and when none is left mail waits.
- **bounce**: the same, and when no host is left the message is returned at once.

Rows that say the same are put together. This page is held to by a test, cell by cell; to change a
decision, change it here too (`tests/protocols/policy/decision_table.py` writes the page anew).
"""

COLUMNS = list(product(MX_STATES, DEMANDS))


def describe(decision: Decision) -> str:
    """Give a decision in a few words."""
    match decision:
        case HostUnusable():
            return f"{'bounce' if decision.is_permanent else 'skip'} ({decision.source})"
        case RequirementInvalid():
            return "wait"
        case Requirement():
            return _describe_requirement(decision)


def _describe_requirement(requirement: Requirement) -> str:
    words = f"{requirement.level} ({', '.join(requirement.sources)})"
    dane, sts = requirement.dane, requirement.mta_sts
    if dane is not None and dane.is_enforced and not dane.is_of_domain:
        words += ", host only"
    recorded = [
        name
        for name, demand in (("dane", dane), ("mta-sts", sts))
        if demand is not None and not demand.is_enforced
    ]
    return words + (f"; recorded: {', '.join(recorded)}" if recorded else "")


def write_page() -> str:
    """Give the page as the code has it."""
    sections = (f"## {_headline(table)}\n\n{_write_table(table)}" for table in TABLES)
    return "\n".join([HEAD, *sections])


def read_page(page: str) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Give every cell: table, TLSA, MTA-STS, MX, demand, and what is decided."""
    for section in page.split("\n## ")[1:]:
        table = re.sub(r"[^a-z- ]", "", section.partition("\n")[0].lower())
        for line in section.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if not line.startswith("| ") or cells[0] in ("TLSA", "---"):
                continue
            tlsa = _expand(cells[0], list(TLSA))
            mta_sts = _expand(cells[1], list(MTA_STS))
            for (mx, demand), cell in zip(COLUMNS, cells[2:], strict=True):
                for one, other in product(tlsa, mta_sts):
                    yield table, one, other, mx, demand, cell


def _headline(table: str) -> str:
    kind, level = table.split()
    return f"{kind.capitalize()} `{level}`"


def _write_table(table: str) -> str:
    rows = {
        (tlsa, sts): tuple(describe(decided(table, tlsa, sts, mx, ask)) for mx, ask in COLUMNS)
        for tlsa, sts in product(TLSA, MTA_STS)
    }
    head = [f"{mx} MX: {demand}" for mx, demand in COLUMNS]
    lines = [f"| TLSA | MTA-STS | {' | '.join(head)} |", "|" + " --- |" * (2 + len(COLUMNS))]
    for tlsa_group in _group(list(TLSA), lambda name: tuple(rows[name, sts] for sts in MTA_STS)):
        of_group = {sts: rows[tlsa_group[0], sts] for sts in MTA_STS}
        for sts_group in _group(list(MTA_STS), of_group.__getitem__):
            labels = [_join(tlsa_group, list(TLSA)), _join(sts_group, list(MTA_STS))]
            lines.append(f"| {' | '.join([*labels, *of_group[sts_group[0]]])} |")
    return "\n".join(lines) + "\n"


def _group(names: list[str], key: Callable[[str], object]) -> list[list[str]]:
    """Put names together whose key is the same, in the order of the first of each."""
    groups: dict[object, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return list(groups.values())


def _join(names: list[str], everything: list[str]) -> str:
    return "any" if names == everything else " / ".join(names)


def _expand(label: str, everything: list[str]) -> list[str]:
    return everything if label == "any" else label.split(" / ")


if __name__ == "__main__":
    PAGE.write_text(write_page(), encoding="utf-8")
