"""Which test a session is of, what is kept of it, and who is told."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.protocols.inbound.cases import Case, Place
from letterlock.protocols.inbound.facts import MAX_SESSIONS, InboundTest, SessionSeen
from letterlock.services.observe.register import REMEMBERED, Register
from letterlock.storage.inbound_tests import InboundTests, make_token
from tests.fakes import FakeClock

ALICE = "alice@example.org"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tests(tmp_path: Path) -> InboundTests:
    return InboundTests(tmp_path / "inbound")


@pytest.fixture
def register(tests: InboundTests, clock: FakeClock) -> Register:
    return Register(tests, clock)


def make(tests: InboundTests, clock: FakeClock, awaited: str | None = None) -> str:
    """Make a test; gives its token."""
    now = clock.now()
    test = InboundTest(make_token(), now, now + timedelta(days=7), tuple(Case), awaited)
    tests.add(test, most=100)
    return test.token


def session(
    clock: FakeClock, key: str, ip: str = "192.0.2.1", hello: str = "mx.sender.example"
) -> SessionSeen:
    return SessionSeen(key, clock.now(), ip, Place.SHARED, hello)


def load(tests: InboundTests, token: str) -> InboundTest:
    found = tests.load(token)
    assert found is not None
    return found


def keys(tests: InboundTests, token: str) -> list[str]:
    return [each.key for each in load(tests, token).sessions]


async def test_more_of_a_session_takes_the_place_of_less(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    token = make(tests, clock)
    await register.keep(token, session(clock, "1"))
    await register.keep(token, session(clock, "1", hello="more.example"))
    assert [each.hello for each in load(tests, token).sessions] == ["more.example"]


async def test_a_test_is_open_until_its_time_is_over(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    token = make(tests, clock)
    assert register.find(token.upper()) is not None
    clock.move(timedelta(days=7))
    assert register.find(token) is None
    assert await register.forget_ended() == [token]
    assert tests.list_all() == []


@pytest.mark.parametrize(
    ("ip", "hello"), [("192.0.2.1", "other.example"), ("198.51.100.1", "MX.sender.example")]
)
async def test_who_names_no_recipient_is_known_by_address_or_name(
    tests: InboundTests, register: Register, clock: FakeClock, ip: str, hello: str
) -> None:
    token = make(tests, clock)
    assert register.find(token) is not None
    await register.keep(token, session(clock, "1"))
    await register.note_left(session(clock, "2", ip, hello))
    assert [each.is_guessed for each in load(tests, token).sessions] == [False, True]


async def test_nobody_is_known_by_a_name_without_a_dot(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    """`localhost` is anybody's."""
    token = make(tests, clock)
    assert register.find(token) is not None
    await register.keep(token, session(clock, "1", hello="localhost"))
    await register.note_left(session(clock, "2", "198.51.100.1", "localhost"))
    assert keys(tests, token) == ["1"]


async def test_one_of_an_ipv6_network_is_known_by_the_network(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    token = make(tests, clock)
    assert register.find(token) is not None
    await register.keep(token, session(clock, "1", "2001:db8::1", "a"))
    await register.note_left(session(clock, "2", "2001:db8::2", "b"))
    await register.note_left(session(clock, "3", "2001:db8:1::2", "b"))
    assert keys(tests, token) == ["1", "2"]


async def test_what_two_tests_could_have_is_nobodys(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    """A large provider sends for many: what cannot be told is not guessed."""
    tokens = [make(tests, clock), make(tests, clock)]
    for token in tokens:
        assert register.find(token) is not None
        await register.keep(token, session(clock, f"of {token}"))
    await register.note_left(session(clock, "left"))
    assert [keys(tests, token) for token in tokens] == [[f"of {token}"] for token in tokens]


async def test_a_session_that_came_before_its_test_was_known_is_found(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    token = make(tests, clock)
    await register.note_left(session(clock, "early"))
    await register.note_left(session(clock, "another's", "198.51.100.1", "x.example"))
    assert register.find(token) is not None
    await register.keep(token, session(clock, "1"))
    assert keys(tests, token) == ["early", "1"]


async def test_it_is_forgotten_after_a_while(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    token = make(tests, clock)
    await register.note_left(session(clock, "early"))
    clock.move(REMEMBERED + timedelta(seconds=1))
    assert register.find(token) is not None
    await register.keep(token, session(clock, "1"))
    assert keys(tests, token) == ["1"]


async def test_a_session_of_before_the_test_is_not_its(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    await register.note_left(session(clock, "early"))
    clock.move(timedelta(seconds=1))
    token = make(tests, clock)
    assert register.find(token) is not None
    await register.keep(token, session(clock, "1"))
    assert keys(tests, token) == ["1"]


async def test_a_process_that_starts_again_knows_its_clients(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    token = make(tests, clock)
    await register.keep(token, session(clock, "1"))
    again = Register(tests, clock)
    again.load()
    await again.note_left(session(clock, "2"))
    assert keys(tests, token) == ["1", "2"]


async def test_a_test_takes_so_many_sessions(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    token = make(tests, clock)
    many = tuple(session(clock, str(number)) for number in range(MAX_SESSIONS - 1))
    tests.change(
        token,
        lambda test: InboundTest(
            test.token, test.created, test.expires, test.offered, sessions=many
        ),
    )
    for key in ("last", "one more"):
        await register.keep(token, session(clock, key))
    test = load(tests, token)
    assert test.is_full
    assert test.sessions[-1].key == "last"


async def test_the_sender_is_told_once_when_it_is_quiet(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    """RFC 3834 §2"""
    token, quiet = make(tests, clock), timedelta(minutes=15)
    await register.keep(token, session(clock, "1"), ALICE)
    await register.keep(token, session(clock, "2"), "second@example.org")
    assert await register.take_due(quiet) == []
    clock.move(quiet)
    (due,) = await register.take_due(quiet)
    assert due.report_to == ALICE
    await register.keep(token, session(clock, "3"), ALICE)
    clock.move(quiet)
    assert await register.take_due(quiet) == []


async def test_of_two_processes_one_tells(
    tests: InboundTests, register: Register, clock: FakeClock
) -> None:
    """A reload has both for a moment."""
    token, quiet = make(tests, clock), timedelta(minutes=15)
    await register.keep(token, session(clock, "1"), ALICE)
    clock.move(quiet)
    found = await asyncio.gather(*(Register(tests, clock).take_due(quiet) for _ in range(8)))
    assert sum(map(len, found)) == 1


@pytest.mark.parametrize("sender", ["", None, "böb@example.org", "second@example.org"])
async def test_nobody_else_is_told(
    tests: InboundTests, register: Register, clock: FakeClock, sender: str | None
) -> None:
    """Nobody for the null reverse-path; where a sender was named, only that one."""
    token = make(tests, clock, ALICE)
    await register.keep(token, session(clock, "1"), sender)
    clock.move(timedelta(hours=1))
    assert await register.take_due(timedelta(minutes=15)) == []
    await register.keep(token, session(clock, "2"), "Alice@Example.org")
    clock.move(timedelta(hours=1))
    assert len(await register.take_due(timedelta(minutes=15))) == 1
