"""Postfix and we ask the same TLSA questions for every host of the DNSSEC lab, and no others.

Postfix's is the DANE client of RFC 7672's author: where records are looked for, and where they are
not, agrees name by name. What comes of the records is compared elsewhere.
"""

import json
from pathlib import Path

import pytest

from tests.dnssec_lab.own_network import run_apart
from tests.peers import require_peer

EXPECTED = {
    "secure.example": {"mx1.secure.example", "mx2.secure.example"},
    "alias-mx.secure.example": {"mx1.secure.example"},
    "[alias-to-alias.secure.example]": {"mx1.secure.example"},
    "unsigned-mx.secure.example": {"to-unsigned.secure.example"},
    "hosted.unsigned.example": {"mx1.secure.example"},
    "[mx3.secure.example]": {"mx3.secure.example", "shared"},
    "[mx4.secure.example]": {"mx4.secure.example", "mx.unsigned.example"},
    "[unusable.secure.example]": {"unusable.secure.example"},
    "implicit.secure.example": {"implicit.secure.example"},
    "[alias-without.secure.example]": {"implicit.secure.example", "alias-without.secure.example"},
    "unsigned.example": set(),
    "[to-secure.unsigned.example]": set(),
    "island.example": set(),
    "unknown.example": set(),
    "bogus.example": set(),
    "[to-bogus.secure.example]": set(),
    "nsec3.example": {"mx.nsec3.example"},
}
"""Next hop -> base domains that are asked for, and the target of an alias of records."""


@pytest.mark.peer("postfix", "nsd", "unbound", "ldns", "iproute2")
def test_postfix_asks_the_same_questions(tmp_path: Path) -> None:
    """RFC 7672 §2.2.2, §2.2.3; rules 31, 39, 40, 41, 42 and 43"""
    require_peer("postfix")
    said = run_apart("tests.dnssec_lab.tlsa_lookups", tmp_path, tuple(EXPECTED))
    for next_hop, (postfix, ours) in json.loads(said).items():
        assert postfix == ours, next_hop
        assert ours == sorted(map(_question, EXPECTED[next_hop])), next_hop


def _question(base: str) -> str:
    return "shared.secure.example." if base == "shared" else f"_25._tcp.{base}."
