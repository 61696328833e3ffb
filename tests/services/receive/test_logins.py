"""Logins that come side by side: guesses count before others are looked at (RFC 4954 §9)."""

import asyncio

from letterlock.base.shared_counters import SharedCounters
from letterlock.protocols.sasl.mechanisms import Mechanism
from letterlock.protocols.sasl.passwords import PlainExchange
from letterlock.protocols.sasl.scram import ScramExchange, ScramVerifier, make_verifier
from letterlock.protocols.sasl.steps import Challenge
from letterlock.services.receive.guesses import AT_ONCE, Guesses, GuessLimits
from letterlock.services.receive.logins import Account, LoggedIn, Login, Outcome, TooManyGuesses
from tests.fakes import FakeClock
from tests.protocols.sasl.scram_client import ScramClient

MANY = 50
VERIFIER = make_verifier("right", b"salt", 4096)


class Source:
    """One password for all accounts; an answer takes a turn of the loop."""

    mechanisms = (Mechanism.PLAIN, Mechanism.SCRAM_SHA_256)

    def __init__(self) -> None:
        self.tried = self.at_once = self.most_at_once = 0

    async def check_password(self, name: str, password: str, ip: str) -> str | None:
        del ip
        self.tried += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return name if password == "right" else None

    async def find_verifier(self, name: str) -> ScramVerifier:
        del name
        return VERIFIER

    async def find_account(self, name: str) -> Account | None:
        return Account(name, frozenset())


def make_guesses(**limits: int) -> Guesses:
    counters = SharedCounters(1, b"x", slots=4096)
    return Guesses(GuessLimits(**limits), counters, 0, FakeClock())


async def say(source: Source, guesses: Guesses, ip: str, name: str, password: str) -> Outcome:
    login = Login(source, guesses, ip, PlainExchange())
    return await login.begin(f"\0{name}\0{password}".encode())


async def test_a_client_has_no_more_guesses_on_many_connections_at_once() -> None:
    source, guesses = Source(), make_guesses(per_client=10)
    outcomes = await asyncio.gather(
        *(say(source, guesses, "192.0.2.1", f"account{each}", "wrong") for each in range(MANY))
    )
    assert source.most_at_once == AT_ONCE
    assert 10 <= source.tried < 10 + AT_ONCE
    assert sum(isinstance(each, TooManyGuesses) for each in outcomes) == MANY - source.tried


async def test_strangers_have_no_more_guesses_at_an_account_all_at_once() -> None:
    source, guesses = Source(), make_guesses(per_client=0, per_account=10)
    guesses.note_login("192.0.2.1", "alice")
    await asyncio.gather(
        *(say(source, guesses, f"198.51.100.{each}", "alice", "wrong") for each in range(MANY)),
    )
    assert 10 <= source.tried < 10 + AT_ONCE
    owner = await say(source, guesses, "192.0.2.1", "alice", "right")
    assert isinstance(owner, LoggedIn)


async def test_an_owner_does_not_wait_behind_strangers() -> None:
    source, guesses = Source(), make_guesses(per_client=20, per_account=10)
    guesses.note_login("192.0.2.1", "alice")
    finished: list[str] = []

    async def tell(ip: str, password: str) -> None:
        await say(source, guesses, ip, "alice", password)
        finished.append(ip)

    strangers = [tell(f"198.51.100.{each}", "wrong") for each in range(9)]
    await asyncio.gather(*strangers, tell("192.0.2.1", "right"))
    assert finished.index("192.0.2.1") <= AT_ONCE


async def test_who_knows_the_password_gets_in_on_many_connections_at_once() -> None:
    source, guesses = Source(), make_guesses(per_client=3, per_account=3)
    outcomes = await asyncio.gather(
        *(say(source, guesses, "192.0.2.1", "alice", "right") for _ in range(MANY))
    )
    assert all(isinstance(each, LoggedIn) for each in outcomes)


async def test_who_goes_away_while_waiting_keeps_no_place() -> None:
    source, guesses = Source(), make_guesses(per_client=20)
    gone = [
        asyncio.ensure_future(say(source, guesses, "192.0.2.1", "alice", "wrong"))
        for _ in range(MANY)
    ]
    await asyncio.sleep(0)
    for each in gone:
        each.cancel()
    await asyncio.wait(gone)
    assert isinstance(await say(source, guesses, "192.0.2.1", "alice", "right"), LoggedIn)


async def test_proofs_of_scram_count_before_the_next_is_looked_at() -> None:
    """Those that had their salt before the first proof was wrong, too."""
    source, guesses = Source(), make_guesses(per_client=10)
    begun = []
    for number in range(MANY):
        login = Login(source, guesses, "192.0.2.1", ScramExchange(f"nonce{number}"))
        client = ScramClient("alice", "wrong")
        first = await login.begin(client.first())
        assert isinstance(first, Challenge)
        begun.append((login, client.final(first.octets)))
    outcomes = [await login.receive(final) for login, final in begun]
    assert sum(isinstance(each, TooManyGuesses) for each in outcomes) == MANY - 10
