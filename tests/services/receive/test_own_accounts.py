"""Our own accounts as what logins are checked against."""

import asyncio
import threading
from dataclasses import replace

import pytest

from letterlock.protocols.sasl.password_hash import DECOY_HASH
from letterlock.protocols.sasl.scram import make_decoy
from letterlock.services.receive import own_accounts
from letterlock.services.receive.accounts import AccountChange, make_user
from letterlock.services.receive.logins import Account, SourceUnavailable
from letterlock.services.receive.own_accounts import OwnAccounts, PasswordChecks
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.users import User
from tests.fakes import START

ALICE = make_user("alice", AccountChange(password="secret"), (), START)
USERS = {
    user.name: user
    for user in (
        ALICE,
        replace(ALICE, name="bob", is_disabled=True),
        replace(ALICE, name="carol", password_hash=None, scram=None),
    )
}


class Users:
    """What is needed of the store; None: it is away."""

    def __init__(self, users: dict[str, User] | None) -> None:
        self._users = users

    async def find_user(self, name: str) -> User | None:
        if self._users is None:
            raise StoreUnavailable("the disk is gone")
        return self._users.get(name)

    async def load_decoy_secret(self, fresh: bytes) -> bytes:
        assert len(fresh) >= 32
        if self._users is None:
            raise StoreUnavailable("the disk is gone")
        return b"kept"


class Hashes:
    """Counts what is hashed, by what it is compared with."""

    def __init__(self) -> None:
        self.compared: list[str] = []

    async def is_password(self, prepared: str, password_hash: str) -> bool:
        self.compared.append(password_hash)
        # A decoy that somebody should guess lets nobody in either.
        return password_hash == DECOY_HASH or prepared == "secret"


def source(users: dict[str, User] | None, hashes: object = None) -> OwnAccounts:
    return OwnAccounts(Users(users), hashes or PasswordChecks())  # type: ignore[arg-type] # twins


@pytest.mark.parametrize(
    ("name", "compared"),
    [
        ("alice", ALICE.password_hash),
        ("bob", DECOY_HASH),
        ("carol", DECOY_HASH),
        ("nobody", DECOY_HASH),
    ],
)
async def test_as_much_work_is_done_for_accounts_that_are_not_there(
    name: str, compared: str
) -> None:
    """RFC 4954 §9: the time that an answer takes tells nobody which accounts there are."""
    hashes = Hashes()
    found = await source(USERS, hashes).check_password(name, "secret", "192.0.2.1")
    assert hashes.compared == [compared]
    assert found == ("alice" if name == "alice" else None)


async def test_a_verifier_is_the_accounts_or_a_decoy() -> None:
    accounts = source(USERS)
    assert await accounts.find_verifier("alice") == ALICE.scram
    for name in ("bob", "carol", "nobody"):
        assert await accounts.find_verifier(name) == make_decoy(b"kept", name)


@pytest.mark.parametrize("name", ["jo@b\u00fccher.example", "jo@xn--bcher-kva.example"])
async def test_an_account_is_found_by_both_forms_of_its_domain(name: str) -> None:
    """RFC 5890 §2.3.2.1."""
    jo = make_user("Jo@B\u00dcCHER.example", AccountChange(password="secret"), (), START)
    accounts = source({jo.name: jo}, Hashes())
    account = await accounts.find_account(name)
    assert account == Account("jo@xn--bcher-kva.example", frozenset({"jo@xn--bcher-kva.example"}))
    assert await accounts.check_password(name, "secret", "192.0.2.1") == name
    assert await accounts.find_verifier(name) == jo.scram
    decoy = make_decoy(b"kept", "jo@xn--bcher-kva.example")
    assert await source({}).find_verifier(name) == decoy  # else it tells that nobody is there


async def test_an_account_is_what_may_log_in_now() -> None:
    accounts = source(USERS)
    assert await accounts.find_account("alice") == Account("alice", frozenset())
    assert await accounts.find_account("bob") is None
    assert await accounts.find_account("nobody") is None


async def test_a_store_that_is_away_is_told() -> None:
    accounts = source(None, Hashes())
    for asked in (
        accounts.check_password("alice", "secret", "192.0.2.1"),
        accounts.find_verifier("alice"),
        accounts.find_account("alice"),
    ):
        with pytest.raises(SourceUnavailable, match="the disk is gone"):
            await asked


async def test_more_than_can_wait_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a flood of logins can make us do is bounded."""
    may_end = threading.Event()
    monkeypatch.setattr(own_accounts, "MAX_WAITING", 2)
    monkeypatch.setattr(own_accounts, "is_password", lambda *_: may_end.wait(20))
    checks = PasswordChecks()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(checks.is_password("a", "b")) for _ in range(2)]
        await asyncio.sleep(0)
        assert checks.waiting == 2
        with pytest.raises(SourceUnavailable, match="too many"):
            await checks.is_password("a", "b")
        may_end.set()
        assert [await each for each in waiting] == [True, True]
    assert await checks.is_password("a", "b"), "there is room again"
    checks.close()
