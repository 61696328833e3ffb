"""Do the Markdown pages lead anywhere: links, anchors, and paths of the repository in backticks.

Links to other sites are left alone: a check must not need the network.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("*.md", "docs/**/*.md", "changes/*.md", "benchmarks/**/*.md")

_FENCE = re.compile(r"^(```|~~~).*?^\1 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
# A path of the repository as the pages name it: `docs/standards.md`, `src/letterlock/base/`.
_PATH = re.compile(r"`((?:\.ci|benchmarks|changes|docs|src|tests|tools)/[\w./-]*)`")


def find_faults(page: Path, root: Path = ROOT) -> Iterator[str]:
    """Find the links and paths of a page that lead nowhere."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    name = page.relative_to(root)
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            yield f"{name}: {link} leads nowhere"
        elif anchor and anchor not in find_anchors(target):
            yield f"{name}: {link}: {target.name} has no such heading"
    for path in _PATH.findall(text):
        if not (root / path).exists():
            yield f"{name}: `{path}` is not there"


def find_anchors(page: Path) -> set[str]:
    """Give a page's anchors: its headings in lower case, hyphens for spaces, no punctuation."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def main() -> int:
    """Check every page. Gives 0 when nothing is wrong."""
    pages = sorted({page for pattern in PAGES for page in ROOT.glob(pattern)})
    faults = [fault for page in pages for fault in find_faults(page)]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
