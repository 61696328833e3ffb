"""From a key to an answer: hosts found, decided about as delivery does, put together; its life."""

from datetime import timedelta
from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Answer as DnsAnswer
from letterlock.protocols.dns.answers import Existence, MxRecord, Record, Security, TlsaRecord
from letterlock.protocols.maps.messages import NOT_FOUND, Reply, Status
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.protocols.policy.postfix_version import AskingPostfix
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import PolicyTable, TableEntry, WrongEntry
from letterlock.services.answer.answers import UNDECIDED_SECONDS, Answer, AnswerFinder
from letterlock.services.answer.lifetime import LEAST_SECONDS, MOST_SECONDS, NotingResolver
from letterlock.services.discover.hop_policy import HopPolicy
from letterlock.services.discover.routes import RouteFinder
from letterlock.services.discover.tlsa import TlsaFinder
from letterlock.storage.queue import StoreUnavailable
from tests.fakes import START, FakeClock, FixtureResolver

DOMAIN, MX = Domain("example.com"), Domain("mx.example.com")
EE = TlsaRecord(3, 1, 1, bytes(32))
MAY = TableEntry("", Level.MAY, "policy.default_level")
ENFORCE = MtaStsPolicy(MtaStsMode.ENFORCE, ("mx.example.com",), timedelta(days=7))


class Still:
    """Chance that never changes the order."""

    def random(self) -> float:
        return 0.0


class Policies:
    """A finder of MTA-STS policies that knows one, or nobody can read."""

    def __init__(self) -> None:
        self.facts: MtaStsFacts | StoreUnavailable = MtaStsFacts(DOMAIN)

    async def find(self, domain: Domain) -> MtaStsFacts:
        del domain
        if isinstance(self.facts, StoreUnavailable):
            raise self.facts
        return self.facts


class Setting:
    """A destination as DNS has it: one host, whose address is signed."""

    def __init__(self) -> None:
        self.dns = FixtureResolver()
        self.clock = FakeClock()
        self.policies = Policies()
        self.put("example.com", "MX", MxRecord(10, MX))
        self.put("mx.example.com", "A", ip_address("192.0.2.1"))
        self.put("mx.example.com", "AAAA")
        self.put("_25._tcp.mx.example.com", "TLSA")

    def put(
        self,
        name: str,
        rdtype: str,
        *records: Record,
        ttl: int = 3600,
        security: Security = Security.SECURE,
    ) -> None:
        found = Existence.RECORDS if records else Existence.NODATA
        self.dns.put(DnsAnswer(Domain(name), rdtype, security, found, records, ttl=ttl))

    async def ask(
        self,
        key: str = "example.com",
        table: PolicyTable = PolicyTable({}, MAY),  # noqa: B008 - it does not change
        postfix: AskingPostfix = AskingPostfix((3, 7, 0)),  # noqa: B008 - nor this
    ) -> Answer:
        resolver = NotingResolver(self.dns)
        routes = RouteFinder(resolver, Still())
        policy = HopPolicy(table, TlsaFinder(resolver), self.policies, self.clock)  # type: ignore[arg-type] # what is asked of it
        return await AnswerFinder(routes, policy, postfix, self.clock).find(key)


@pytest.fixture
def it() -> Setting:
    return Setting()


def ok(text: str) -> Reply:
    return Reply(Status.OK, text)


async def test_nothing_published_is_not_found(it: Setting) -> None:
    assert (await it.ask()).reply == NOT_FOUND


async def test_tlsa_records_are_told(it: Setting) -> None:
    it.put("_25._tcp.mx.example.com", "TLSA", EE)
    assert (await it.ask()).reply == ok("dane-only")
    assert (await it.ask("[mx.example.com]")).reply == ok("dane-only")
    # Another port has other records.
    it.put("_587._tcp.mx.example.com", "TLSA")
    assert (await it.ask("[mx.example.com]:587")).reply == NOT_FOUND


async def test_a_policy_is_told(it: Setting) -> None:
    it.policies.facts = MtaStsFacts(DOMAIN, policy=ENFORCE)
    text = "secure match=mx.example.com servername=hostname"
    assert (await it.ask()).reply == ok(text)
    # RFC 8461 §3.4: a host in brackets is no policy domain.
    assert (await it.ask("[mx.example.com]")).reply == NOT_FOUND


