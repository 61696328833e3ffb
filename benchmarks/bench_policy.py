"""Policies for Postfix, beside postfix-mta-sts-resolver: warm, and while others are found.

Both have 100 domains in their memory and use uvloop. "One at a time" is how a Postfix process asks,
20 of them at once; most of its cost is the kernel's. While 1,000 domains are found whose policies
nobody has, 2,000 answers that are known are asked for in a second; what is measured then is how
long they take.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from benchmarks.comparison import Contest, Sample, Stage, stage, take_sample
from benchmarks.processes import PATIENCE_SECONDS, free_port, running
from benchmarks.programs import Queries
from benchmarks.servers import Server
from tools.side_environment import is_current, side_python

WARM, COLD = 100, 1000
PACED = Queries(24_000, gap=10_000)
"""2,000 in a second, for twelve: about as long as the 1,000 take on two cores."""
_RIVAL = "policy-daemon"

_CONFIG = """\
hostname = "mx.bench.example"
domains = ["bench.example"]
contact = "postmaster@bench.example"
data_dir = "{folder}/data"
[policy_service]
listen = ["127.0.0.1:{port}"]
postfix_version = "3.7"
{settings}
"""


def main() -> None:
    with ExitStack() as stack:
        found = stack.enter_context(stage("policies", messages=40_000, unit="answers"))
        folder = found.programs.folder / "policies"
        folder.mkdir()
        servers = [stack.enter_context(_rival(folder))] * is_current(_RIVAL)
        if not servers:
            print("without a comparison: .venv-policy-daemon is not there (make bench makes it)")
        ours = stack.enter_context(_letterlock(folder))
        servers.append(ours)
        for server in servers:
            _warm_up(found, server)
        count = found.options.messages
        for title, queries in {
            "warm, one at a time": Queries(count),
            "warm, 8 under way": Queries(count, depth=8),
        }.items():
            if found.wants(title):
                _compare(title, found, servers, queries)
        if found.wants("warm, 2,000 asked in a second"):
            _compare("warm, 2,000 asked in a second", found, [ours], PACED, rounds=1)
            _while_finding(found, ours, folder / "log")


def _compare(
    title: str, found: Stage, servers: list[Server], queries: Queries, rounds: int = 0
) -> None:
    contest = Contest(title)
    turns = {server.name: partial(_ask, found, queries, server) for server in servers}
    contest.measure(rounds or found.options.rounds, turns)
    for line in contest.lines():
        print(line, flush=True)


def _ask(found: Stage, queries: Queries, server: Server) -> Sample:
    return take_sample(server, queries.count, partial(found.programs.ask, queries, server.port))


def _while_finding(found: Stage, server: Server, log: Path) -> None:
    """Ask for what is known, while everything else is asked for that there is."""
    cold = Queries(COLD, connections=50, depth=20, keys=COLD, format="cold%d.example")
    command = [str(found.programs.folder / "policy_load"), *cold.options(server.port)]
    with running(command, found.programs.folder / "cold.log"):
        _compare("... and 1,000 domains are found", found, [server], PACED, rounds=1)
    count = log.read_text(errors="replace").count(": secure match=mx.cold")
    if not count:
        raise RuntimeError("no policy was found meanwhile")
    print(f"{'':<32}{count} of them were found meanwhile")


def _warm_up(found: Stage, server: Server) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            found.programs.ask(Queries(WARM, connections=1, depth=WARM // 2), server.port)
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


@contextmanager
def _letterlock(folder: Path) -> Iterator[Server]:
    """Run `policy serve`, and the domains that it finds policies of."""
    port, log, settings = free_port(), folder / "log", folder / "settings.toml"
    world = [sys.executable, "-m", "benchmarks.policy_world", str(folder), str(WARM), str(COLD)]
    with running(world, log, dict(os.environ)):
        _wait_until(settings.exists, log)
        config = folder / "letterlock.toml"
        text = _CONFIG.format(folder=folder, port=port, settings=settings.read_text())
        config.write_text(text)
        command = [sys.executable, "-m", "letterlock", "policy", "serve", "--config", str(config)]
        with running(command, log, dict(os.environ)) as pid:
            yield Server("Letterlock", port, pid)


@contextmanager
def _rival(folder: Path) -> Iterator[Server]:
    """Run postfix-mta-sts-resolver, with all of it in its cache."""
    port = free_port()
    script = Path(__file__).with_name("policy_rival.py")
    command = [str(side_python(_RIVAL)), str(script), str(port), str(WARM)]
    with running(command, folder / "rival.log") as pid:
        yield Server("mta-sts-daemon", port, pid)


def _wait_until(is_there: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_there():
        if time.monotonic() > end:
            raise TimeoutError(log.read_text(errors="replace")[-2000:])
        time.sleep(0.1)


if __name__ == "__main__":
    main()
