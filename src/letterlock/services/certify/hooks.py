"""Run a program of the operator's: without a shell, with few variables, for so long.

What it is told are its arguments, and what it may read from its standard input. Of what goes wrong
the last line that it wrote to its standard error is shown.
"""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import IO

from letterlock.base.printable import make_printable

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAX_SHOWN_CHARACTERS = 300

MAX_WRITTEN_OCTETS = 1024 * 1024
"""On the disk: what it wrote before is of no use."""
_LOOK_SECONDS = 0.25
_TAIL_OCTETS = 4096


async def run_hook(
    program: Path,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    limit: timedelta,
    given: bytes = b"",
) -> str | None:
    """Run it to its end; `given` is its input. A text says in one line why it did not do its work.

    Its environment is `PATH`, `LANG`, and `variables`. When its time is over, it is killed with all
    that it started.
    """
    environment = {"PATH": SEARCH_PATH, "LANG": "C.UTF-8", **variables}
    # Files, not pipes: what it leaves running behind it may hold a pipe open.
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as input_file:
        try:
            input_file.write(given)
            input_file.seek(0)
            process = await _start(program, arguments, environment, (input_file, errors))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return f"{program} cannot be run: {reason}"
        return await _wait(process, program, errors, limit)


async def _start(
    program: Path,
    arguments: Sequence[str],
    environment: dict[str, str],
    files: tuple[IO[bytes], IO[bytes]],
) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            str(program),
            *arguments,
            env=environment,
            cwd="/",
            stdin=files[0],
            stdout=subprocess.DEVNULL,
            stderr=files[1],
            start_new_session=True,
        )
    )
    try:
        # asyncio, when cancelled here, ends the program and not what it may have started by now.
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])
        if starting.exception() is None:
            await _end(starting.result())
        raise


async def _wait(
    process: asyncio.subprocess.Process, program: Path, errors: IO[bytes], limit: timedelta
) -> str | None:
    # Not asyncio.timeout: the task may be one that was cancelled (`base.waiting`).
    waiting = asyncio.ensure_future(process.wait())
    try:
        is_done = await _wait_with(waiting, errors, limit.total_seconds())
    finally:
        if not waiting.done():
            await _end(process)
    last = _last_line(errors)
    if not is_done:
        reason = f"{program} was ended: it did not end within {limit}"
    elif process.returncode == 0:
        return None
    else:
        reason = f"{program} {_explain_status(process.returncode or 0)}"
    return f"{reason}: {last}" if last else reason


async def _wait_with(waiting: asyncio.Future[int], errors: IO[bytes], seconds: float) -> bool:
    """Wait for its end, and keep what it writes small meanwhile; False: there is no end in time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0:
        await asyncio.wait([waiting], timeout=min(left, _LOOK_SECONDS))
        if waiting.done():
            break
        if os.fstat(errors.fileno()).st_blocks * 512 > MAX_WRITTEN_OCTETS:
            # It writes on where it was: what is before that is a hole, which takes no space.
            os.ftruncate(errors.fileno(), 0)
    return waiting.done()


async def _end(process: asyncio.subprocess.Process) -> None:
    # It leads its session, so this is all that it started and did not lead away.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _explain_status(status: int) -> str:
    if status > 0:
        return f"ended with status {status}"
    return f"was ended by signal {-status}"


def _last_line(errors: IO[bytes]) -> str:
    """Give the last line that is not empty, printable and short."""
    end = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, end - _TAIL_OCTETS))
    # A hole reads as zeros.
    tail = errors.read(_TAIL_OCTETS).replace(b"\0", b"\n")
    lines = tail.decode("utf-8", "replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return make_printable(last)[:MAX_SHOWN_CHARACTERS]
