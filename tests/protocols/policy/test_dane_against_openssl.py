"""OpenSSL's own client finds for DANE what we find: the same chains and records, judged twice.

RFC 7671 §5; RFC 7672 §3.2. Its depth is ours too. OpenSSL's own cases are in `make proof`.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256, sha512
from pathlib import Path

import pytest

from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.pki.certificate import format_pem, read_spki
from letterlock.protocols.pki.throwaway_ca import CLIENT_AUTH, GOOD_CA, Issued, Shape, ThrowawayCa
from letterlock.protocols.policy.dane import judge_dane
from tests.fakes import START
from tests.peers import environment, program

MX = "mx.example.com"
ROOT = ThrowawayCa("Root", START)
MIDDLE = ROOT.intermediate("Middle", now=START)
OTHER = ThrowawayCa("Other", START)
SHORT = ThrowawayCa("Short", START, shape=replace(GOOD_CA, not_after=START - timedelta(days=1)))
GOOD = MIDDLE.issue([MX], now=START)

# What is sent: the leaf, and what comes with it.
CHAINS: dict[str, tuple[Issued, tuple[bytes, ...]]] = {
    "whole": (GOOD, (MIDDLE.der, ROOT.der)),
    "without the root": (GOOD, (MIDDLE.der,)),
    "leaf alone": (GOOD, ()),
    "out of order": (GOOD, (ROOT.der, OTHER.der, MIDDLE.der)),
    "expired": (MIDDLE.issue([MX], now=START, days=-1), (MIDDLE.der, ROOT.der)),
    "another's": (MIDDLE.issue(["a.example"], now=START), (MIDDLE.der, ROOT.der)),
    "wildcard": (MIDDLE.issue(["*.example.com"], now=START), (MIDDLE.der, ROOT.der)),
    "for clients": (
        MIDDLE.issue([MX], now=START, shape=Shape(eku=(CLIENT_AUTH,))),
        (MIDDLE.der, ROOT.der),
    ),
    "expired anchor": (SHORT.issue([MX], now=START), (SHORT.der,)),
}
ANCHORS = {"leaf": None, "middle": MIDDLE.der, "root": ROOT.der, "short": SHORT.der}
RECORDS = [
    *((3, selector, kind, "leaf") for selector in (0, 1) for kind in (0, 1, 2)),
    *((2, selector, kind, name) for selector in (0, 1) for kind in (0, 1) for name in ANCHORS),
]


def record_of(parts: tuple[int, int, int, str], leaf: bytes) -> TlsaRecord:
    usage, selector, kind, name = parts
    der = ANCHORS[name] or leaf
    selected = der if selector == 0 else read_spki(der)
    assert selected is not None
    digest = {0: selected, 1: sha256(selected).digest(), 2: sha512(selected).digest()}[kind]
    return TlsaRecord(usage, selector, kind, digest)


@contextmanager
def serving(leaf: Issued, above: tuple[bytes, ...], folder: Path) -> Iterator[str]:
    """Let OpenSSL show a chain; gives where."""
    (folder / "leaf.pem").write_bytes(leaf.certificate_pem)
    (folder / "key.pem").write_bytes(leaf.key_pem)
    (folder / "above.pem").write_text("".join(map(format_pem, above)))
    chain = ["-cert_chain", str(folder / "above.pem")] if above else []
    files = ["-cert", str(folder / "leaf.pem"), "-key", str(folder / "key.pem"), *chain]
    command = [str(program("openssl")), "s_server", "-accept", "127.0.0.1:0", "-no_ticket", *files]
    with subprocess.Popen(
        command,
        env=environment("openssl"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            yield next(
                line.split()[1] for line in server.stdout if re.match(r"ACCEPT \S+:\d+", line)
            )
        finally:
            server.kill()


def ask(address: str, record: TlsaRecord) -> tuple[bool, int]:
    """Give what OpenSSL's client says: if the server is authenticated, and the depth (-1: none)."""
    command = [
        *(str(program("openssl")), "s_client", "-connect", address, "-brief"),
        *("-dane_tlsa_domain", MX, "-dane_tlsa_rrdata", str(record), "-dane_ee_no_namechecks"),
        *("-attime", str(int(START.timestamp())), "-no-CApath", "-no-CAfile", "-no-CAstore"),
    ]
    answer = subprocess.run(
        command, env=environment("openssl"), input="", capture_output=True, text=True, check=False
    )
    said = answer.stdout + answer.stderr
    assert "CONNECTION ESTABLISHED" in said, said
    found = re.search(r"(?:matched|signed) .* at depth (\d+)", said)
    is_verified = "Verification: OK" in said or "Verified peername" in said
    return is_verified, int(found[1]) if found and is_verified else -1


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("chain", CHAINS)
def test_openssls_client_authenticates_whom_we_authenticate(chain: str, tmp_path: Path) -> None:
    leaf, above = CHAINS[chain]
    wrong, authenticated = [], 0
    with serving(leaf, above, tmp_path) as address:
        for parts in RECORDS:
            record = record_of(parts, leaf.der)
            judgement = judge_dane((leaf.der, *above), [record], [MX], START)
            depth = judgement.match.depth if judgement.match else -1
            ours = (judgement.is_authenticated, depth if judgement.is_authenticated else -1)
            theirs = ask(address, record)
            authenticated += theirs[0]
            if ours != theirs:
                wrong.append(f"{parts}: we say {ours}, OpenSSL {theirs}")
    assert wrong == []
    # The leaf's own records at least, by two selectors and three matching types.
    assert authenticated >= 6
