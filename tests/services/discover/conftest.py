"""Processes that share DNS, a clock and a database."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from letterlock.services.discover.mta_sts import FinderLimits
from tests.fakes import FakeClock, FixtureResolver
from tests.services.discover.mta_sts_processes import FILE_NAME, LIMITS, Process, Start


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Give what starts processes that share DNS, clock and database."""
    clock, resolver = FakeClock(), FixtureResolver()
    async with AsyncExitStack() as stack:

        async def start(limits: FinderLimits = LIMITS) -> Process:
            process = Process(tmp_path / FILE_NAME, clock, resolver, limits)
            await process.store.open()
            stack.push_async_callback(process.store.close)
            stack.push_async_callback(process.finder.close)
            return process

        yield start


@pytest.fixture
async def node(start: Start) -> Process:
    node = await start()
    node.publish("1")
    return node
