"""Keys of signatures, looked up: a message is verified from its octets on."""

import asyncio

from letterlock.base.domains import Domain
from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.verifying import KeyUnavailable, Verifier
from letterlock.protocols.dns.answers import Answer, Security
from letterlock.services.discover.dkim_keys import DkimKeyFinder, find_dkim_keys
from tests.fakes import START, FixtureResolver
from tests.protocols.dkim import examples

NAMES = (
    Domain("brisbane._domainkey.football.example.com"),
    Domain("test._domainkey.football.example.com"),
)


async def test_a_message_is_verified_with_what_dns_has() -> None:
    """RFC 6376 §6.1; the message is that of RFC 8463 §A.3."""
    resolver = FixtureResolver()
    resolver.set(NAMES[0], "TXT", examples.ED25519_RECORD)
    resolver.set(NAMES[1], "TXT", examples.RSA_RECORD)
    header = examples.ED25519_SIGNATURE + examples.RSA_SIGNATURE + examples.MESSAGE
    verifier = Verifier(header, START)
    verifier.receive(examples.BODY)
    results = verifier.finish(await find_dkim_keys(resolver, verifier.key_names))
    assert [each.result for each in results] == [DkimResult.PASS, DkimResult.PASS]
    assert sorted(resolver.asked) == [(name, "TXT") for name in NAMES]


async def test_no_record_is_no_key_and_no_answer_is_not_known() -> None:
    """RFC 6376 §6.1.2, steps 2 and 3."""
    resolver = FixtureResolver()
    resolver.set(NAMES[0], "A")
    resolver.fail(NAMES[1], "TXT", Security.BOGUS)
    found = await find_dkim_keys(resolver, (*NAMES, Domain("nothing.example")))
    assert found[NAMES[0]] == ()
    assert found[Domain("nothing.example")] == ()
    assert isinstance(found[NAMES[1]], KeyUnavailable)
    assert await find_dkim_keys(resolver, ()) == {}


class SilentResolver:
    """Answers nobody until it is told to; `open` are the questions that wait."""

    def __init__(self) -> None:
        self.open = 0
        self.most = 0
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        self.open += 1
        self.most = max(self.most, self.open)
        self.is_asked.set()
        try:
            await self.may_answer.wait()
            return Answer(name, rdtype, Security.INSECURE)
        finally:
            self.open -= 1


def list_names(message: int) -> list[Domain]:
    return [Domain(f"s{number}._domainkey.e{message}.example") for number in range(10)]


async def test_strangers_mail_leaves_room_for_other_questions() -> None:
    """RFC 6376 §8.4: each of their messages may name ten keys, at name servers of theirs."""
    resolver = SilentResolver()
    finder = DkimKeyFinder(resolver, max_lookups=4)
    async with asyncio.TaskGroup() as tasks:
        found = [tasks.create_task(finder.find(list_names(number))) for number in range(5)]
        await resolver.is_asked.wait()
        resolver.may_answer.set()
    assert resolver.most == 4
    for number, each in enumerate(found):
        assert each.result() == dict.fromkeys(list_names(number), ())


async def test_a_key_is_not_waited_for_for_ever() -> None:
    """RFC 6376 §6.1.2, step 2: TEMPFAIL."""
    resolver = SilentResolver()
    found = await DkimKeyFinder(resolver, max_lookups=1, seconds=0.01).find(list_names(0))
    assert found == dict.fromkeys(list_names(0), KeyUnavailable("no answer within 0.01 seconds"))
    assert resolver.open == 0
