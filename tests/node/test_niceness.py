"""A process that gives way: nicer, and with what it uses counted for itself."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from letterlock.node.niceness import SLICE_NANOSECONDS, come_soon

_SHOW = """
import os
from pathlib import Path
from letterlock.node.niceness import give_way
before = os.nice(0)
give_way(3)
group = Path("/proc/self/autogroup")
print(os.nice(0) - before, os.getsid(0) == os.getpid(), group.exists() and group.read_text())
"""


_SHOW_SLICE = """
import os, re
from pathlib import Path
from letterlock.node.niceness import come_soon
os.nice(2)
is_asked = come_soon()
state = Path("/proc/self/sched")
slices = re.findall(r"se.slice\\s*:\\s*([0-9]+)", state.read_text() if state.exists() else "")
print(is_asked, os.nice(0), *slices)
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


def nicer() -> str:
    """Give by how much a process of these tests becomes nicer: no one is more than 19."""
    return str(min(3, 19 - os.nice(0)))


def test_it_is_nicer_and_a_session_of_its_own() -> None:
    niceness, is_leader, *group = show(is_leading=False)
    assert (niceness, is_leader) == (nicer(), "True")
    if Path("/proc/self/autogroup").exists():
        assert group[1:] == ["nice", "3"]


def test_one_that_leads_a_session_already_is_nicer() -> None:
    assert show(is_leading=True)[:2] == [nicer(), "True"]


def test_short_slices_are_asked_for_and_nothing_else_changes() -> None:
    before = os.nice(0)
    done = subprocess.run(
        [sys.executable, "-c", _SHOW_SLICE], capture_output=True, text=True, check=True
    )
    is_asked, niceness, *slices = done.stdout.split()
    assert int(niceness) == min(before + 2, 19)
    major, minor = map(int, platform.release().split(".")[:2])
    if is_asked == "True" and slices and (major, minor) >= (6, 12):
        assert slices == [str(SLICE_NANOSECONDS)]


@pytest.mark.parametrize("machine", ["vax", "x86_64"])
def test_where_it_cannot_be_asked_nothing_happens(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("os.sched_getscheduler", lambda process: process + 3)
    assert not come_soon()
