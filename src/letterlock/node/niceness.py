"""A process that gives way to the others of its service where the CPU is short."""

import contextlib
import os
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")


def give_way(niceness: int) -> None:
    """Let all others go first, by so much (nice(1)).

    Linux may share the CPU among sessions first and only then by niceness within each
    (sched(7), autogroup): what this process uses would be counted against the ones that it is to
    give way to. So it becomes a session of its own, and that one is nice.
    """
    with contextlib.suppress(PermissionError):
        # One that leads a group cannot, and mostly leads its session already.
        os.setsid()
    os.nice(niceness)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            _AUTOGROUP.write_text(str(niceness), encoding="ascii")
