"""A folder of certificates as a node with very many names has it, and what serving them costs.

`python -m benchmarks.many_certificates FOLDER` serves a folder that `write_many` made, and prints
`Figures` as JSON: a process of its own, so that its memory is that of serving alone.
"""

import gc
import itertools
import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from OpenSSL import SSL

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.client_contexts import ClientContexts, ClientSettings
from letterlock.network.server_certificates import ManagedPairs, ServerCertificates
from letterlock.network.tls import TlsDriver
from letterlock.protocols.pki.throwaway_ca import Shape, ThrowawayCa
from letterlock.protocols.tls.client_hello import ClientHello, KeyType, parse_client_hello
from letterlock.protocols.tls.handshake import Handshake
from letterlock.storage.certificate_files import CertificateFiles, PairListing
from letterlock.storage.certificates import CertificateId, KeptPair

ROUNDS = 40
HANDSHAKES = 50
"""In a round, with each of the two that are compared."""

# Below the enterprise number that is for documentation.
_FILLING = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds (by the clock, and of CPU), MiB of resident memory, microseconds of CPU."""

    count: int
    octets: int
    start_seconds: float
    start_cpu: float
    bare_memory: float
    start_memory: float
    full_memory: float
    choose_us: float
    first_choose_us: float
    one_handshake_us: float
    many_handshake_us: float


def write_many(folder: Path, count: int) -> None:
    """Write certificates of one name each, as large as those of public authorities are."""
    now = SystemClock().now()
    authority = ThrowawayCa("Bench Root", now).intermediate("Bench Authority", now=now)
    url = x509.UniformResourceIdentifier("http://authority.bench.example/issuer")
    shape = Shape(
        extensions=(
            # In the place of two signed certificate timestamps.
            x509.UnrecognizedExtension(_FILLING, bytes(245)),
            x509.AuthorityInformationAccess(
                [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, url)]
            ),
            x509.CRLDistributionPoints([x509.DistributionPoint([url], None, None, None)]),
        )
    )
    files = CertificateFiles(folder)
    for number in range(count):
        name = _name(number)
        issued = authority.issue([name], now=now, shape=shape)
        pair = KeptPair(issued.chain_pem, issued.key_pem)
        files.write(CertificateId(name, KeyType.ECDSA), pair)


def measure(folder: Path) -> Figures:
    """Serve the folder, to clients that ask for each name as often as for any other."""
    bare = _memory()
    begin, spent = time.monotonic(), time.process_time()
    many = _serve(folder)
    seconds, spent = time.monotonic() - begin, time.process_time() - spent
    start = _memory()
    names = list(many.names)
    chance = random.Random(1)
    chance.shuffle(names)
    first, second = (_measure_choosing(many, names) for _ in range(2))
    (certificate, key), *_ = (PairListing(folder).find_pairs() or {}).values()
    one = ServerCertificates([(certificate, key)])
    costs = _compare(one, many, names)
    return Figures(
        count=len(names),
        octets=len(certificate.read_bytes()),
        start_seconds=seconds,
        start_cpu=spent,
        bare_memory=bare,
        start_memory=start,
        full_memory=_memory(),
        choose_us=second,
        first_choose_us=first,
        one_handshake_us=costs[0],
        many_handshake_us=costs[1],
    )


def _name(number: int) -> Domain:
    return Domain(f"mail{number}.customer{number % 977}.bench.example")


def _serve(folder: Path) -> ServerCertificates:
    return ServerCertificates([], managed=ManagedPairs(PairListing(folder), _name(0)))


def _measure_choosing(chooser: ServerCertificates, names: list[str]) -> float:
    """Give the microseconds for one, without the reading of the ClientHello."""
    client = TlsDriver.client(ClientContexts().find(ClientSettings()), "mx.bench.example")
    client.do_handshake()
    read = parse_client_hello(client.bytes_to_send())
    assert isinstance(read, ClientHello)
    fields = {field: getattr(read, field) for field in ClientHello.__slots__}
    hellos = [ClientHello(**{**fields, "sni": name}) for name in names]
    begin = time.process_time()
    for hello in hellos:
        chooser.choose(hello)
    return (time.process_time() - begin) / len(hellos) * 1e6


def _compare(
    one: ServerCertificates, many: ServerCertificates, names: list[str]
) -> tuple[float, float]:
    """Give the microseconds of a handshake's server side with each, taking turns."""
    endless = itertools.cycle(names)
    context = ClientContexts().find(ClientSettings())
    costs: dict[ServerCertificates, list[float]] = {one: [], many: []}
    for number in range(ROUNDS):
        for chooser in (one, many) if number % 2 else (many, one):
            spent = sum(_shake(chooser, context, next(endless)) for _ in range(HANDSHAKES))
            costs[chooser].append(spent / HANDSHAKES)
    return median(costs[one]), median(costs[many])


def _shake(chooser: ServerCertificates, context: SSL.Context, name: str) -> float:
    """Give what a full handshake costs the server, in microseconds."""
    client = TlsDriver.client(context, name)
    spent = time.thread_time_ns()
    server = TlsDriver.server(chooser)
    spent = time.thread_time_ns() - spent
    result = None
    for _ in range(3):
        client.do_handshake()
        received = client.bytes_to_send()
        begin = time.thread_time_ns()
        server.receive(received)
        result = server.do_handshake()
        sent = server.bytes_to_send()
        spent += time.thread_time_ns() - begin
        client.receive(sent)
    assert isinstance(result, Handshake)
    assert not result.resumed
    return spent / 1000


def _memory() -> float:
    """Give the resident memory, in MiB."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Path(sys.argv[1])))))
