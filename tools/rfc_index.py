"""Which RFC sections are implemented and tested where; fails on a citation that breaks the rules.

A citation is spelled `RFC 8461 §4.1` or `RFC 8461`; a further `§4.2` in the paragraph is of the
same RFC. Every RFC cited in src or tests has its row in `docs/standards.md`, and what a row calls
done is cited in src, and in tests too where it says yes. `--show` prints the index.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STANDARDS = "docs/standards.md"
STATES = ("yes", "partly", "no")

# A citation may be broken over two lines, in a comment too.
_GAP = r"[ ]?(?:\n[ ]*(?:#[ ]*)?)?"
_CITATION = re.compile(
    rf"\bRFC{_GAP}(?P<rfc>\d+)|§(?P<section>[0-9A-Z]+(?:\.[0-9A-Z]+)*)|(?P<end>\n[ #]*\n)"
)
_ANY_SPELLING = re.compile(
    rf"\brfc[ _-]?{_GAP}[ ]?\d{{3,5}}\b(?:,?[ ](?:sections?|sect?\.|appendix)[ ]\S+)?",
    re.IGNORECASE,
)
_RIGHT_SPELLING = re.compile(r"RFC(?: |[ ]?\n[ ]*(?:#[ ]*)?)[1-9]\d*\Z")
# The media type of RFC 2046 and the address type of RFC 3461 are called so.
_NOT_A_CITATION = "rfc822"
_ROW = re.compile(r"^\| *RFC (\d+) *\|([^|]*)\|([^|]*)\|([^|]*)\|$", re.MULTILINE)


@dataclass(frozen=True, slots=True, order=True)
class Citation:
    """One place that cites an RFC; `section` is "" for the whole of it."""

    rfc: int
    section: str
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Standard:
    """A row of the table: how far an RFC is done."""

    rfc: int
    title: str
    state: str
    note: str


def find_citations(path: str, text: str) -> Iterator[Citation]:
    """Find the citations in a file's text."""
    rfc: int | None = None
    for match in _CITATION.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match["rfc"]:
            rfc = int(match["rfc"])
            yield Citation(rfc, "", path, line)
        elif match["end"]:
            rfc = None
        elif rfc is not None:
            yield Citation(rfc, match["section"], path, line)


def find_misspellings(path: str, text: str) -> Iterator[str]:
    """Find what names an RFC in another way than `RFC 8461 §4.1`."""
    for match in _ANY_SPELLING.finditer(text):
        spelled = match[0]
        if spelled.lower() == _NOT_A_CITATION or _RIGHT_SPELLING.match(spelled):
            continue
        line = text.count("\n", 0, match.start()) + 1
        yield f"{path}:{line}: write `RFC 8461 §4.1`, not {' '.join(spelled.split())!r}"


def parse_standards(text: str) -> dict[int, Standard]:
    """Parse the table's rows. Raises ValueError for an unknown state, or an RFC listed twice."""
    standards: dict[int, Standard] = {}
    for number, *cells in _ROW.findall(text):
        title, state, note = (cell.strip() for cell in cells)
        if state not in STATES:
            raise ValueError(f"RFC {number}: the state {state!r} is none of {', '.join(STATES)}")
        if int(number) in standards:
            raise ValueError(f"RFC {number} is listed twice")
        standards[int(number)] = Standard(int(number), title, state, note)
    return standards


def check(standards: Mapping[int, Standard], citations: Iterable[Citation]) -> Iterator[str]:
    """Compare the table with the citations."""
    in_folder: dict[str, set[int]] = defaultdict(set)
    for citation in sorted(citations):
        if citation.rfc not in standards:
            yield f"{citation.path}:{citation.line}: RFC {citation.rfc} is not in {STANDARDS}"
        in_folder[citation.path.partition("/")[0]].add(citation.rfc)
    for standard in standards.values():
        if standard.state != "no" and standard.rfc not in in_folder["src"]:
            yield f"{STANDARDS}: RFC {standard.rfc} is {standard.state!r}, and src never cites it"
        if standard.state == "yes" and standard.rfc not in in_folder["tests"]:
            yield f"{STANDARDS}: RFC {standard.rfc} is 'yes', and no test cites it"


def format_index(standards: Mapping[int, Standard], citations: Iterable[Citation]) -> str:
    """Format, for each RFC and section, where it is implemented and where it is tested."""
    places: dict[int, dict[str, list[Citation]]] = defaultdict(lambda: defaultdict(list))
    for citation in sorted(citations):
        places[citation.rfc][citation.section].append(citation)
    lines: list[str] = []
    for rfc, sections in sorted(places.items()):
        standard = standards.get(rfc)
        lines.append(f"RFC {rfc} {standard.title} ({standard.state})" if standard else f"RFC {rfc}")
        for section in sorted(sections, key=_section_key):
            lines.append(f"  {f'§{section}' if section else '(whole)'}")
            for folder, word in (("src", "done"), ("tests", "tested")):
                cited = [each for each in sections[section] if each.path.startswith(f"{folder}/")]
                lines += [f"    {word:6} {each.path}:{each.line}" for each in cited]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Check the repository; print the index if asked. Gives 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(description="Check the citations of RFCs.")
    parser.add_argument("--show", action="store_true", help="print the index of sections")
    options = parser.parse_args(arguments)
    files = {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for folder in ("src", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
    }
    standards = parse_standards((ROOT / STANDARDS).read_text(encoding="utf-8"))
    citations = [
        citation for path, text in files.items() for citation in find_citations(path, text)
    ]
    if options.show:
        print(format_index(standards, citations))
    faults = [fault for path, text in files.items() for fault in find_misspellings(path, text)]
    faults += check(standards, citations)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _section_key(section: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (1000, part) for part in section.split(".")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
