"""Lists of addresses: aliases(5), virtual(5), and RFC 5322 §3.4 in Postfix's reading."""

import pytest

from letterlock.protocols.smtp.paths import Mailbox
from letterlock.protocols.tables import targets
from letterlock.protocols.tables.lines import TableError
from letterlock.protocols.tables.targets import Address, Include, SameUser, Target, parse_targets

A, B = Address("a", None), Address("b", "x.test")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [A]),
        ("a, b@x.test", [A, B]),
        ("a b@X.TEST", [A, B]),
        (" ,a,,\t b@x.test ; ", [A, B]),
        ('""', []),
        ("", []),
        ('a, ""', [A]),
        ("(comment (nested \\) ) here) a (more)", [A]),
        ("Bob <b@x.test>", [B]),
        ('"Bob, the <1>" <b@x.test>, a', [B, A]),
        ("Bob B (the first) <b@x.test> a", [B, A]),
        ("a, Bob < b@x.test >", [A, B]),
        ('<"a">', [A]),
        ('"a"', [A]),
        ('"a b"', [Address("a b", None)]),
        ('"a b"@x.test', [Address("a b", "x.test")]),
        ('"a@b"', [Address("a@b", None)]),
        (r"\a", [A]),
        (":include:/etc/list", [Include("/etc/list")]),
        ('":Include:/etc/a list", a', [Include("/etc/a list"), A]),
        ("@X.test", [SameUser("x.test")]),
        ("a@[192.0.2.1]", [Address("a", "[192.0.2.1]")]),
        ("ü@bücher.example", [Address("ü", "xn--bcher-kva.example")]),
        ("/C=DE/S=x@x.test", [Address("/C=DE/S=x", "x.test")]),
    ],
)
def test_lists_are_read_as_postfix_reads_them(text: str, expected: list[Target]) -> None:
    assert list(parse_targets(text)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("|/bin/cat", "a command (|/bin/cat) is not run"),
        ('a, "|/bin/cat a, b"', "a command (|/bin/cat a, b) is not run"),
        ("|/bin/cat@x.test", "a command"),
        ("/var/mail/x", "a file (/var/mail/x) is not written"),
        ('"/var/mail/a b"', "a file (/var/mail/a b) is not written"),
        ("~/mbox", "a file (~/mbox) is not written"),
        (":include:list", "needs the whole path of a file, not 'list'"),
        ("a (b", "a ( is not closed"),
        ("a <b", "a quote or bracket is not closed"),
        ('a "b', "a quote or bracket is not closed"),
        ("a [b", "a quote or bracket is not closed"),
        ("a > b", "a quote or bracket is not closed"),
        ("a) b", "a quote or bracket is not closed"),
        ("friends: a, b;", "not a local part"),
        ("<@r.test:a@x.test>", "is no domain"),
        ("a@b@c", "not a local part"),
        ("a@x_y", "is not a domain"),
        ("<>", "not a local part"),
        ("@", "is no domain"),
    ],
)
def test_what_cannot_be_mailed_to_is_refused(text: str, reason: str) -> None:
    with pytest.raises(TableError) as error:
        parse_targets(text)
    assert reason in str(error.value)


def test_a_list_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "MAX_TARGETS", 3)
    monkeypatch.setattr(targets, "_MAX_PLAIN_CHARACTERS", 0)
    assert len(parse_targets("a b c")) == 3
    with pytest.raises(TableError, match="more than 3"):
        parse_targets("a b c d")


def test_a_name_alone_is_completed() -> None:
    assert A.complete("x.test") == Mailbox("a", "x.test")
    assert B.complete("y.test") == Mailbox("b", "x.test")


@pytest.mark.parametrize("text", ["a, b@X.test", "a\tb.c+d@x-y.test,e", "a-@x.test _=", "a@1.2"])
def test_plain_lists_are_read_in_a_shorter_way_to_the_same_end(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = parse_targets(text)
    monkeypatch.setattr(targets, "_MAX_PLAIN_CHARACTERS", 0)
    assert parse_targets(text) == quick
