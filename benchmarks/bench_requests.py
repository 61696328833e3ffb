"""What each of the requests for one certificate costs an authority: CPU, without HTTP and TLS.

The application is called as an ASGI server calls it, over the SQLite store on a disk. Of each POST
some 80 us are OpenSSL's, for the signature of the client; the rest is ours. What goes on behind the
requests, validating and issuing, is not in it, nor are clients.
"""

import argparse
import asyncio
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.protocols.acme import requests
from letterlock.protocols.acme.identifiers import parse_identifier
from tests.acme_http import BASE, JOSE, Answered, Client, World, send
from tests.acme_store import WatchedStore
from tests.fakes import FakeClock

KEY = ec.generate_private_key(ec.SECP256R1())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (%(default)s)")
    parser.add_argument("--certificates", type=int, default=200, help="in a run (%(default)s)")
    # `make bench` gives all benchmarks the same options.
    options, _ = parser.parse_known_args()
    found: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for name, cost in measure(options.certificates).items():
            found[name].append(cost)
    print(f"requests for a certificate: medians of {options.rounds}, CPU in us")
    for name, costs in found.items():
        print(f"{name:24} {median(costs):6.0f}")
    print(f"{'together':24} {sum(median(costs) for costs in found.values()):6.0f}")


def measure(certificates: int) -> dict[str, float]:
    """Give the mean cost of each request, in microseconds."""
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_measure(Path(folder), certificates))


async def _measure(folder: Path, certificates: int) -> dict[str, float]:
    store = WatchedStore(folder / "authority.db", FakeClock())
    await store.open()
    client = _Measured(World(store))
    await client.open()
    for number in range(certificates):
        await _obtain(client, f"{number}.example")
    await store.close()
    return {name: sum(costs) / len(costs) for name, costs in client.costs.items()}


class _Measured(Client):
    """Notes what each kind of request costs."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.costs: defaultdict[str, list[float]] = defaultdict(list)

    async def timed(self, name: str, url: str, payload: object = None) -> Answered:
        body = await self.sign(url, payload)
        path, headers = url.removeprefix(BASE), ((b"content-type", JOSE.encode()),)
        start = time.process_time()
        answered = await send(self.world.app, ("POST", path), body, headers)
        self.costs[name].append((time.process_time() - start) * 1e6)
        assert answered.status < 400, answered.body
        return answered


async def _obtain(client: _Measured, name: str) -> None:
    names = frozenset({parse_identifier(name)})
    payload = requests.format_order(requests.OrderRequest(names))
    order = await client.timed("new order", f"{BASE}/new-order", payload)
    place, (url,) = order.one("Location"), order.document["authorizations"]
    challenges = (await client.timed("authorization", url)).document["challenges"]
    await client.timed("response to a challenge", challenges[0]["url"], {})
    await client.world.validate(url.rpartition("/")[2])
    await client.timed("authorization, valid", url)
    csr = requests.format_finalization(requests.make_signing_request(KEY, names))
    await client.timed("finalize", order.document["finalize"], csr)
    await client.world.issue(place.rpartition("/")[2])
    shown = await client.timed("order, valid", place)
    await client.timed("certificate", shown.document["certificate"])


if __name__ == "__main__":
    main()
