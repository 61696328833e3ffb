"""Entries of `smtp_tls_policy_maps`, in words that the asking Postfix knows."""

from datetime import date
from typing import Any

import pytest

from letterlock.protocols.policy.postfix_policy import PostfixPolicy, format_policy
from letterlock.protocols.policy.postfix_reply import Undecided, find_untellable, reply_by_table
from letterlock.protocols.policy.postfix_version import AskingPostfix
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import PolicyTable, TableEntry, WrongEntry, parse_entry
from letterlock.protocols.policy.tls_parameters import CipherWords
from tests.protocols.policy.situations import PIN

OLD = (3, 7, 0)
POSTFIX = AskingPostfix(OLD)


def entry(level: Level, **fields: Any) -> TableEntry:
    return TableEntry("example.com", level, "f:1:example.com", **fields)


@pytest.mark.parametrize(
    ("version", "table_entry", "text"),
    [
        (OLD, entry(Level.NONE), "none"),
        (OLD, entry(Level.MAY), "may protocols=>=TLSv1.2"),
        (OLD, entry(Level.DANE_ONLY), "dane-only servername=hostname protocols=>=TLSv1.2"),
        (
            OLD,
            entry(Level.SECURE, match=("mx.example.com", "dot-nexthop"), servername="nexthop"),
            "secure match=mx.example.com:dot-nexthop servername=nexthop protocols=>=TLSv1.2",
        ),
        (
            OLD,
            entry(Level.VERIFY, trust_files=("/etc/a.pem", "/etc/b.pem"), max_version="TLSv1.2"),
            (
                "verify servername=hostname tafile=/etc/a.pem tafile=/etc/b.pem"
                " protocols=>=TLSv1.2:<=TLSv1.2"
            ),
        ),
        (
            OLD,
            entry(Level.FINGERPRINT, fingerprints=(PIN, PIN)),
            (
                f"fingerprint match={':'.join(['AB'] * 32)}|{':'.join(['AB'] * 32)}"
                " servername=hostname protocols=>=TLSv1.2"
            ),
        ),
        (
            OLD,
            entry(Level.ENCRYPT, cipher_words=CipherWords("high", ("RSA", "AES+ECDHE"))),
            "encrypt servername=hostname protocols=>=TLSv1.2 ciphers=high exclude=RSA:AES+ECDHE",
        ),
        ((3, 3, 0), entry(Level.ENCRYPT), "encrypt protocols=!SSLv2:!SSLv3:!TLSv1:!TLSv1.1"),
        (
            (3, 5, 0),
            entry(Level.MAY, min_version="TLSv1", max_version="TLSv1.2"),
            "may protocols=!SSLv2:!SSLv3:!TLSv1.3",
        ),
    ],
)
def test_an_entry_of_the_table_in_the_words_of_the_asking_postfix(
    version: tuple[int, int, int], table_entry: TableEntry, text: str
) -> None:
    postfix = AskingPostfix(version)
    reply = reply_by_table(table_entry, postfix)
    assert isinstance(reply, PostfixPolicy), reply
    assert format_policy(reply, postfix) == text


@pytest.mark.parametrize(
    "table_entry",
    [
        WrongEntry("example.com", "f:1:example.com", "x is not a level"),
        parse_entry("example.com", {"level": "encrypt", "ciphers": "A-B:C-D"}, "f:1:example.com"),
        entry(Level.SECURE, trust_files=("/etc/a b.pem",)),
        entry(Level.SECURE, trust_files=("/etc/a,b.pem",)),
    ],
)
def test_an_entry_that_postfix_has_no_words_for_keeps_mail_waiting(
    table_entry: TableEntry | WrongEntry,
) -> None:
    """Without a part of it the entry would be another, weaker one."""
    reply = reply_by_table(table_entry, POSTFIX)
    assert isinstance(reply, Undecided)
    assert reply.reason.startswith("f:1:example.com: ")


@pytest.mark.parametrize("level", [Level.DANE, Level.DANE_ONLY])
def test_an_entry_that_needs_dnssec_is_no_word_for_a_postfix_without(level: Level) -> None:
    assert isinstance(reply_by_table(entry(level), AskingPostfix(OLD, has_dnssec=False)), Undecided)


def test_the_reason_of_an_exception_is_told() -> None:
    reply = reply_by_table(entry(Level.MAY, reason="their TLS is broken", until=date.max), POSTFIX)
    assert reply.reason == (
        "policy table: example.com may (f:1:example.com): their TLS is broken, until 9999-12-31"
    )


def test_entries_that_cannot_be_told_are_named_before_mail_waits_for_them() -> None:
    entries = {
        "list.example": parse_entry(
            "list.example", {"level": "may", "ciphers": "A-B:C-D"}, "f:2:list.example"
        ),
        "wrong.example": WrongEntry("wrong.example", "f:3", "told elsewhere"),
        "may.example": TableEntry("may.example", Level.MAY, "f:4"),
    }
    table = PolicyTable(entries, TableEntry("", Level.DANE, "policy.default_level"))
    without = AskingPostfix(OLD, has_dnssec=False)
    (line,) = find_untellable(table, POSTFIX)
    assert line.startswith("f:2:list.example: ciphers: Postfix takes no list")
    assert line.endswith("mail for list.example waits")
    assert find_untellable(table, without) == (line,)
    pinned = PolicyTable(
        {"d.example": TableEntry("d.example", Level.DANE_ONLY, "f:5")}, entry(Level.MAY)
    )
    (line,) = find_untellable(pinned, without)
    assert line.startswith("f:5: level dane-only needs a Postfix with DNSSEC")
