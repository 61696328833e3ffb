"""A process that gives way: nicer, and with what it uses counted for itself."""

import subprocess
import sys
from pathlib import Path

_SHOW = """
import os
from pathlib import Path
from letterlock.node.niceness import give_way
before = os.nice(0)
give_way(3)
group = Path("/proc/self/autogroup")
print(os.nice(0) - before, os.getsid(0) == os.getpid(), group.exists() and group.read_text())
"""


def show(*, is_leading: bool) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _SHOW],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=is_leading,
    )
    return done.stdout.split()


def test_it_is_nicer_and_a_session_of_its_own() -> None:
    niceness, is_leader, *group = show(is_leading=False)
    assert (niceness, is_leader) == ("3", "True")
    if Path("/proc/self/autogroup").exists():
        assert group[1:] == ["nice", "3"]


def test_one_that_leads_a_session_already_is_nicer() -> None:
    assert show(is_leading=True)[:2] == ["3", "True"]
