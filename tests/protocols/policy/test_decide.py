"""What one MX host must have, by the table: names, SNI, and entries that stop mail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain, parse_domain
from letterlock.protocols.policy.decide import decide
from letterlock.protocols.policy.postfix_table import parse_postfix_table
from letterlock.protocols.policy.requirement import (
    Decision,
    HostUnusable,
    Level,
    Requirement,
    RequirementInvalid,
    Source,
)
from letterlock.protocols.policy.table import (
    PolicyTable,
    TableEntry,
    WrongEntry,
    collect_entries,
    parse_entry,
)
from letterlock.protocols.tlsrpt.result_types import ResultType

MX = "mx1.provider.example"
NEXT_HOP = parse_domain("example.com")
WHERE = "letterlock.toml:31"
WORDS = [
    "match=nexthop",
    "match=hostname:.example.net",
    "match=",
    "protocols=>=TLSv1",
    "protocols=TLSv1:TLSv1.1",
    "protocols=!TLSv1.3",
    "ciphers=null",
    "ciphers=export",
    "policy_type=sts",
    "policy_failure=validation-failure",
    "servername=hostname",
    "tafile=/a",
    "{ match = a.example }",
    "may",
    "none",
    "\x00",
]
DEFAULT = TableEntry("", Level.MAY, "letterlock.toml:12:policy.default_level")


def decided(
    fields: dict[str, object],
    key: str = "example.com",
    domain: Domain | None = NEXT_HOP,
    mx_host: str = MX,
) -> Decision:
    table = PolicyTable(collect_entries([parse_entry(key, fields, WHERE)]), DEFAULT)
    return decide(key, domain, mx_host, table)


def required(
    fields: dict[str, object],
    key: str = "example.com",
    domain: Domain | None = NEXT_HOP,
    mx_host: str = MX,
) -> Requirement:
    requirement = decided(fields, key, domain, mx_host)
    assert isinstance(requirement, Requirement), requirement
    return requirement


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"level": "verify"}, [MX]),
        ({"level": "secure"}, ["example.com", ".example.com"]),
        ({"level": "may"}, [MX]),
        ({"level": "encrypt"}, [MX]),
        ({"level": "verify", "match": "nexthop"}, ["example.com"]),
        ({"level": "verify", "match": ["dot-nexthop"]}, [".example.com"]),
        ({"level": "secure", "match": ["hostname"]}, [MX]),
        ({"level": "secure", "match": ["a.example", ".b.example"]}, ["a.example", ".b.example"]),
        ({"level": "verify", "match": ["hostname", MX, "nexthop"]}, [MX, "example.com"]),
        ({"level": "verify", "match": ["192.0.2.9"]}, ["192.0.2.9"]),
    ],
)
def test_names_follow_level_and_match(fields: dict[str, object], names: list[str]) -> None:
    """Postfix TLS_README: verify means the host name, secure the next hop and what is below."""
    assert required(fields).names == tuple(names)


def test_a_next_hop_in_brackets_is_named_without_them() -> None:
    domain = parse_domain("relay.example.net")
    requirement = required(
        {"level": "secure"}, "[relay.example.net]:587", domain, "relay.example.net"
    )
    assert requirement.names == ("relay.example.net", ".relay.example.net")
    assert requirement.sni == "relay.example.net"


@pytest.mark.parametrize("level", ["may", "encrypt", "fingerprint", "verify", "secure"])
def test_sni_is_the_host_name_at_every_level(level: str) -> None:
    """RFC 6066 §3; Postfix sends none, and hosts such as Gmail's then show another certificate."""
    fields: dict[str, object] = {"level": level}
    if level == "fingerprint":
        fields["match"] = "ab" * 32
    assert required(fields).sni == MX
    assert required({**fields, "servername": "hostname"}).sni == MX
    assert required({**fields, "servername": "nexthop"}).sni == "example.com"
    assert required({**fields, "servername": "other.example"}).sni == "other.example"


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "[192.0.2.1]", "[IPv6:2001:db8::1]"])
@pytest.mark.parametrize("level", ["verify", "secure"])
def test_an_address_is_proved_by_itself_and_gets_no_sni(level: str, host: str) -> None:
    """RFC 9525 §6.4, RFC 6066 §3."""
    ip = host.strip("[]").removeprefix("IPv6:")
    requirement = required({"level": level}, f"[{ip}]:25", None, host)
    assert requirement.names == (ip,)
    assert requirement.sni is None
    assert required({"level": level, "servername": "nexthop"}, f"[{ip}]", None, host).sni is None


