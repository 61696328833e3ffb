"""A gigabyte of mail log explained, beside pflogsumm, which only counts.

Both read the same file, each in a process of its own; CPU and the most memory are of that process.
The log is of a busy relay: eight lines a message, each tenth of which is put off by a fault of TLS.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

MEGABYTES = 1000
LINES_A_SECOND = 200_000
MAX_RSS_KIB = 100 * 1024
PROCESSES = 40
_BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
_TLS = (
    "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 "
    "server-signature RSA-PSS (2048 bits) server-digest SHA256"
)
_DELAYS = "delay=1.2, delays=0.1/0.01/0.6/0.5"


@dataclass(frozen=True, slots=True)
class Cost:
    """What reading cost. `rss_kib` is the most memory it had."""

    cpu: float
    rss_kib: int
    last_line: str


def write_log(path: Path, octets: int) -> int:
    """Write a log of so many octets and a little more; gives how many lines it has."""
    count = 0
    with path.open("w", encoding="ascii") as file:
        while file.tell() < octets:
            for line in make_messages(count // 8, 1000):
                file.write(line)
                count += 1
    return count


def make_messages(first: int, count: int) -> Iterator[str]:
    for number in range(first, first + count):
        moment = _BEGIN + timedelta(milliseconds=5 * number)
        begin = f"{moment:%b %e %H:%M:%S} relay postfix/"
        queue_id = f"4b{number:08X}zz"
        domain = f"d{number % 5000}.example"
        peer = f"mx.{domain}[192.0.{number % 250}.1]:25"
        smtp = f"{begin}smtp[{1000 + number % PROCESSES}]: "
        server = f"{begin}smtpd[{500 + number % 9}]: "
        yield f"{server}connect from client.example[198.51.100.7]\n"
        yield f"{server}{queue_id}: client=client.example[198.51.100.7]\n"
        yield f"{begin}cleanup[99]: {queue_id}: message-id=<{number}@client.example>\n"
        sender = "from=<someone@client.example>, size=4567, nrcpt=1 (queue active)"
        yield f"{begin}qmgr[98]: {queue_id}: {sender}\n"
        if number % 10:
            yield f"{smtp}Trusted TLS connection established to {peer}: {_TLS}\n"
            outcome = "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4XyZ)"
        else:
            fault = "certificate has expired"
            yield f"{smtp}server certificate verification failed for {peer}: {fault}\n"
            outcome = "dsn=4.7.5, status=deferred (Server certificate not verified)"
        yield f"{smtp}{queue_id}: to=<u{number}@{domain}>, relay={peer}, {_DELAYS}, {outcome}\n"
        yield f"{begin}qmgr[98]: {queue_id}: removed\n"
        yield f"{server}disconnect from client.example[198.51.100.7] ehlo=1 mail=1 rcpt=1 quit=1\n"


def run(command: Sequence[str]) -> Cost:
    """Run a program to its end, in silence."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.DEVNULL
        )
        _, _, usage = os.wait4(process.pid, 0)
        said.seek(0)
        lines = said.read().splitlines()
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(cpu, usage.ru_maxrss, lines[-1] if lines else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help="(%(default)s)")
    # `make bench` gives all benchmarks the same options.
    options, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="letterlock-bench-") as name:
        path = Path(name) / "mail.log"
        lines = write_log(path, options.megabytes * 10**6)
        print(
            f"a mail log of {lines} lines, {path.stat().st_size / 1e6:.0f} MB: {os.cpu_count()} "
            f"cores, Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f}"
        )
        print(f"{'':<12}{'CPU s':>8}{'lines/s of CPU':>16}{'MiB RSS':>9}")
        ours = run([sys.executable, "-m", "letterlock", "log", "explain", str(path)])
        print(describe("ours", ours, lines) + judge(ours, lines))
        print(f"{'':<12}{ours.last_line}")
        if shutil.which("pflogsumm") is None:
            print("without pflogsumm, which is not installed: `make peers` brings it")
            return
        theirs = run(["pflogsumm", str(path)])
        print(describe("pflogsumm", theirs, lines))
        cpu, memory = ours.cpu / theirs.cpu, ours.rss_kib / theirs.rss_kib
        print(f"{'ratio':<12}{cpu:8.2f}x{'':>15}{memory:8.2f}x")


def describe(name: str, cost: Cost, lines: int) -> str:
    return f"{name:<12}{cost.cpu:8.1f}{lines / cost.cpu:16.0f}{cost.rss_kib / 1024:9.0f}"


def judge(cost: Cost, lines: int) -> str:
    """Say whether it is as good as was asked for."""
    missed = []
    if lines / cost.cpu < LINES_A_SECOND:
        missed.append(f"{LINES_A_SECOND} lines/s")
    if cost.rss_kib > MAX_RSS_KIB:
        missed.append("100 MB")
    return f"   MISSED: {', '.join(missed)}" if missed else "   all met"


if __name__ == "__main__":
    main()
