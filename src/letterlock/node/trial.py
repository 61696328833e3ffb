"""Tries the database of a new configuration before workers are made from it.

In a process of its own: the supervisor runs no event loop, and goes on whatever this one meets.
"""

import asyncio
import os
import select
import signal
import traceback
from typing import NoReturn

from letterlock.base.clock import Clock
from letterlock.base.config.sections import QueueSection
from letterlock.base.errors import LocalError
from letterlock.storage.postgres.configured import make_postgres_queue
from letterlock.storage.queue import StoreUnavailable

TRIAL_SECONDS = 15.0
"""Longer than a connection is waited for."""
_MAX_OCTETS = 4096
_NODE = "trial"
"""No worker has this name: what workers have leased and begun is left alone."""


def find_fault(section: QueueSection, clock: Clock, seconds: float = TRIAL_SECONDS) -> str | None:
    """Open the database, migrating it, and close it; gives why that fails, None if it does not."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        _be_trial(section, clock, writer)
    os.close(writer)
    try:
        if not select.select([reader], (), (), seconds)[0]:
            return f"no answer in {seconds:.0f} s"
        answer = os.read(reader, _MAX_OCTETS)
    finally:
        os.close(reader)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    if not answer:
        return "it could not be tried"
    return answer.decode(errors="replace").strip() or None


def _be_trial(section: QueueSection, clock: Clock, writer: int) -> NoReturn:
    """Run in the child: answer with one line, empty when all is well."""
    try:
        fault = asyncio.run(_try(section, clock))
        os.write(writer, f"{fault}\n".encode()[:_MAX_OCTETS])
    except BaseException:  # noqa: BLE001 - a child must not unwind into the supervisor's loop
        traceback.print_exc()
    finally:
        os._exit(0)


async def _try(section: QueueSection, clock: Clock) -> str:
    try:
        store = make_postgres_queue(section, _NODE, clock)
        await store.open()
        await store.close()
    except (LocalError, StoreUnavailable) as error:
        return str(error)
    return ""
