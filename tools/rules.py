"""Which rules of the standards have which tests; fails where docs/rules.md calls one done untested.

A test names the rules that it proves, in one way: `rule 41`, `rules 41, 43 and 49`. `--show` prints
the rules with the places that name them.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.rfc_index import STANDARDS, STATES, Standard, find_citations, parse_standards

ROOT = Path(__file__).resolve().parent.parent
RULES = "docs/rules.md"

_ROW = re.compile(r"^\| *(\d+) *\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$", re.MULTILINE)
_NUMBERS = r"\d+(?:(?:,| and|, and)\s+\d+)*"
_NAMING = re.compile(rf"\brules?\s+({_NUMBERS})", re.IGNORECASE)
# Singular for one, plural for several; and no other word for it.
_RIGHT_NAMING = re.compile(rf"(?:rule\s+\d+|rules\s+(?=\d+\D+\d){_NUMBERS})\Z", re.IGNORECASE)
_OTHER_WORD = re.compile(r"\b(?:checklist|(?:checklist )?items?)\s+\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the list. `where` is the RFC and its sections."""

    number: int
    where: str
    text: str
    state: str
    note: str


@dataclass(frozen=True, slots=True, order=True)
class Naming:
    """One place in the tests that names a rule."""

    number: int
    path: str
    line: int


def parse_rules(text: str) -> dict[int, Rule]:
    """Parse the rows. Raises ValueError for an unknown state, and a number that is there twice."""
    rules: dict[int, Rule] = {}
    for number, *cells in _ROW.findall(text):
        where, rule, state, note = (cell.strip() for cell in cells)
        if state not in STATES:
            raise ValueError(f"rule {number}: the state {state!r} is none of {', '.join(STATES)}")
        if int(number) in rules:
            raise ValueError(f"rule {number} is listed twice")
        rules[int(number)] = Rule(int(number), where, rule, state, note)
    return rules


def find_namings(path: str, text: str) -> Iterator[Naming]:
    """Find the rules that a test file names."""
    for match in _NAMING.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        for number in re.findall(r"\d+", match[1]):
            yield Naming(int(number), path, line)


def find_misspellings(path: str, text: str) -> Iterator[str]:
    """Find what names a rule in another way."""
    for match in (*_NAMING.finditer(text), *_OTHER_WORD.finditer(text)):
        if not _RIGHT_NAMING.match(match[0]):
            line = text.count("\n", 0, match.start()) + 1
            written = " ".join(match[0].split())
            yield f"{path}:{line}: write `rule 41` or `rules 41 and 43`, not {written!r}"


def check(
    rules: Mapping[int, Rule], standards: Mapping[int, Standard], namings: Iterable[Naming]
) -> Iterator[str]:
    """Compare the list with the tests, and with the table of RFCs."""
    for number in sorted(set(range(1, max(rules, default=0) + 1)) - rules.keys()):
        yield f"{RULES}: rule {number} is missing"
    named: set[int] = set()
    for naming in sorted(namings):
        if naming.number not in rules:
            yield f"{naming.path}:{naming.line}: rule {naming.number} is not in {RULES}"
        named.add(naming.number)
    for rule in rules.values():
        yield from _check_rule(rule, standards, is_named=rule.number in named)


def _check_rule(rule: Rule, standards: Mapping[int, Standard], *, is_named: bool) -> Iterator[str]:
    cited = {citation.rfc for citation in find_citations(RULES, rule.where)}
    if not cited or not rule.text:
        yield f"{RULES}: rule {rule.number} says not what it is, or not where from"
    for rfc in sorted(cited - standards.keys()):
        yield f"{RULES}: rule {rule.number}: RFC {rfc} is not in {STANDARDS}"
    if rule.state == "yes" and rule.note:
        yield f"{RULES}: rule {rule.number} is 'yes', and says what is not done"
    if rule.state != "yes" and not rule.note:
        yield f"{RULES}: rule {rule.number} is {rule.state!r}, and does not say what is not done"
    if rule.state != "no" and not is_named:
        yield f"{RULES}: rule {rule.number} is {rule.state!r}, and no test names it"


def format_index(rules: Mapping[int, Rule], namings: Iterable[Naming]) -> str:
    """Format, for each rule, which test files name it."""
    places: dict[int, list[Naming]] = defaultdict(list)
    for naming in sorted(namings):
        places[naming.number].append(naming)
    lines: list[str] = []
    for number, rule in sorted(rules.items()):
        lines.append(f"{number} ({rule.state}) {rule.where}: {rule.text}")
        lines += [f"    {each.path}:{each.line}" for each in places[number]]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Check the repository; print the rules if asked. Gives 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(description="Check that tests prove the rules.")
    parser.add_argument("--show", action="store_true", help="print the rules with their tests")
    options = parser.parse_args(arguments)
    files = {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "tests").rglob("*.py"))
    }
    rules = parse_rules((ROOT / RULES).read_text(encoding="utf-8"))
    standards = parse_standards((ROOT / STANDARDS).read_text(encoding="utf-8"))
    namings = [naming for path, text in files.items() for naming in find_namings(path, text)]
    if options.show:
        print(format_index(rules, namings))
    faults = [fault for path, text in files.items() for fault in find_misspellings(path, text)]
    faults += check(rules, standards, namings)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
