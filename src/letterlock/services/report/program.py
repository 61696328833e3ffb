"""Reports as mail where no node of ours runs: a program that takes mail as sendmail(1) does.

It gets the whole message on its standard input, and envelope sender and recipient as arguments: no
shell is in between, and an address that begins with a hyphen is no option.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.protocols.tlsrpt.destinations import MailDestination
from letterlock.services.report.carrying import Outgoing, ReportWriter

TIMEOUT_SECONDS = 60.0
_SHOWN_OCTETS = 200
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class ProgramCarrier:
    """Fulfils `carrying.MailCarrier`. `slots` bounds how many programs run at once."""

    writer: ReportWriter
    path: Path
    clock: Clock
    slots: asyncio.Semaphore

    async def send(self, report: Outgoing, destination: MailDestination, number: int) -> str | None:
        content = await self.writer.write(report, destination, number, self.clock.now())
        if isinstance(content, str):
            return content
        # As programs of this machine write lines.
        content = content.replace(b"\r\n", b"\n")
        command = (str(self.path), "-i", "-f", self.writer.submitter.contact, "--")
        async with self.slots:
            return await _run((*command, destination.address), content)


def make_program_carrier(writer: ReportWriter, path: Path, clock: Clock) -> ProgramCarrier:
    """Make one that runs a few programs at once."""
    return ProgramCarrier(writer, path, clock, asyncio.Semaphore(_AT_ONCE))


async def _run(command: tuple[str, ...], content: bytes) -> str | None:
    pipe = asyncio.subprocess.PIPE
    try:
        program = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        return f"{command[0]}: {error.strerror or error}"
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            said, _ = await program.communicate(content)
    except TimeoutError:
        return f"{command[0]}: did not end within {TIMEOUT_SECONDS:g} seconds"
    finally:
        if program.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                program.kill()
            await program.wait()
    if program.returncode == 0:
        return None
    text = said[:_SHOWN_OCTETS].decode("utf-8", "replace").strip()
    return f"{command[0]}: ended with {program.returncode}: {text!r}"
