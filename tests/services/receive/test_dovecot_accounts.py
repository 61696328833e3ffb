"""Dovecot's accounts, with our own beside them."""

from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.protocols.sasl.dovecot import Accepted, Answer, Denied, NotAnswered
from letterlock.services.receive.dovecot_accounts import DovecotAccounts
from letterlock.services.receive.logins import Account, SourceUnavailable
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.users import SqliteUsers
from letterlock.storage.users import User
from tests.fakes import START
from tests.services.receive.submitting import PASSWORD, submitting

DOMAINS = (Domain("example.org"), Domain("example.com"))


class Service:
    """Says what it was told to."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def ask(self, name: str, password: str, ip: str) -> Answer:
        assert (name, password, ip) == ("alice", PASSWORD, "127.0.0.1")
        return self._answer


async def opened(folder: Path) -> NodeDatabase:
    database = NodeDatabase(folder / "node.sqlite", SystemClock())
    await database.open()
    return database


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("alice", Account("alice", frozenset({"alice@example.org", "alice@example.com"}))),
        ("bob@example.net", Account("bob@example.net", frozenset({"bob@example.net"}))),
        ("b b", Account("b b", frozenset())),
        ("known", Account("known", frozenset({"@example.org"}), 5, 6)),
        ("disabled", None),
    ],
)
async def test_our_own_account_of_that_name_says_what_it_may_send_as(
    tmp_path: Path, name: str, account: Account | None
) -> None:
    database = await opened(tmp_path)
    users = SqliteUsers(database)
    known = User("known", START, addresses=("@example.org",), max_messages=5, max_recipients=6)
    await users.add_user(known)
    await users.add_user(User("disabled", START, is_disabled=True))
    source = DovecotAccounts(Service(Denied()), users, DOMAINS)
    assert await source.find_account(name) == account
    with pytest.raises(SourceUnavailable):
        await source.find_verifier(name)
    await database.close()
    with pytest.raises(SourceUnavailable):
        await source.find_account(name)


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (Accepted("Alice"), b"235", ""),
        (Accepted("alice@example.net"), b"235", ""),
        (Denied(), b"535", "no such account, or not its password"),
        (NotAnswered("it hung up"), b"454", "Dovecot: it hung up"),
        (Accepted("\0"), b"454", "Dovecot's name of alice"),
    ],
)
async def test_who_dovecot_lets_in_is_let_in_as_it_says(
    tmp_path: Path, answer: Answer, code: bytes, told: str
) -> None:
    database = await opened(tmp_path / "other")
    source = DovecotAccounts(Service(answer), SqliteUsers(database), DOMAINS)
    async with submitting(tmp_path, source=source) as desk, desk.client() as talk:
        assert (await talk.log_in())[:3] == code
        sender = getattr(answer, "user", "nobody").lower()
        sender = sender if "@" in sender else f"{sender}@example.com"
        if code == b"235":
            assert await talk.codes(f"MAIL FROM:<{sender}>\r\n".encode()) == [250]
    assert any(told in text for text in desk.log.texts)
    await database.close()
