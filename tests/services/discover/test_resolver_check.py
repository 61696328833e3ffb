"""Whether DANE can work: what each kind of resolver looks like, and what is said of it."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from letterlock.base.domains import Domain
from letterlock.base.log import Service
from letterlock.network.dns import Backend, StubResolver
from letterlock.network.libunbound import LibunboundResolver
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.dns.answers import Answer, Security
from letterlock.services.discover.resolver_check import (
    ResolverCheck,
    SelfTest,
    check_resolver,
)
from tests.dnssec_lab.fault_proxy import Fault
from tests.dnssec_lab.lab import DnssecLab, require_libunbound
from tests.fakes import FakeLog, FixtureResolver

SIGNED, BROKEN = Domain("signed.example"), Domain("broken.example")


@dataclass
class FixtureBackend:
    """A resolver with answers from a table. At first it validates as it should."""

    table: FixtureResolver = field(default_factory=FixtureResolver)
    address: str = "127.0.0.1:53"
    is_trusted: bool = True

    def __post_init__(self) -> None:
        self.table.set(SIGNED, "NS", Domain("ns.example"), security=Security.SECURE)
        self.table.fail(BROKEN, "NS", Security.BOGUS)

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        return await self.table.ask(name, rdtype)


class WaitingLog(FakeLog):
    """Tells when there is a line."""

    def __init__(self) -> None:
        super().__init__()
        self.is_written = asyncio.Event()

    def write(
        self, service: Service, text: str, *, queue_id: str | None = None, **fields: object
    ) -> None:
        super().write(service, text, queue_id=queue_id, **fields)
        self.is_written.set()


async def test_a_signed_name_is_secure_and_a_broken_one_fails() -> None:
    """RFC 7672 §2.1.1; rule 26"""
    state = await check_resolver(FixtureBackend(), SIGNED, BROKEN)
    assert state.describe() == {
        "address": "127.0.0.1:53",
        "trusted": True,
        "self_test": "passed",
        "reason": "DANE can work: signed.example is signed, and was validated",
    }


async def test_a_resolver_elsewhere_is_not_believed_and_not_asked() -> None:
    """RFC 4035 §4.9.3; rule 26"""
    backend = FixtureBackend(is_trusted=False)
    state = await check_resolver(backend, SIGNED, BROKEN)
    assert (state.self_test, backend.table.asked) == (SelfTest.UNTRUSTED, [])
    assert "DANE cannot work: the resolver is not on this machine" in str(state)
    for setting in ("dns.resolver", "libunbound", "dns.trust_ad"):
        assert setting in state.advice


@pytest.mark.parametrize(
    ("name", "security", "self_test", "words"),
    [
        (SIGNED, Security.INSECURE, SelfTest.FAILED, "it does not validate; turn DNSSEC"),
        (SIGNED, Security.BOGUS, SelfTest.FAILED, "set this machine's clock"),
        (SIGNED, Security.FAILED, SelfTest.UNDECIDED, "may not work: NS of signed.example"),
        (BROKEN, Security.INSECURE, SelfTest.FAILED, "whose signatures are wrong"),
        (BROKEN, Security.FAILED, SelfTest.PASSED, "can work"),
        (BROKEN, Security.SECURE, SelfTest.PASSED, "can work"),
    ],
)
async def test_what_comes_back_is_explained(
    name: Domain, security: Security, self_test: SelfTest, words: str
) -> None:
    """A broken name that is vouched for is broken no more: that says nothing of the resolver."""
    backend = FixtureBackend()
    if security in (Security.SECURE, Security.INSECURE):
        backend.table.set(name, "NS", Domain("ns.example"), security=security)
    else:
        backend.table.fail(name, "NS", security)
    state = await check_resolver(backend, SIGNED, BROKEN)
    assert state.self_test is self_test
    assert words in str(state)


async def test_the_log_has_the_outcome_once_and_again_when_it_is_another() -> None:
    backend, log = FixtureBackend(), FakeLog()
    check = ResolverCheck(backend, SIGNED, BROKEN, log)
    assert check.state is None
    await check.look()
    await check.look()
    backend.table.set(BROKEN, "NS", Domain("ns.example"))
    await check.look()
    assert len(log.texts) == 2
    assert log.texts[0].startswith("127.0.0.1:53: DANE can work")
    assert log.texts[1].startswith("warning: 127.0.0.1:53: DANE cannot work")


async def test_it_is_tried_at_the_start() -> None:
    log = WaitingLog()
    check = ResolverCheck(FixtureBackend(), SIGNED, BROKEN, log)
    running = asyncio.ensure_future(check.run())
    await log.is_written.wait()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert check.state is not None
    assert check.state.self_test is SelfTest.PASSED


async def test_where_another_worker_speaks_nothing_is_logged() -> None:
    check = ResolverCheck(FixtureBackend(), SIGNED, BROKEN, None)
    await check.look()
    assert check.state is not None


# On real resolvers

LAB_SIGNED, LAB_BOGUS = Domain("secure.example"), Domain("bogus.example")


def stub(address: tuple[str, int]) -> StubResolver:
    return StubResolver(*address, random=random.SystemRandom(), attempts=1)


async def test_unbound_and_libunbound_pass(dnssec_lab: DnssecLab) -> None:
    require_libunbound()
    dnssec_lab.forget()
    inside = LibunboundResolver(dnssec_lab.trust_anchor, forward=dnssec_lab.authority)
    backends: list[Backend] = [stub(dnssec_lab.resolver), inside]
    for backend in backends:
        state = await check_resolver(backend, LAB_SIGNED, LAB_BOGUS)
        assert state.self_test is SelfTest.PASSED, str(state)
    inside.close()


async def test_unbound_without_its_name_servers_is_undecided(dnssec_lab: DnssecLab) -> None:
    with dnssec_lab.failing("secure.example", None, Fault.SERVFAIL):
        state = await check_resolver(stub(dnssec_lab.resolver), LAB_SIGNED, LAB_BOGUS)
    assert state.self_test is SelfTest.UNDECIDED


async def test_a_server_that_does_not_validate_fails() -> None:
    server = ZoneServer({"signed.example": "@ NS ns\nns A 127.0.0.1"})
    state = await check_resolver(stub(await server.start()), SIGNED, BROKEN)
    await server.close()
    assert state.self_test is SelfTest.FAILED
    assert "does not validate" in state.reason
