"""The operator's table: entries, keys, and what is wrong with one entry alone."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import (
    Entry,
    PolicyTable,
    TableEntry,
    WrongEntry,
    collect_entries,
    normal_key,
    parse_entry,
)
from letterlock.protocols.policy.tls_parameters import STRICT_CIPHERS, CipherWords

WHERE = 'letterlock.toml:31:policy.hops."example.com"'
SHA256 = "0123456789abcdef" * 4
DEFAULT = TableEntry("", Level.MAY, "policy.default_level")


def parsed(**fields: object) -> TableEntry:
    entry = parse_entry("example.com", fields, WHERE)
    assert isinstance(entry, TableEntry), entry
    return entry


def table(*keys: str) -> PolicyTable:
    entries = [TableEntry(key, Level.VERIFY, key) for key in keys]
    return PolicyTable(collect_entries(entries), DEFAULT)


@pytest.mark.parametrize(
    "level", ["none", "may", "encrypt", "dane", "dane-only", "verify", "secure"]
)
def test_a_level_alone_is_an_entry(level: str) -> None:
    entry = parsed(level=level)
    assert entry == TableEntry("example.com", Level(level), WHERE)


def test_levels_have_no_case() -> None:
    assert parsed(level="Secure").level is Level.SECURE


def test_every_attribute_is_kept() -> None:
    entry = parsed(
        level="verify",
        match=["hostname", "dot-nexthop", "MX.Example.NET", ".bücher.example", "192.0.2.1"],
        servername="Mail.Example.com",
        tafile=["/etc/a.pem", "/etc/b.pem"],
        protocols=">=TLSv1.3",
        ciphers="high",
        exclude=["AES128"],
    )
    assert entry == TableEntry(
        key="example.com",
        level=Level.VERIFY,
        where=WHERE,
        match=(
            "hostname",
            "dot-nexthop",
            "mx.example.net",
            ".xn--bcher-kva.example",
            "192.0.2.1",
        ),
        servername="mail.example.com",
        trust_files=("/etc/a.pem", "/etc/b.pem"),
        min_version="TLSv1.3",
        max_version=None,
        ciphers=f"{STRICT_CIPHERS}:!aNULL:!eNULL:!AES128",
        cipher_words=CipherWords("high", ("AES128",)),
    )


def test_one_text_stands_for_a_list_of_one() -> None:
    assert parsed(level="verify", match="nexthop", tafile="/a").match == ("nexthop",)


def test_fingerprints_have_two_names() -> None:
    colons = ":".join(SHA256[i : i + 2] for i in range(0, 64, 2)).upper()
    for fields in ({"match": [colons]}, {"fingerprints": [SHA256]}, {"match": f"sha256:{SHA256}"}):
        assert parsed(level="fingerprint", **fields).fingerprints == (f"sha256:{SHA256}",)
        assert parsed(level="fingerprint", **fields).match == ()
    both = parsed(level="fingerprint", match=SHA256, fingerprints="f" * 64)
    assert both.fingerprints == (f"sha256:{SHA256}", "sha256:" + "f" * 64)


def test_at_level_none_nothing_else_counts() -> None:
    """As in Postfix, which warns."""
    assert parsed(level="none", match=["x"], tafile="/a", ciphers="null").level is Level.NONE


WRONG = [
    ({}, "'' is not a level"),
    ({"level": "halfdane"}, "'halfdane' is not a level"),
    ({"level": "verfiy"}, "there are none, may, encrypt"),
    ({"level": 5}, "level is not a text"),
    ({"level": ["may", "verify"]}, "level stands more than once"),
    ({"level": "may", "mach": "x"}, "no attribute 'mach'"),
    ({"level": "may", "match": "x"}, "match has no meaning at level may"),
    ({"level": "encrypt", "match": "x"}, "match has no meaning at level encrypt"),
    ({"level": "dane", "match": "x"}, "match has no meaning at level dane"),
    ({"level": "encrypt", "tafile": "/a"}, "tafile has no meaning at level encrypt"),
    ({"level": "fingerprint", "match": SHA256, "tafile": "/a"}, "tafile has no meaning"),
    ({"level": "verify", "fingerprints": SHA256}, "fingerprints has no meaning at level verify"),
    ({"level": "verify", "match": ["a..b"]}, "match: '' is not a label"),
    ({"level": "verify", "match": ["*.example.com"]}, "match: '*' is not a label"),
    ({"level": "verify", "match": [""]}, "match is empty"),
    ({"level": "verify", "match": [5]}, "match is not a text or a list"),
    ({"level": "verify", "match": {"a": 1}}, "match is not a text or a list"),
    ({"level": "verify", "servername": "a b"}, "servername: 'a b' is not a label"),
    ({"level": "verify", "servername": "192.0.2.1"}, "servername: an address cannot be sent"),
    ({"level": "verify", "servername": "dot-nexthop.."}, "servername:"),
    (
        {"level": "may", "servername": ["a.example", "b.example"]},
        "servername stands more than once",
    ),
    ({"level": "may", "ciphers": ""}, "ciphers is empty"),
    ({"level": "may", "ciphers": "hihg"}, "'hihg' is not a grade"),
    ({"level": "may", "ciphers": "null"}, "null does not encrypt"),
    ({"level": "may", "exclude": "a b; c"}, "'b;' is not a cipher"),
    ({"level": "may", "protocols": ">=TLSv2"}, "'TLSv2' is not one of"),
    ({"level": "fingerprint"}, "needs at least one fingerprint"),
    ({"level": "fingerprint", "match": "aa:bb"}, "not a SHA-256 fingerprint"),
    ({"level": "fingerprint", "match": "zz" * 32}, "not a SHA-256 fingerprint"),
    ({"level": "fingerprint", "match": "ab" * 20}, "sha1 proves nothing"),
    ({"level": "fingerprint", "match": "ab" * 16}, "md5 proves nothing"),
]


@pytest.mark.parametrize(("fields", "reason"), WRONG)
def test_a_wrong_entry_is_named_with_its_place_and_reason(
    fields: dict[str, object], reason: str
) -> None:
    entry = parse_entry("example.com", fields, WHERE)
    assert isinstance(entry, WrongEntry)
    assert (entry.key, entry.where) == ("example.com", WHERE)
    assert reason in entry.reason


@pytest.mark.parametrize(
    "key",
    ["a b", "a..b", "", ".", "[example.com", "[example.com]25", "[example.com]:", "[]", "a:smtp"],
)
def test_a_key_that_is_no_next_hop_is_wrong(key: str) -> None:
    entry = parse_entry(key, {"level": "verify"}, WHERE)
    assert isinstance(entry, WrongEntry)
    assert "the key" in entry.reason


@pytest.mark.parametrize(
    "key",
    [
        "example.com",
        ".example.com",
        "[mx.example.com]",
        "[mx.example.com]:587",
        "example.com:587",
        "[192.0.2.1]",
        "[2001:db8::1]:25",
        "[IPv6:2001:db8::1]",
        "bücher.example",
    ],
)
def test_every_kind_of_next_hop_is_a_key(key: str) -> None:
    assert isinstance(parse_entry(key, {"level": "may"}, WHERE), TableEntry)


# Finding the entry.


@pytest.mark.parametrize(
    ("next_hop", "key"),
    [
        ("example.com", "example.com"),
        ("Example.COM", "example.com"),
        ("a.example.com", ".example.com"),
        ("a.b.example.com", ".b.example.com"),
        ("c.b.a.example.com", ".example.com"),
        ("other.com", ".com"),
        ("a.b.example", None),
        ("com", None),
        ("[example.com]", "[example.com]"),
        ("[example.com]:587", "[example.com]:587"),
        ("[EXAMPLE.com]:587", "[example.com]:587"),
        # As it is written: no default port, and parents only for a plain domain.
        ("[example.com]:25", None),
        ("[a.example.com]", None),
        ("[a.example.com]:587", None),
        ("a.example.com:587", None),
        ("192.0.2.1", None),
    ],
)
def test_the_key_is_the_next_hop_then_its_parents(next_hop: str, key: str | None) -> None:
    """Postfix TLS_README: the most specific entry, from left to right."""
    found = table(
        "example.com",
        ".example.com",
        ".b.example.com",
        ".com",
        "[example.com]",
        "[example.com]:587",
        ".2.1",
    ).find(next_hop)
    assert (found.key if found else None) == key


def test_a_domain_is_not_its_own_parent() -> None:
    assert table(".example.com").find("example.com") is None


def test_keys_with_u_labels_are_found() -> None:
    entry = parse_entry("Bücher.example", {"level": "verify"}, WHERE)
    assert PolicyTable(collect_entries([entry]), DEFAULT).find("xn--bcher-kva.example") == entry


def test_earlier_sources_come_first() -> None:
    own = TableEntry("example.com", Level.SECURE, "own")
    theirs = TableEntry("example.com", Level.MAY, "theirs")
    other = TableEntry("example.net", Level.MAY, "theirs")
    assert collect_entries([own], [theirs, other]) == {"example.com": own, "example.net": other}


def test_a_key_that_stands_twice_in_one_source_is_wrong() -> None:
    strict = TableEntry("example.com", Level.SECURE, "toml:3")
    weak = TableEntry("EXAMPLE.com", Level.MAY, "toml:9")
    found = collect_entries([strict, weak])["example.com"]
    assert found == WrongEntry("example.com", "toml:9", "the key stands at toml:3 already")


def test_wrong_entries_can_be_listed() -> None:
    wrong = WrongEntry("example.com", WHERE, "because")
    good = TableEntry("example.net", Level.MAY, WHERE)
    assert PolicyTable(collect_entries([wrong, good]), DEFAULT).wrong_entries == (wrong,)


def test_a_wrong_entry_is_found_and_never_passed_over_for_a_parent() -> None:
    """Mail for its key is never sent by a weaker rule."""
    wrong = parse_entry("a.example.com", {"level": "verfiy"}, WHERE)
    parent = TableEntry(".example.com", Level.MAY, WHERE)
    found = PolicyTable(collect_entries([wrong, parent]), DEFAULT).find("a.example.com")
    assert isinstance(found, WrongEntry)


@given(
    st.text(max_size=40),
    st.dictionaries(
        st.sampled_from(
            ["level", "match", "servername", "tafile", "protocols", "ciphers", "exclude"]
        )
        | st.text(max_size=5),
        st.one_of(
            st.none(),
            st.integers(),
            st.text(max_size=20),
            st.sampled_from(list(Level)),
            st.lists(st.text(max_size=10) | st.integers()),
        ),
    ),
)
def test_no_fields_make_parsing_fail(key: str, fields: dict[str, object]) -> None:
    assert isinstance(parse_entry(key, fields, WHERE), TableEntry | WrongEntry)


@given(st.text(max_size=40))
def test_a_normal_key_stays_as_it_is(key: str) -> None:
    assert normal_key(normal_key(key)) == normal_key(key)
    table("example.com").find(key)


# Reason and end.


def test_an_exception_carries_a_reason_and_its_last_day() -> None:
    fields = {"level": "may", "reason": "their TLSA is of the old key", "until": date(2026, 3, 31)}
    entry = parse_entry("a.example", fields, "f:1")
    assert isinstance(entry, TableEntry)
    assert (entry.reason, entry.until) == ("their TLSA is of the old key", date(2026, 3, 31))
    as_text = parse_entry("a.example", {"level": "none", "until": "2026-03-31"}, "f:1")
    assert isinstance(as_text, TableEntry)
    assert as_text.until == date(2026, 3, 31)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"until": "soon"}, "not a day"),
        ({"until": datetime(2026, 3, 31, tzinfo=UTC)}, "not a day"),
        ({"until": 20260331.5}, "not a day"),
        ({"until": "2026-02-30"}, "not a day"),
        ({"reason": "x" * 201}, "at most 200"),
        ({"reason": "two\nlines"}, "one line"),
        ({"reason": ["one", "two"]}, "more than once"),
    ],
)
def test_a_wrong_reason_or_end_makes_a_wrong_entry(fields: dict[str, object], reason: str) -> None:
    entry = parse_entry("a.example", {"level": "may", **fields}, "f:1")
    assert isinstance(entry, WrongEntry)
    assert reason in entry.reason


def test_an_entry_holds_through_its_last_day_and_no_longer() -> None:
    """UTC: the day is the caller's."""
    last = date(2026, 3, 31)
    entries: list[Entry] = [
        TableEntry("a.example", Level.MAY, "f:1", until=last),
        TableEntry(".example", Level.SECURE, "f:2"),
        WrongEntry("b.example", "f:3", "wrong"),
    ]
    table = PolicyTable(collect_entries(entries), DEFAULT)
    on_last, after = table.on(last), table.on(last + timedelta(days=1))
    assert on_last is table
    assert on_last.find("a.example") is entries[0]
    assert on_last.find_lapsed("a.example") is None
    assert after.find("a.example") is entries[1]
    assert after.find_lapsed("a.example") is entries[0]
    assert after.find_lapsed("b.example") is None
    assert after.find_lapsed("c.test") is None
    assert after.lapsed_entries == (entries[0],)
    assert after.wrong_entries == table.wrong_entries
    assert table.on(last + timedelta(days=1)) is after


@pytest.mark.parametrize(
    ("key", "fields", "reasons"),
    [
        (
            "exa mple",
            {"level": "nonsense", "mach": "x", "zone": "y", "until": "soon"},
            [
                "the key 'exa mple' is not a domain",
                "there is no attribute 'mach'",
                "there is no attribute 'zone'",
                "'nonsense' is not a level",
                "until: 'soon' is not a day",
            ],
        ),
        (
            "example.com",
            {
                "level": "verify",
                "match": ["a b", "-.example"],
                "servername": "192.0.2.1",
                "protocols": "TLSv9",
                "fingerprints": ["x"],
                "tafile": 3,
            },
            [
                "tafile is not a text or a list of texts",
                "fingerprints has no meaning at level verify",
                "'TLSv9'",
                "match: ",
                "match: ",
                "servername: an address cannot be sent as SNI",
            ],
        ),
    ],
)
def test_all_that_is_wrong_with_an_entry_is_named(
    key: str, fields: dict[str, object], reasons: list[str]
) -> None:
    entry = parse_entry(key, fields, WHERE)
    assert isinstance(entry, WrongEntry)
    position = 0
    for reason in reasons:
        position = entry.reason.index(reason, position) + 1
