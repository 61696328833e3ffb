"""The commands of letterlock that the demo runs itself, or tells the user to run."""

import asyncio
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path


def format_command(*arguments: object) -> str:
    """Write a letterlock command as it can be typed here, in the user's shell."""
    return shlex.join([*_program(), *map(str, arguments)])


async def run_command(*arguments: object) -> tuple[int, list[str]]:
    """Run a letterlock command; gives its exit code and the lines it wrote."""
    process = await asyncio.create_subprocess_exec(
        # -P: no module of the current folder gets in between.
        *(sys.executable, "-P", "-m", "letterlock", *map(str, arguments)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
        return await process.wait(), output.decode("utf-8", "replace").splitlines()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _program() -> Sequence[str]:
    """Give how this program was started; short where the shell finds it."""
    started_as = Path(sys.argv[0])
    if started_as.name != "letterlock":
        return (sys.executable, "-m", "letterlock")
    found = shutil.which("letterlock")
    if found is not None and Path(found).resolve() == started_as.resolve():
        return ("letterlock",)
    return (sys.argv[0],)
