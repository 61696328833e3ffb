"""What a benchmark asks of a server, and Letterlock as one: its defaults, as shipped.

"Held" mail goes to a port where nobody accepts, with one connection for that destination: one
message waits there for a banner, all others wait in the queue.
"""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.name_server import name_server
from benchmarks.opendkim import DOMAIN, SELECTOR
from benchmarks.processes import cpu_seconds, free_port, running, wait_for_banner

_CONFIG = """\
hostname = "mx.bench.example"
domains = ["bench.example"]
contact = "postmaster@bench.example"
data_dir = "{folder}/data"
[receive]
listen = ["127.0.0.1:{port}"]
# As Postfix, which counts no client of its own networks.
max_connections_per_client = 1000000
max_connection_rate_per_client = 1000000
[dns]
resolver = "{resolver}"
[deliver]
max_connections_per_destination = {at_once}
[deliver.routes]
"sink.example" = "[127.0.0.1]:{next_hop}"
"""


@dataclass(frozen=True, slots=True)
class Work:
    """What a server is to do: hold what it receives, or relay it to a port.

    `certificate`: files of its chain and key, with which it also offers TLS, and uses it going out.
    """

    sink_port: int | None = None
    certificate: tuple[Path, Path] | None = None
    dkim_key: Path | None = None
    """Sign with it. For us it stands among our keys, and by default an Ed25519 key beside it."""
    dkim_algorithms: tuple[str, ...] = ()
    """What we sign with; empty for our default."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `pid` has all its processes below it, but for some `others`."""

    name: str
    port: int
    pid: int
    others: tuple[int, ...] = ()

    def cpu_seconds(self) -> float:
        """Give what all its processes used so far."""
        return sum(cpu_seconds(pid) for pid in (self.pid, *self.others))


@contextmanager
def letterlock(folder: Path, work: Work, *, at_once: int = 10) -> Iterator[Server]:
    """Run a node."""
    folder.mkdir(parents=True)
    port, log = free_port(), folder / "log"
    with ExitStack() as stack:
        resolver = stack.enter_context(name_server())
        next_hop = work.sink_port
        if next_hop is None:
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=8))
            next_hop, at_once = silent.getsockname()[1], 1
        text = _CONFIG.format(
            folder=folder, port=port, resolver=resolver, at_once=at_once, next_hop=next_hop
        )
        if work.certificate is not None:
            chain, key = work.certificate
            text += f'[[tls.certificates]]\ncertificate = "{chain}"\nkey = "{key}"\n'
        if work.dkim_key is not None:
            text += _set_up_dkim(folder / "data", work.dkim_key, work.dkim_algorithms)
        config = folder / "letterlock.toml"
        config.write_text(text)
        command = [sys.executable, "-m", "letterlock", "serve", "--config", str(config)]
        pid = stack.enter_context(running(command, log, dict(os.environ)))
        wait_for_banner(port, log)
        yield Server("Letterlock", port, pid)


def _set_up_dkim(data: Path, key: Path, algorithms: tuple[str, ...]) -> str:
    """Put a key where a node looks for it; gives the settings."""
    place = data / "dkim" / DOMAIN / f"{SELECTOR}.pem"
    place.parent.mkdir(parents=True)
    shutil.copy(key, place)
    names = ", ".join(f'"{name}"' for name in algorithms)
    only = f"algorithms = [{names}]\n" if algorithms else ""
    return f'[dkim]\ndomains = ["{DOMAIN}"]\nselector = "{SELECTOR}"\n{only}'
