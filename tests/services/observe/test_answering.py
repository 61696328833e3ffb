"""The one mail of a test, its page, and the certificate that has ended."""

from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.network.http_server import HttpAsked
from letterlock.network.key_pairs import load_key_pair
from letterlock.protocols.inbound.cases import Case, HostNames, Place
from letterlock.protocols.inbound.facts import InboundTest, SessionSeen
from letterlock.protocols.mta_sts.policy import MIME_TYPE, MtaStsPolicy, parse_policy
from letterlock.services.observe.answering import Answerer
from letterlock.services.observe.expired import make_expired
from letterlock.services.observe.pages import InboundPages
from letterlock.services.observe.records import make_policy
from letterlock.services.observe.register import Register
from letterlock.storage.drop import DropError
from letterlock.storage.inbound_tests import InboundTests, make_token
from tests.fakes import FakeClock, FakeLog

NAMES = HostNames(Domain("senders.example"))
ALICE = "alice@example.org"


class Left:
    """Where mail is left; it may refuse."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, bytes]] = []
        self.fault: Exception | None = None

    def __call__(self, recipient: str, message: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        self.mails.append((recipient, message))


class World:
    def __init__(self, folder: Path) -> None:
        self.clock, self.log, self.left = FakeClock(), FakeLog(), Left()
        self.tests = InboundTests(folder)
        self.register = Register(self.tests, self.clock)
        self.answerer = Answerer(
            names=NAMES,
            register=self.register,
            author="postmaster@example.org",
            hostname=Domain("mx.example.org"),
            quiet=timedelta(minutes=15),
            find_page=lambda token: f"https://senders.example/inbound/{token}",
            leave=self.left,
            clock=self.clock,
            log=self.log,
        )

    async def new(self) -> str:
        """Make a test that a message came to; gives its token."""
        now = self.clock.now()
        test = InboundTest(make_token(), now, now + timedelta(days=1), tuple(Case))
        self.tests.add(test, most=10)
        seen = SessionSeen("1", now, "192.0.2.1", Place.SHARED, "a", delivered=(Case.GOOD,))
        await self.register.keep(test.token, seen, ALICE)
        return test.token


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "inbound")


async def test_the_sender_is_told_when_it_is_quiet(world: World) -> None:
    token = await world.new()
    await world.answerer.look()
    assert world.left.mails == []
    world.clock.move(timedelta(minutes=15))
    for _ in range(3):
        await world.answerer.look()
    ((recipient, message),) = world.left.mails
    assert recipient == ALICE
    assert f"https://senders.example/inbound/{token}".encode() in message
    assert world.log.texts == [f"test {token}: to=<{ALICE}> is told what was seen"]


@pytest.mark.parametrize("fault", [OSError(28, "no space"), DropError("too long")])
async def test_who_cannot_be_told_is_not_told_later(world: World, fault: Exception) -> None:
    """Rather never than twice; the page and the command have it."""
    token = await world.new()
    world.left.fault = fault
    world.clock.move(timedelta(minutes=15))
    await world.answerer.look()
    assert f"warning: test {token}" in world.log.texts[0]
    world.left.fault = None
    await world.answerer.look()
    assert world.left.mails == []


async def test_a_test_ends(world: World) -> None:
    token = await world.new()
    world.clock.move(timedelta(days=1))
    await world.answerer.look()
    assert world.left.mails == []
    assert world.log.texts == [f"test {token}: its time is over"]
    assert world.tests.list_all() == []


async def test_pages_are_of_open_tests_only(world: World) -> None:
    token = await world.new()
    pages = InboundPages(NAMES, world.register)
    page = await pages.answer(HttpAsked("senders.example", f"/inbound/{token}"))
    assert page.status is HTTPStatus.OK
    assert dict(page.headers)["Cache-Control"] == "no-store"
    assert ALICE.encode() not in page.body
    for host, path in (
        ("senders.example", "/inbound/"),
        ("senders.example", f"/{token}"),
        ("mta-sts.sts.senders.example", f"/inbound/{token}"),
        ("senders.example", "/.well-known/mta-sts.txt"),
    ):
        answer = await pages.answer(HttpAsked(host, path))
        assert answer.status is HTTPStatus.NOT_FOUND, (host, path)


async def test_the_policy_is_served_at_its_host(world: World) -> None:
    """RFC 8461 §3.3"""
    pages = InboundPages(NAMES, world.register)
    asked = HttpAsked("mta-sts.sts.senders.example", "/.well-known/mta-sts.txt")
    answer = await pages.answer(asked)
    assert answer.media_type == MIME_TYPE
    policy = parse_policy(answer.body)
    assert isinstance(policy, MtaStsPolicy)
    assert policy == make_policy(NAMES)


def test_the_expired_certificate_has_ended_and_can_be_shown(tmp_path: Path) -> None:
    now = FakeClock().now()
    host = Domain("mx.expired.senders.example")
    make_expired(tmp_path / "new", host, now)
    paths = make_expired(tmp_path / "new", host, now)  # in place of the one before
    pair = load_key_pair(*paths)
    assert pair.names == ("mx.expired.senders.example",)
    assert pair.chain[0].not_valid_after_utc < now
    assert paths[1].stat().st_mode & 0o077 == 0
