"""Which process goes first where the CPU is short: one that gives way, and one that comes soon."""

import contextlib
import ctypes
import os
import platform
import struct
from pathlib import Path

SLICE_NANOSECONDS = 100_000
"""The least that Linux takes."""

_AUTOGROUP = Path("/proc/self/autogroup")
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""The number of the system call: the C library has no function for it."""


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


def come_soon() -> bool:
    """Let this thread run as soon as it has something to do; False where that can't be asked.

    It needs the CPU for microseconds at a time. From 6.12 on Linux lets one that asks for short
    slices go before another's slice is over, and that is up to 4 ms later (sched(7),
    sched_setattr(2)).
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period.
    asked = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, niceness, 0, SLICE_NANOSECONDS, 0, 0)
    failed: int = ctypes.CDLL(None).syscall(ctypes.c_long(number), 0, asked, 0)
    return not failed
