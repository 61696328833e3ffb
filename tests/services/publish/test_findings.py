"""The codes of findings: others script against them, so the guide has every one."""

import re
from pathlib import Path

from letterlock.services.publish.findings import Code

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "dns-records.md"


def test_the_guide_has_every_code_and_no_other() -> None:
    table = GUIDE.read_text("utf-8").partition("| code |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert sorted(re.findall(r"`([a-z-]+)`", "".join(cells))) == sorted(Code)
