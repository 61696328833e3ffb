"""Names in the policy table: one entry for all ways to write a next hop (RFC 5890 §2.3)."""

import pytest

from letterlock.protocols.policy.table import normal_key
from letterlock.services.discover.next_hop import parse_next_hop


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("Example.COM.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("[mx.bücher.example]", "[mx.xn--bcher-kva.example]"),
        ("[MX.bücher.example]:587", "[mx.xn--bcher-kva.example]:587"),
        ("bücher.example:submission", "xn--bcher-kva.example:submission"),
        ("[IPv6:2001:DB8::1]:25", "[2001:db8::1]:25"),
        ("[2001:db8:0::1]", "[2001:db8::1]"),
        ("[192.0.2.1]:2525", "[192.0.2.1]:2525"),
    ],
)
def test_a_key_is_what_its_next_hop_asks_for(written: str, key: str) -> None:
    """An entry that is never found would let mail go without the TLS that it demands."""
    assert normal_key(written) == key
    assert parse_next_hop(written).key == key


@pytest.mark.parametrize(
    ("written", "key"),
    [
        (".bücher.example", ".xn--bcher-kva.example"),
        (".Example.com", ".example.com"),
        ("[no host", "[no host"),
        ("_A b_", "_a b_"),
        ("", ""),
    ],
)
def test_other_keys_keep_their_form(written: str, key: str) -> None:
    assert normal_key(written) == key
