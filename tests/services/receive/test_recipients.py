"""Who is taken at RCPT, with tables: RFC 5321 §3.6.2, virtual(5), postconf(5)."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.protocols.tables.aliases import parse_aliases
from letterlock.protocols.tables.expansion import AddressTables
from letterlock.protocols.tables.relay import parse_relay_domains, parse_relay_recipients
from letterlock.protocols.tables.virtual import parse_virtual
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.receive.recipients import judge_recipient
from letterlock.services.receive.redirected import Redirected, redirect
from letterlock.services.redirect.files import Unreadable
from letterlock.services.redirect.tables import NO_TABLES, Tables, parse_transport_file

DIRECTORY = LocalDirectory(
    Domain("mx.x.test"),
    frozenset({Domain("x.test")}),
    frozenset({"alice@x.test", "postmaster@x.test"}),
    "postmaster",
    "+",
)
FILES = {
    "aliases": b"team: alice, gone\nlost: gone\nloop: pool\npool: loop\nout: far@far.test\n"
    b"pipe: |cmd\nvoid: :include:/none\n",
    "virtual": b"v.test x\na@v.test alice@x.test\nb@v.test gone@x.test\nr2@r.test alice@x.test\n"
    b"far@free.test alice@x.test\n",
    "transport": b"way@x.test lmtp:unix:/s\nbad@x.test error:5.7.1 not\there\n"
    b"late@x.test retry:wait\nw@v.test discard:\nwrong@x.test uucp:\n",
    "domains": b"r.test\n",
    "recipients": b"r1@r.test\n",
}
BROKEN = Unreadable("/t: No such file or directory")


def tables(**changed: object) -> Tables:
    transport = parse_transport_file(FILES["transport"], "t")
    made: Mapping[str, object] = {
        "addresses": AddressTables(
            "x.test",
            {"x.test", "mx.x.test"}.__contains__,
            parse_virtual(FILES["virtual"], "v"),
            parse_aliases(FILES["aliases"], "al"),
            {},
            "+",
        ),
        "transport": transport,
        "relay_domains": parse_relay_domains(FILES["domains"], "d"),
        "relay_recipients": parse_relay_recipients(FILES["recipients"], "r"),
    }
    return Tables(**{**made, **changed})  # type: ignore[arg-type] # the table above has the types


def judge(address: str, given: Tables, *, may_relay: bool = False) -> str:
    """Give the status and the last words of a refusal, or "taken"."""
    refused = judge_recipient(parse_mailbox(address), DIRECTORY, given, may_relay=may_relay)
    if refused is None:
        return "taken"
    assert refused.reply.text.split()[2] == f"<{address}>:"
    words = refused.reply.text.partition(">: ")[2].removeprefix("Recipient address rejected: ")
    return f"{refused.reply.code} {refused.reply.status} {words}"


UNKNOWN = "550 5.1.1 User unknown"
LATER = "451 4.3.5 our tables cannot tell now, try again later"


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("alice@x.test", "taken"),
        ("alice+tag@x.test", "taken"),
        ("gone@x.test", UNKNOWN),
        ("postmaster@mx.x.test", "taken"),
        ("team@x.test", "taken"),
        ("lost@x.test", UNKNOWN),
        ("out@x.test", "taken"),
        ("loop@x.test", LATER),
        ("pipe@x.test", LATER),
        ("void@x.test", LATER),
        ("a@v.test", "taken"),
        ("b@v.test", f"{UNKNOWN} in virtual alias table"),
        ("c@v.test", f"{UNKNOWN} in virtual alias table"),
        ("w@v.test", "taken"),
        ("r1@r.test", "taken"),
        ("r1+tag@sub.r.test", f"{UNKNOWN} in relay recipient table"),
        ("r2@r.test", "taken"),
        ("r3@r.test", f"{UNKNOWN} in relay recipient table"),
        ("far@far.test", "554 5.7.1 Relay access denied"),
        ("far@free.test", "554 5.7.1 Relay access denied"),
        ("a%v.test@far.test", "554 5.7.1 Relay access denied"),
        ("way@x.test", "taken"),
        ("bad@x.test", "550 5.7.1 not here"),
        ("late@x.test", "450 4.0.0 wait"),
        ("wrong@x.test", "taken"),
    ],
)
def test_strangers(address: str, answer: str) -> None:
    assert judge(address, tables()) == answer


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("far@far.test", "taken"),
        ("far@free.test", "taken"),
        ("r3@r.test", f"{UNKNOWN} in relay recipient table"),
        ("gone@x.test", UNKNOWN),
    ],
)
def test_clients_that_may_relay(address: str, answer: str) -> None:
    assert judge(address, tables(), may_relay=True) == answer


@pytest.mark.parametrize(
    ("name", "address", "answer"),
    [
        ("unreadable", "alice@x.test", LATER),
        ("unreadable", "far@far.test", LATER),
        ("relay_domains", "far@far.test", LATER),
        ("relay_domains", "alice@x.test", "taken"),
        ("relay_recipients", "r1@r.test", LATER),
        ("relay_recipients", "alice@x.test", "taken"),
        ("transport", "alice@x.test", "taken"),
    ],
)
def test_a_table_that_cannot_be_read_puts_off_what_it_may_be_about(
    name: str, address: str, answer: str
) -> None:
    assert judge(address, tables(**{name: BROKEN})) == answer


def test_who_may_relay_needs_no_table_of_relay_domains() -> None:
    assert judge("far@far.test", tables(relay_domains=BROKEN), may_relay=True) == "taken"


def test_the_reason_is_for_our_log_alone() -> None:
    """What our aliases are is nobody else's business."""
    mailbox = parse_mailbox("loop@x.test")
    refused = judge_recipient(mailbox, DIRECTORY, tables(), may_relay=False)
    assert refused is not None
    assert refused.reason == "aliases go in a circle: loop@x.test -> pool@x.test -> loop@x.test"
    assert "pool" not in refused.reply.text


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("alice@x.test", "taken"),
        ("team@x.test", UNKNOWN),
        ("far@far.test", "554 5.7.1 Relay access denied"),
    ],
)
def test_without_tables(address: str, answer: str) -> None:
    """The short way for no tables ends where empty ones lead to."""
    none = NO_TABLES.current()
    empty = replace(none, are_none=False)
    assert none.are_none
    assert judge(address, none) == judge(address, empty) == answer
    is_ours = address.endswith("@x.test")
    relayed = judge(address, none, may_relay=True)
    assert relayed == judge(address, empty, may_relay=True) == (answer if is_ours else "taken")


def test_postmaster_is_taken_though_its_alias_leads_to_nobody() -> None:
    """RFC 5321 §4.5.1, and what is stored then is for the mailbox, not for the alias's end."""
    aliases = parse_aliases(b"postmaster: root\nabuse: postmaster\nold: root\n", "al")
    addresses = AddressTables("x.test", {"x.test"}.__contains__, aliases=aliases)
    given = Tables(addresses, directory=DIRECTORY)
    assert [judge(f"{name}@x.test", given) for name in ("postmaster", "abuse")] == ["taken"] * 2
    assert judge("old@x.test", given) == UNKNOWN
    envelope = Envelope("a@far.test", (Recipient("postmaster@x.test"), Recipient("abuse@x.test")))
    assert redirect(envelope, given) == Redirected(envelope)
