"""docs/acme-rules.md names tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "acme-rules.md"

ROW = re.compile(
    r"^\| (?P<number>\d+) \|[^|]+\|[^|]+\| (?P<state>\w+) \| (?P<tests>[^|]+) \|(?P<note>[^|]*)\|$",
    re.MULTILINE,
)
TEST = re.compile(r"`(?P<path>tests/[\w/]+\.py)::(?P<name>\w+)`")


def test_each_rule_of_the_authority_has_tests_that_there_are() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = list(ROW.finditer(text))
    assert len(rows) == text.count("\n| ") - 2, "a row is not in the form of the others"
    numbers = [int(row["number"]) for row in rows]
    assert numbers == sorted(set(numbers))
    for row in rows:
        assert row["state"] in ("yes", "partly")
        assert (row["state"] == "yes") == (not row["note"].strip()), row[0]
        tests = list(TEST.finditer(row["tests"]))
        assert tests, row[0]
        for test in tests:
            source = (ROOT / test["path"]).read_text(encoding="utf-8")
            found = re.search(rf"^ *(?:(?:async )?def )?{test['name']}\b", source, re.MULTILINE)
            assert found, test[0]