@pytest.mark.parametrize("key", ["", "a b", "[x", "192.0.2.1", "example.com:0"])
async def test_what_is_no_next_hop_is_not_found(it: Setting, key: str) -> None:
    assert (await it.ask(key)).reply == NOT_FOUND
    assert it.dns.asked == []


async def test_an_address_is_asked_nothing(it: Setting) -> None:
    assert (await it.ask("[192.0.2.1]")).reply == NOT_FOUND
    assert it.dns.asked == []


@pytest.mark.parametrize(
    ("security", "mta_sts", "text"),
    [
        (Security.BOGUS, None, "OK dane"),
        (Security.FAILED, None, "OK dane"),
        (Security.FAILED, ENFORCE, "TEMP"),
    ],
)
async def test_an_mx_lookup_that_failed_is_never_taken_for_no_policy(
    it: Setting, security: Security, mta_sts: MtaStsPolicy | None, text: str
) -> None:
    it.policies.facts = MtaStsFacts(DOMAIN, policy=mta_sts)
    it.put("example.com", "MX", security=security)
    answer = await it.ask()
    assert f"{answer.reply.status} {answer.reply.text}".startswith(text)
    assert answer.seconds <= LEAST_SECONDS
    without = await it.ask(postfix=AskingPostfix((3, 7, 0), has_dnssec=False))
    assert without.reply.status is Status.TEMP


async def test_a_host_that_nobody_could_look_up_is_postfix_s_to_look_at(it: Setting) -> None:
    """RFC 7672 §2.1.2, §2.2: Postfix may find its addresses a moment later, and it may have TLSA
    records: it must not go there as where there are none. Rules 28 and 29.
    """
    other = Domain("mx2.example.com")
    it.put("example.com", "MX", MxRecord(10, other), MxRecord(20, MX))
    for rdtype in ("A", "AAAA"):
        it.dns.put(DnsAnswer(other, rdtype, Security.FAILED, reason="SERVFAIL"))
    found = await it.ask()
    assert found.reply == ok("dane")
    assert "the addresses of mx2.example.com are not known now" in found.reason
    assert found.seconds == LEAST_SECONDS
    blind = AskingPostfix((3, 7, 0), has_dnssec=False)
    assert (await it.ask(postfix=blind)).reply == NOT_FOUND
    # What is demanded of the destination holds for that host too.
    it.policies.facts = MtaStsFacts(DOMAIN, policy=ENFORCE)
    assert (await it.ask()).reply == ok("secure match=mx.example.com servername=hostname")
    # It is known that this one has none, so nobody goes there.
    it.policies.facts = MtaStsFacts(DOMAIN)
    it.put("mx2.example.com", "A")
    it.put("mx2.example.com", "AAAA")
    assert (await it.ask()).reply == NOT_FOUND


async def test_a_domain_that_does_not_exist_is_postfix_s_to_bounce(it: Setting) -> None:
    assert (await it.ask("nowhere.example")).reply == NOT_FOUND
    it.policies.facts = MtaStsFacts(DOMAIN, policy=ENFORCE)
    assert (await it.ask("nowhere.example")).reply.status is Status.TEMP


async def test_policies_that_cannot_be_read_keep_mail_waiting(it: Setting) -> None:
    it.policies.facts = StoreUnavailable("the disk is gone")
    answer = await it.ask()
    assert (answer.reply.status, answer.seconds) == (Status.TEMP, UNDECIDED_SECONDS)
    assert "the disk is gone" in answer.reason


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (TableEntry("example.com", Level.MAY, "f:1"), "OK may protocols=>=TLSv1.2"),
        (TableEntry("example.com", Level.NONE, "f:1"), "OK none"),
        (WrongEntry("example.com", "f:1", "no such level"), "TEMP f:1: no such level"),
        (TableEntry("example.com", Level.DANE_ONLY, "f:1"), "OK dane-only"),
    ],
)
async def test_the_operator_s_entry_comes_first_and_asks_nothing(
    it: Setting, entry: TableEntry | WrongEntry, text: str
) -> None:
    """RFC 7435 §3; rule 127"""
    it.policies.facts = MtaStsFacts(DOMAIN, policy=ENFORCE)
    reply = (await it.ask(table=PolicyTable({"example.com": entry}, MAY))).reply
    assert f"{reply.status} {reply.text}".startswith(text)
    assert it.dns.asked == []