def test_a_literal_servername_goes_to_an_address_too() -> None:
    requirement = required(
        {"level": "verify", "servername": "mx.example.com"}, "[192.0.2.1]", None, "192.0.2.1"
    )
    assert requirement.sni == "mx.example.com"


def test_a_match_that_leaves_no_name_is_wrong() -> None:
    found = decided({"level": "secure", "match": "dot-nexthop"}, "[192.0.2.1]", None, "192.0.2.1")
    assert isinstance(found, RequirementInvalid)
    assert "no name is left" in found.reason


def test_the_rest_of_the_entry_is_carried_over() -> None:
    requirement = required(
        {"level": "verify", "tafile": ["/a.pem"], "protocols": "TLSv1.2", "ciphers": "high"}
    )
    assert requirement.trust_files == ("/a.pem",)
    assert (requirement.min_version, requirement.max_version) == ("TLSv1.2", "TLSv1.2")
    assert requirement.ciphers is not None
    pinned = required({"level": "fingerprint", "match": "ab" * 32})
    assert pinned.fingerprints == ("sha256:" + "ab" * 32,)


def test_the_reason_says_which_entry_of_which_file() -> None:
    requirement = required({"level": "verify"})
    assert requirement.reason == "policy table: example.com verify (letterlock.toml:31)"
    assert requirement.source is Source.TABLE


@pytest.mark.parametrize(
    ("level", "source"),
    [
        (Level.MAY, Source.OPPORTUNISTIC),
        (Level.SECURE, Source.DEFAULT),
        (Level.NONE, Source.DEFAULT),
    ],
)
def test_without_an_entry_the_default_holds(level: Level, source: Source) -> None:
    table = PolicyTable({}, TableEntry("", level, "letterlock.toml:12"))
    requirement = decide("example.com", NEXT_HOP, MX, table)
    assert isinstance(requirement, Requirement)
    assert (requirement.level, requirement.source) == (level, source)
    assert requirement.reason == f"default level: {level} (letterlock.toml:12)"


def test_the_table_comes_before_the_default_in_both_directions() -> None:
    """RFC 7435 §3: explicit policy is neither raised nor lowered by what else there is."""
    table = PolicyTable(
        collect_entries([TableEntry("example.com", Level.MAY, WHERE)]),
        TableEntry("", Level.SECURE, WHERE),
    )
    requirement = decide("example.com", NEXT_HOP, MX, table)
    assert isinstance(requirement, Requirement)
    assert requirement.level is Level.MAY


def test_a_wrong_entry_stops_mail_for_its_key_and_no_other() -> None:
    wrong = WrongEntry("example.com", "letterlock.toml:31", "there is no attribute 'mach'")
    table = PolicyTable(collect_entries([wrong]), DEFAULT)
    found = decide("example.com", NEXT_HOP, MX, table)
    assert found == RequirementInvalid("letterlock.toml:31", "there is no attribute 'mach'")
    assert isinstance(decide("example.net", parse_domain("example.net"), MX, table), Requirement)


@pytest.mark.parametrize("level", ["dane", "dane-only"])
def test_dane_stops_mail_where_its_records_were_not_looked_up(level: str) -> None:
    """RFC 7672 §2.2: never at a lower level."""
    default = PolicyTable({}, TableEntry("", Level(level), WHERE))
    for found in (decided({"level": level}), decide("example.com", NEXT_HOP, MX, default)):
        assert isinstance(found, HostUnusable)
        assert found.result_type is ResultType.DANE_REQUIRED
        assert not found.is_permanent


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join))
def test_whatever_stands_behind_the_level_nothing_is_lowered(attributes: str) -> None:
    """RFC 7435 §3: mail for the key waits, or goes as `secure` with a name to prove."""
    line = "example.com secure " + attributes.replace("\n", " ").replace("\r", " ")
    entries = parse_postfix_table(line.encode("utf-8", "replace"), "table").entries
    found = decide("example.com", NEXT_HOP, MX, PolicyTable(collect_entries(entries), DEFAULT))
    if isinstance(found, Requirement):
        assert found.level is Level.SECURE
        assert found.names
        assert found.min_version in ("TLSv1.2", "TLSv1.3")


def test_a_wrong_default_stops_all_mail_that_no_entry_is_for() -> None:
    wrong = WrongEntry("", "/etc/postfix/tls_policy", "unreadable")
    good = TableEntry("example.com", Level.VERIFY, WHERE)
    table = PolicyTable(collect_entries([good]), wrong)
    assert isinstance(decide("example.com", NEXT_HOP, MX, table), Requirement)
    found = decide("example.net", parse_domain("example.net"), MX, table)
    assert found == RequirementInvalid("/etc/postfix/tls_policy", "unreadable")
