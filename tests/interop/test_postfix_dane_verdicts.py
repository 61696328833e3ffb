"""posttls-finger, `policy test` and `check` come to the same for every zone of the DNSSEC lab.

The hosts show one certificate; what differs is what DNS says of them, and how sure that is.
"""

import json
from pathlib import Path

import pytest

from tests.dnssec_lab.own_network import run_apart

HOSTS = {
    "ee": "verified",
    "ee-cert": "verified",
    "ee-full": "verified",
    "ee-other": "refused",
    "ee-both": "verified",
    "ee-sha512": "verified",
    "ee-agile": "refused",
    "ta": "verified",
    "ta-full": "verified",
    "ta-other": "refused",
    "pkix": "encrypted",
    "pkix-and-ee": "verified",
    "nothing": "encrypted",
}
"""What each host of `dnssec_lab.handshakes.additions` comes to as a next hop."""

BY_MX = ("ee", "ee-other", "ta", "nothing")
"""Those that are asked for by their MX records too."""

EXPECTED = {
    **{f"[{host}.secure.example]": f"{word} {host}" for host, word in HOSTS.items()},
    **{f"at-{host}.secure.example": f"{HOSTS[host]} {host}" for host in BY_MX},
    # RFC 7672 §3.2.3: a certificate for *.secure.example is for one label.
    "[deep.ta.secure.example]": "refused deep.ta",
    "[clear.secure.example]": "clear clear",
    "secure.example": "refused mx1",
    "alias-mx.secure.example": "refused alias",
    "[alias-to-alias.secure.example]": "refused alias-to-alias",
    "unsigned-mx.secure.example": "refused to-unsigned",
    "[mx3.secure.example]": "refused mx3",
    "[mx4.secure.example]": "encrypted mx4",
    "[unusable.secure.example]": "encrypted unusable",
    "implicit.secure.example": "encrypted implicit",
    "[alias-without.secure.example]": "encrypted alias-without",
    "[to-bogus.secure.example]": "no host",
    "null-mx.secure.example": "no host",
    # The TLSA lookup of its first host fails: the second one gets the mail.
    "two.secure.example": "encrypted nothing",
    # RFC 7672 §2.2.1: behind an insecure MX the host is proved, and the domain is not.
    "proved.unsigned.example": "encrypted ee",
    "other.unsigned.example": "refused ee-other",
    "hosted.unsigned.example": "refused mx1",
    "[to-secure.unsigned.example]": "encrypted to-secure.unsigned.example",
    "unsigned.example": "encrypted mx.unsigned.example",
    "island.example": "encrypted mx.island.example",
    "unknown.example": "encrypted mx.unknown.example",
    "nsec3.example": "refused mx.nsec3.example",
    "good.nsec3.example": "verified mx3.nsec3.example",
    "bogus.example": "no host",
    "expired.example": "no host",
    "future.example": "no host",
    "wrong-ds.example": "no host",
    "lame.example": "no host",
}
"""Next hop -> what TLS with its first usable host comes to; names are below secure.example."""


@pytest.mark.peer("postfix", "nsd", "unbound", "ldns", "iproute2")
def test_posttls_finger_comes_to_the_same(tmp_path: Path) -> None:
    """RFC 7672 §2.2, §3.1, §3.2; RFC 7671 §9; rules 33, 35, 37, 40, 41, 44, 46 and 49"""
    said = run_apart("tests.dnssec_lab.handshakes", tmp_path, tuple(EXPECTED))
    found = json.loads(said)
    expected = {hop: _whole(text) for hop, text in EXPECTED.items()}
    assert {hop: theirs for hop, (theirs, *_) in found.items()} == expected
    assert {hop: ours for hop, (_, ours, *_) in found.items()} == expected
    checked = {hop: said[0] for hop, (_, _, *said) in found.items() if said}
    assert len(checked) >= 15
    # posttls-finger ends with the first host that answers; mail goes on to the next one.
    next_host = {"secure.example": _whole("encrypted mx2")}
    assert checked == {hop: expected[hop] for hop in checked} | next_host


def _whole(text: str) -> str:
    word, _, host = text.partition(" ")
    if text == "no host" or host.endswith(".example"):
        return text
    return f"{word} {host}.secure.example"
