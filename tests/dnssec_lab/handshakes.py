"""What posttls-finger makes of a next hop's TLS, and what `policy test` and `check` do.

Runs in a network of its own (`own_network`): `python -m tests.dnssec_lab.handshakes FOLDER` writes
one JSON document, next hop -> [posttls-finger's result, that of `policy test`, that of `check` for
a sender like Postfix at level `dane`]; the last one for domains only.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from cryptography import x509

from letterlock.base.clock import SystemClock
from letterlock.cli import root
from letterlock.node.explaining import make_default_config, run
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate, read_spki
from letterlock.protocols.pki.throwaway_ca import Issued
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.services.explain.document import describe_explanation
from tests.dnssec_lab.fault_proxy import Fault
from tests.dnssec_lab.lab import DnssecLab, running_lab
from tests.dnssec_lab.own_network import enter, postfix_environment
from tests.interop.background import in_background
from tests.misbehaving import Conduct, serving_at
from tests.network.certificates import authority, issue
from tests.peers import program

ADDRESSES = (*(f"127.0.0.{number}" for number in (1, *range(11, 32))), "::1")
CLEAR_ADDRESS = "127.0.0.40"
NAMES = ("*.secure.example", "mx.nsec3.example")

VERIFIED, REFUSED, ENCRYPTED, CLEAR, NO_HOST = (
    "verified",
    "refused",
    "encrypted",
    "clear",
    "no host",
)
_WORDS = {"authenticated": VERIFIED, "encrypted": ENCRYPTED, "defer": REFUSED}
BROKEN_LOOKUPS = {"two.secure.example": "_25._tcp.ee.secure.example"}
"""Next hops that are asked for while these TLSA lookups fail."""


def additions(leaf: Issued) -> Mapping[str, str]:
    """Give TLSA records that this certificate meets, or nearly."""
    facts = read_certificate(leaf.der)
    assert isinstance(facts, CertificateFacts)
    key, other = facts.spki_sha256, "11" * 32
    key512 = hashlib.sha512(read_spki(leaf.der) or b"").hexdigest()
    anchor = hashlib.sha256(authority().der).hexdigest()
    hosts = {
        "ee": [f"3 1 1 {key}"],
        "ee-cert": [f"3 0 1 {hashlib.sha256(leaf.der).hexdigest()}"],
        "ee-full": [f"3 0 0 {leaf.der.hex()}"],
        "ee-other": [f"3 1 1 {other}"],
        "ee-both": [f"3 1 1 {other}", f"3 1 1 {key}"],
        "ee-sha512": [f"3 1 2 {key512}"],
        # RFC 7671 §9: of two digests only the stronger counts.
        "ee-agile": [f"3 1 1 {key}", f"3 1 2 {'11' * 64}"],
        "ta": [f"2 0 1 {anchor}"],
        "ta-full": [f"2 0 0 {authority().der.hex()}"],
        "ta-other": [f"2 0 1 {other}"],
        "pkix": [f"1 1 1 {key}", f"0 0 1 {anchor}"],
        "pkix-and-ee": [f"1 1 1 {other}", f"3 1 1 {key}"],
        "nothing": [],
    }
    lines = []
    for number, (name, records) in enumerate(hosts.items(), 18):
        lines += [f"{name} A 127.0.0.{number}", f"at-{name} MX 10 {name}"]
        lines += [f"_25._tcp.{name} TLSA {record}" for record in records]
    # Its certificate is for one label only.
    lines += ["deep.ta A 127.0.0.31", f"_25._tcp.deep.ta TLSA 2 0 1 {anchor}"]
    lines += [f"clear A {CLEAR_ADDRESS}", f"_25._tcp.clear TLSA 3 1 1 {key}"]
    lines += ["two MX 10 ee", "two MX 20 nothing"]
    return {
        "secure.example.": "\n".join(lines),
        "nsec3.example.": f"good MX 10 mx3\nmx3 A 127.0.0.1\n_25._tcp.mx3 TLSA 3 1 1 {key}",
        "unsigned.example.": (
            "proved MX 10 ee.secure.example.\nother MX 10 ee-other.secure.example."
        ),
    }


def main(folder: Path, next_hops: list[str]) -> None:
    enter(folder)
    leaf = issue(NAMES)
    # With its authority: RFC 7672 §3.1.2 has an anchor that records point at sent along.
    anchor = x509.load_der_x509_certificate(authority().der)
    leaf = replace(leaf, chain=(*leaf.chain, anchor))
    good, clear = Conduct(leaf), Conduct(leaf, has_starttls=False)
    with (
        running_lab(folder, additions(leaf), port=53) as lab,
        in_background(serving_at(ADDRESSES, 25, good)),
        in_background(serving_at((CLEAR_ADDRESS,), 25, clear)),
    ):
        found = {hop: _ask_both(lab, hop) for hop in next_hops}
        domains = [hop for hop in next_hops if "[" not in hop and hop not in BROKEN_LOOKUPS]
        # Many share an address, to which one run makes so many connections and no more.
        for document in (*_check(domains[::2]), *_check(domains[1::2])):
            found[document["domain"]].append(_read_check(document))
    sys.stdout.write(json.dumps(found))


def _ask_both(lab: DnssecLab, hop: str) -> list[str]:
    broken = BROKEN_LOOKUPS.get(hop)
    with lab.failing(broken, "TLSA", Fault.SERVFAIL) if broken else nullcontext():
        return [_ask_posttls_finger(lab, hop), _ask_us(hop)]


def _ask_posttls_finger(lab: DnssecLab, hop: str) -> str:
    command: list[str | Path] = [
        program("posttls-finger", "postfix"),
        "-t",
        "10",
        "-T",
        "10",
        "-l",
        "dane",
    ]
    done = subprocess.run(
        [*command, "-L", "summary,verbose", hop],
        env=postfix_environment(lab.folder),
        check=False,
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    found = re.search(r"(\w+) TLS connection established to (\S+)\[", said)
    if found is None:
        spoken = re.search(r"Connected to (\S+)\[", said)
        return f"{CLEAR} {spoken[1]}" if spoken is not None else NO_HOST
    if found[1] == "Verified":
        return f"{VERIFIED} {found[2]}"
    # It goes on with a host that its level would refuse. By records of a host behind an insecure
    # MX it says Trusted; Untrusted, where there are none that can be used.
    is_asked = "DNSSEC-signed TLSA record" in said and "all TLSA records unusable" not in said
    is_refused = is_asked and found[1] == "Untrusted"
    return f"{REFUSED if is_refused else ENCRYPTED} {found[2]}"


def _ask_us(hop: str) -> str:
    config, clock = make_default_config(), SystemClock()
    document = describe_explanation(run(config, hop, TlsDemand.NORMAL, clock, is_live=True))
    for host in document["hosts"]:
        if host["verdict"] is not None:
            word = CLEAR if host["handshake"] is None else _WORDS[host["verdict"]["outcome"]]
            return f"{word} {host['name']}"
    return NO_HOST


def _check(domains: list[str]) -> list[dict[str, Any]]:
    with redirect_stdout(StringIO()) as said:
        options = ("--json", "--pace", "0", "--retries", "0", "--connections", "12")
        root.main(["check", *options, *domains])
    documents: list[dict[str, Any]] = json.loads(said.getvalue())
    return documents


def _read_check(document: dict[str, Any]) -> str:
    (verdict,) = [each for each in document["verdicts"] if each["sender"] == "postfix-dane"]
    if document["no_route"] is not None:
        return NO_HOST
    if verdict["outcome"] not in _WORDS:
        return f"{verdict['outcome']}: {verdict['reason']}"
    return f"{_WORDS[verdict['outcome']]} {verdict['relay'].partition('[')[0]}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
