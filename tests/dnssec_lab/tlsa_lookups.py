"""Which TLSA questions Postfix asks for a next hop, and which we ask.

Runs in a network of its own (`own_network`), where nobody listens on port 25:
`python -m tests.dnssec_lab.tlsa_lookups FOLDER NEXT-HOP...` writes one JSON document, next hop ->
[Postfix's questions, ours].
"""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from letterlock.network.dns import StubResolver
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.discover.routes import Route, RouteFinder
from letterlock.services.discover.tlsa import TlsaFinder
from tests.dnssec_lab.lab import DnssecLab, running_lab
from tests.dnssec_lab.own_network import enter, postfix_environment
from tests.peers import program


def main(folder: Path, next_hops: Sequence[str]) -> None:
    enter(folder)
    with running_lab(folder, port=53) as lab:
        found = {hop: [_ask_as_postfix(lab, hop), _ask_as_we(lab, hop)] for hop in next_hops}
    sys.stdout.write(json.dumps(found))


def _ask_as_postfix(lab: DnssecLab, next_hop: str) -> list[str]:
    seen = _start(lab)
    subprocess.run(
        [program("posttls-finger", "postfix"), "-t", "2", "-T", "2", "-l", "dane", next_hop],
        env=postfix_environment(lab.folder),
        check=False,
        capture_output=True,
    )
    return _questions(lab, seen)


def _ask_as_we(lab: DnssecLab, next_hop: str) -> list[str]:
    seen = _start(lab)
    asyncio.run(_find(StubResolver(*lab.resolver, random=random.SystemRandom()), next_hop))
    return _questions(lab, seen)


async def _find(resolver: StubResolver, next_hop: str) -> None:
    route = await RouteFinder(resolver, random.SystemRandom()).find(parse_next_hop(next_hop))
    if isinstance(route, Route):
        for host in route.hosts:
            await TlsaFinder(resolver).find(host, 25)


def _start(lab: DnssecLab) -> int:
    lab.forget()
    return len(lab.proxy.questions)


def _questions(lab: DnssecLab, seen: int) -> list[str]:
    """Give the names that were asked for, as Unbound passed them on: each once."""
    return sorted({name for name, rdtype in lab.proxy.questions[seen:] if rdtype == "TLSA"})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
