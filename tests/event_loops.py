"""What asyncio's event loop is told of the time."""

import asyncio
from collections.abc import Callable

import pytest


def make_time_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give what lets seconds pass at once, by the clock of the loop that runs.

    What has arrived by then is still seen before the timers that became due.
    """
    loop = asyncio.get_running_loop()
    now, passed = loop.time, 0.0

    def pass_time(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(loop, "time", lambda: now() + passed)
    return pass_time
