"""Milters of others on loopback: OpenDKIM that signs, ClamAV with a signature database of one.

Each is a process of the tests' own, with its files in a folder that is there.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.interop.logging_process import LoggingProcess
from tests.journeys.running_node import PATIENCE
from tests.peers import program

SIGNED_DOMAIN = "signed.example"
SELECTOR = "test"
VIRUS = "LETTERLOCK-TEST-VIRUS-4711"
"""What a message must contain for ClamAV to find its one virus."""

_OPENDKIM = """
Mode s
Domain {domain}
Selector {selector}
KeyFile {folder}/key.pem
Socket local:{folder}/opendkim.sock
Canonicalization relaxed/simple
InternalHosts 127.0.0.0/8
UMask 000
Syslog no
Background no
AutoRestart no
RequireSafeKeys no
"""

_CLAMD = """
DatabaseDirectory {folder}/database
LocalSocket {folder}/clamd.sock
LogFile {folder}/clamd.log
Foreground yes
MaxThreads 2
"""

_CLAMAV_MILTER = """
MilterSocket unix:{folder}/clamav-milter.sock
ClamdSocket unix:{folder}/clamd.sock
LogFile {folder}/clamav-milter.log
Foreground yes
OnInfected Reject
RejectMsg Infected with %v
AddHeader Replace
"""


@dataclass(frozen=True, slots=True)
class Milters:
    """Their addresses, in our settings' words, and the public key that OpenDKIM signs with."""

    opendkim: str
    clamav: str
    key_record: str


@contextmanager
def running_milters(folder: Path) -> Iterator[Milters]:
    """Run both; they listen when this gives them."""
    with ExitStack() as stack:
        for process, path in (
            (_start_opendkim(folder), folder / "opendkim.sock"),
            (_start_clamd(folder), folder / "clamd.sock"),
        ):
            stack.callback(process.stop, signal.SIGKILL)
            _wait_until_it_listens(process, path)
        milter = _start_clamav_milter(folder)
        # libmilter takes seconds to end when it is asked to.
        stack.callback(milter.stop, signal.SIGKILL)
        _wait_until_it_listens(milter, folder / "clamav-milter.sock")
        yield Milters(
            f"unix:{folder}/opendkim.sock",
            f"unix:{folder}/clamav-milter.sock",
            (folder / "key.txt").read_text(),
        )


def _start_opendkim(folder: Path) -> LoggingProcess:
    key = folder / "key.pem"
    _run("openssl", "genrsa", "-out", key, "2048")
    public = _run("openssl", "rsa", "-in", key, "-pubout")
    text = "".join(public.splitlines()[1:-1])
    (folder / "key.txt").write_text(f"v=DKIM1; k=rsa; p={text}")
    config = folder / "opendkim.conf"
    config.write_text(_OPENDKIM.format(folder=folder, domain=SIGNED_DOMAIN, selector=SELECTOR))
    command = [str(program("opendkim", "opendkim")), "-f", "-x", str(config)]
    return LoggingProcess(command, folder / "opendkim.log", is_stderr=True)


def _start_clamd(folder: Path) -> LoggingProcess:
    database = folder / "database"
    database.mkdir()
    # A signature: name, any file, anywhere, the octets.
    (database / "own.ndb").write_text(f"Test.Virus:0:*:{VIRUS.encode().hex()}\n")
    return _start_clamav(folder, "clamd", "clamd", _CLAMD)


def _start_clamav_milter(folder: Path) -> LoggingProcess:
    return _start_clamav(folder, "clamav-milter", "clamav-milter", _CLAMAV_MILTER)


def _start_clamav(folder: Path, name: str, file: str, text: str) -> LoggingProcess:
    config = folder / f"{file}.conf"
    # It would give up root for an account that may not read here.
    user = "User root\n" if os.geteuid() == 0 else ""
    config.write_text(text.format(folder=folder) + user)
    command = [str(program(name, "clamav")), "-c", str(config)]
    return LoggingProcess(command, folder / f"{file}.log")


def _run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return done.stdout


def _wait_until_it_listens(process: LoggingProcess, path: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except OSError:
                lines = "\n".join(process.lines)
                assert process.is_running, f"{path} has ended\n{lines}"
                assert time.monotonic() < end, f"nobody listens at {path}\n{lines}"
            else:
                return
        time.sleep(0.02)
