"""Links and paths in the pages lead somewhere."""

from pathlib import Path

import pytest

from tools.markdown_links import find_anchors, find_faults


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("[a](other.md)", 0),
        ("[a](other.md#the-second-part)", 0),
        ("[a](#here)\n\n## Here\n", 0),
        ("[a](https://example.org/nowhere)", 0),
        ("`docs/`, `make docs` and `docs of this`", 0),
        ("```\n[a](nowhere.md) `docs/nowhere.md`\n```\n", 0),
        ("[a](nowhere.md)", 1),
        ("[a](other.md#nowhere)", 1),
        ("[a](#nowhere)", 1),
        ("see `docs/nowhere.md`", 1),
    ],
)
def test_a_link_or_path_that_leads_nowhere_is_found(text: str, faults: int, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "other.md").write_text("# One\n\n## The second: part\n")
    page = tmp_path / "page.md"
    page.write_text(text)
    assert len(list(find_faults(page, tmp_path))) == faults


def test_a_heading_makes_its_anchor(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# In front of real mail\n\n```\n# a comment\n```\n\n### `serve`, and *more*\n")
    assert find_anchors(page) == {"in-front-of-real-mail", "serve-and-more"}
