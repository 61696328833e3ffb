"""OpenSSL's own cases for DANE, out of Debian's source package: fetched once, never committed.

apt verifies what it fetches by the signature of the release. What is needed of it is kept in
`.peers/openssl-vectors`.
"""

import shutil
import subprocess
import tarfile
import tempfile
from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from letterlock.protocols.dns.answers import TlsaRecord
from tests.peers import UNPACKED
from tools.install_peers import show_release

RELEASE = "bookworm"
FOLDER = UNPACKED / "openssl-vectors"
# Cases, and the name that OpenSSL's own test (80-test_dane.t) checks certificates for.
FILES = {"danetest.in": "example.com", "dane-cross.in": "server.example"}
# The root that OpenSSL's test has in its store.
ROOT_FILE = "danetest.pem"


@dataclass(frozen=True, slots=True)
class Case:
    """One block: records, chain, and what OpenSSL says; its numbers are X509_V_ERR_ codes."""

    label: str
    name: str
    records: tuple[TlsaRecord, ...]
    chain: tuple[bytes, ...]
    is_ee_without_names: bool
    error: int
    depth: int


def read_cases() -> Iterator[Case]:
    """Give all cases; fetches them when they aren't there."""
    for file, name in FILES.items():
        _fetch()
        lines = iter((FOLDER / file).read_text("ascii").splitlines())
        number = 0
        for line in lines:
            if line.strip() and not line.startswith("#"):
                number += 1
                yield _read_case(f"{file} {number}", name, line, lines)


def read_root() -> bytes:
    """Give the root of OpenSSL's test; fetches it when it isn't there."""
    _fetch()
    return _read_certificate(iter((FOLDER / ROOT_FILE).read_text("ascii").splitlines()))


def _read_case(label: str, name: str, head: str, lines: Iterator[str]) -> Case:
    record_count, certificate_count, flag, error, depth = map(int, head.split())
    records = tuple(_read_record(next(lines)) for _ in range(record_count))
    chain = tuple(_read_certificate(lines) for _ in range(certificate_count))
    return Case(label, name, records, chain, bool(flag), error, depth)


def _read_record(line: str) -> TlsaRecord:
    usage, selector, matching_type, association = line.split(None, 3)
    octets = bytes.fromhex(association)
    return TlsaRecord(int(usage), int(selector), int(matching_type), octets)


def _read_certificate(lines: Iterator[str]) -> bytes:
    while not next(lines).startswith("-----BEGIN CERTIFICATE"):
        pass
    body = ""
    while not (line := next(lines)).startswith("-----END"):
        body += line
    return a2b_base64(body)


def _fetch() -> None:
    wanted = {*FILES, ROOT_FILE}
    if all((FOLDER / name).exists() for name in wanted):
        return
    FOLDER.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as scratch:
        apt = show_release(RELEASE, Path(scratch) / "apt", kind="deb-src")
        command = [*apt, "source", "--download-only", "openssl"]
        subprocess.run(command, cwd=scratch, check=True, capture_output=True)
        [archive] = Path(scratch).glob("openssl_*.orig.tar.gz")
        found = Path(scratch) / "found"
        found.mkdir()
        with tarfile.open(archive) as source:
            for member in source:
                name = Path(member.name).name
                if Path(member.name).parent.name == "test" and name in wanted:
                    content = source.extractfile(member)
                    assert content is not None
                    (found / name).write_bytes(content.read())
        assert {path.name for path in found.iterdir()} == wanted
        shutil.rmtree(FOLDER, ignore_errors=True)
        found.rename(FOLDER)
