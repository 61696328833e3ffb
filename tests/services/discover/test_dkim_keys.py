"""Keys of signatures, looked up: a message is verified from its octets on."""

from letterlock.base.domains import Domain
from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.verifying import KeyUnavailable, Verifier
from letterlock.protocols.dns.answers import Security
from letterlock.services.discover.dkim_keys import find_dkim_keys
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
