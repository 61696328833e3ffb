"""The root's keys that are trusted: RFC 4035 §4.4."""

from pathlib import Path

import pytest

from letterlock.base.errors import LocalError
from letterlock.network.dns_anchors import IANA, load_anchors, parse_anchors

DNSKEY_2024 = (
    "AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQ"
    "WOmOElZsjICMQMC3aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/"
    "wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqpdVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBu"
    "zZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc="
)


def test_without_a_file_it_is_the_internets(tmp_path: Path) -> None:
    assert [each.tag for each in load_anchors(None)] == [20326, 38696]
    path = tmp_path / "root.ds"
    path.write_text("".join(f". IN DS {each}\n" for each in IANA))
    assert load_anchors(path) == IANA


def test_a_key_is_as_good_as_its_ds_record() -> None:
    """As Debian's dns-root-data and unbound-anchor write it."""
    text = f"; autotrust\n;;id: . 1\n.\t172800\tIN\tDNSKEY\t257 3 8 {DNSKEY_2024} ;{{id = 38696}}\n"
    assert parse_anchors(text) == IANA[1:]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "com. IN DS 1 13 2 00",
        ". IN NS a.root-servers.net.",
        ". IN DS 1 13 2",
        ". IN DS 1 13 2 zz",
        f"; . IN DNSKEY 257 3 8 {DNSKEY_2024}",
        # Revoked (RFC 5011 §2.1)
        f". IN DNSKEY 385 3 8 {DNSKEY_2024}",
    ],
)
def test_other_lines_are_passed_over(line: str) -> None:
    assert parse_anchors(line) == ()


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    with pytest.raises(LocalError, match=r"^dns\.trust_anchor: .*root\.key: No such file"):
        load_anchors(path)
    path.write_text("nothing\n")
    with pytest.raises(LocalError, match="no DS or DNSKEY record of the root"):
        load_anchors(path)