async def test_an_entry_that_says_dane_is_told_also_where_nothing_is_published(it: Setting) -> None:
    """Postfix's own default may be another one."""
    table = PolicyTable({"example.com": TableEntry("example.com", Level.DANE, "f:1")}, MAY)
    assert (await it.ask(table=table)).reply.text.startswith("dane ")
    it.put("_25._tcp.mx.example.com", "TLSA", EE)
    assert (await it.ask(table=table)).reply == ok("dane-only")
    it.policies.facts = MtaStsFacts(DOMAIN, policy=ENFORCE)
    it.put("_25._tcp.mx.example.com", "TLSA")
    assert (await it.ask(table=table)).reply.text.startswith("secure match=mx.example.com")


@pytest.mark.parametrize("level", [Level.DANE, Level.DANE_ONLY, Level.ENCRYPT, Level.NONE])
@pytest.mark.parametrize("tlsa", [(), (EE,)])
async def test_an_exception_is_told_with_every_answer(
    it: Setting, tlsa: tuple[TlsaRecord, ...], level: Level
) -> None:
    """One that holds with its reason and last day, one that ended with that."""
    it.put("_25._tcp.mx.example.com", "TLSA", *tlsa)
    last = START.date()
    entry = TableEntry("example.com", level, "f:1", reason="why", until=last)
    table = PolicyTable({"example.com": entry}, MAY)
    reason = (await it.ask(table=table)).reason
    assert reason.count(f"policy table: example.com {level} (f:1): why, until {last}") == 1
    it.clock.move(timedelta(days=1))
    reason = (await it.ask(table=table)).reason
    assert reason.count(f"the entry at f:1 ended on {last} (why)") == 1
    assert "policy table" not in reason


async def test_an_entry_for_a_parent_holds_for_the_whole_name(it: Setting) -> None:
    table = PolicyTable({".com": TableEntry(".com", Level.ENCRYPT, "f:1")}, MAY)
    assert (await it.ask(table=table)).reply.text.startswith("encrypt")


async def test_a_default_that_is_wrong_keeps_mail_waiting(it: Setting) -> None:
    table = PolicyTable({}, WrongEntry("", "/etc/tls_policy", "Permission denied"))
    assert (await it.ask(table=table)).reply.status is Status.TEMP


async def test_a_default_that_no_host_can_meet_keeps_mail_waiting(it: Setting) -> None:
    default = TableEntry("", Level.SECURE, "policy.default_level", match=("dot-nexthop",))
    answer = await it.ask("[192.0.2.1]", table=PolicyTable({}, default))
    assert answer.reply.status is Status.TEMP


@pytest.mark.parametrize(
    ("ttls", "seconds"),
    [((3600, 3600), MOST_SECONDS), ((120, 60), 60), ((60, 120), 60), ((3600, 1), LEAST_SECONDS)],
)
async def test_an_answer_lives_as_long_as_what_it_rests_on(
    it: Setting, ttls: tuple[int, int], seconds: float
) -> None:
    """RFC 1035 §3.2.1"""
    mx, tlsa = ttls
    it.put("example.com", "MX", MxRecord(10, MX), ttl=mx)
    it.put("_25._tcp.mx.example.com", "TLSA", EE, ttl=tlsa)
    assert (await it.ask()).seconds == seconds


async def test_an_answer_ends_with_the_policy(it: Setting) -> None:
    """RFC 8461 §5.1: an expired one is not applied."""
    expires = START + timedelta(seconds=40)
    it.policies.facts = MtaStsFacts(DOMAIN, policy=ENFORCE, expires=expires)
    assert (await it.ask()).seconds == 40


async def test_where_no_policy_could_be_fetched_the_next_look_is_soon(it: Setting) -> None:
    """RFC 8461 §3.3: without one meanwhile, and with it as soon as it is there."""
    it.policies.facts = MtaStsFacts(DOMAIN, error="the policy is still being fetched")
    answer = await it.ask()
    assert (answer.reply, answer.seconds) == (NOT_FOUND, LEAST_SECONDS)
