"""OpenSSL's own command finds the faults we find, and no others: the same chains, judged twice."""

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from letterlock.protocols.pki.certificate import format_pem
from tests.fakes import START
from tests.peers import environment, program
from tests.protocols.pki.test_chain import FAULTS, ROOT, TRUSTED

# What openssl-verify(1) has no eyes for: strength (RFC 9325 §4.5), and what we leave out unread.
OURS_ALONE = {
    "weak key",
    "weak intermediate",
    "signed with SHA-1",
    "nothing",
    "junk",
    "a leaf too large",
    "junk for the intermediate",
    "the intermediate behind too many others",
}

CODES = {
    "expired": {10},
    "not-yet-valid": {9},
    "self-signed-certificate": {18},
    "self-signed-certificate-in-chain": {19},
    "unknown-issuer": {20},
    "missing-intermediate": {20},
    "unsuitable-purpose": {26},
    # It says what else follows from it: 26 unsuitable purpose, 32 no certificate signing.
    "invalid-ca": {79, 26, 32},
    "path-length-exceeded": {25},
    "name-constraint-violated": {47, 48},
    "signature-failure": {7},
}


def verify(chain: list[bytes], folder: Path) -> set[tuple[int, int]]:
    """Give OpenSSL's objections: number and depth."""
    (folder / "root.pem").write_bytes(ROOT.pem)
    (folder / "leaf.pem").write_text(format_pem(chain[0]))
    (folder / "above.pem").write_text("".join(format_pem(der) for der in chain[1:]))
    options: list[str | Path] = [
        "-purpose",
        "sslserver",
        "-no-CApath",
        "-no-CAstore",
        "-CAfile",
        folder / "root.pem",
    ]
    if chain[1:]:
        options += ["-untrusted", folder / "above.pem"]
    options += ["-attime", str(int(START.timestamp())), folder / "leaf.pem"]
    answer = subprocess.run(
        [program("openssl"), "verify", *options],
        env=environment("openssl"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode in (0, 2), answer.stderr
    said = re.findall(r"error (\d+) at (\d+) depth", answer.stdout + answer.stderr)
    assert bool(said) == (answer.returncode == 2)
    return {(int(code), int(depth)) for code, depth in said}


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("case", TRUSTED)
def test_openssl_trusts_what_we_trust(case: str, tmp_path: Path) -> None:
    chain = [der for der in TRUSTED[case]() if der != b"junk"]
    assert verify(chain, tmp_path) == set()


COMMON = [fault for fault in FAULTS if fault[0] not in OURS_ALONE]


@pytest.mark.peer("openssl")
@pytest.mark.parametrize(
    ("make", "expected"),
    [(fault[1], fault[3]) for fault in COMMON],
    ids=[fault[0] for fault in COMMON],
)
def test_openssl_has_the_objections_we_have(
    make: Callable[[], Sequence[bytes]], expected: list[tuple[str, int | None]], tmp_path: Path
) -> None:
    theirs = verify(list(make()), tmp_path)
    for reason_code, depth in expected:
        assert any(code in CODES[reason_code] and depth == at for code, at in theirs)
    ours = {(code, depth) for reason, depth in expected for code in CODES[reason]}
    assert theirs <= ours
