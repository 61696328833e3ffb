"""Whether DANE can work here: the resolver is tried on a signed name and on a broken one.

RFC 7672 §2.1.1 (what "secure" rests on), RFC 4035 §4.9.3 (whose AD bit may be believed). The result
is for people: what each answer is worth is decided answer by answer, whatever comes out here.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from letterlock.base.domains import Domain
from letterlock.base.log import Log, Service
from letterlock.network.dns import Backend
from letterlock.protocols.dns.answers import Answer, Security

REPEAT = timedelta(hours=1)
REPEAT_UNDECIDED = timedelta(minutes=1)
"""At boot a node is often there before the network is."""


class SelfTest(StrEnum):
    """What trying the resolver came to."""

    PASSED = "passed"
    FAILED = "failed"
    """It does not validate, or not rightly."""
    UNTRUSTED = "untrusted"
    """It is not on this machine, so that its result could be changed on the way."""
    UNDECIDED = "undecided"
    """It could not be asked."""


@dataclass(frozen=True, slots=True)
class ResolverState:
    """The resolver, and whether it is fit for DANE; `advice` says what to change when not."""

    address: str
    is_trusted: bool
    self_test: SelfTest
    reason: str
    advice: str = ""

    def describe(self) -> dict[str, object]:
        """Give what `letterlock status --json` and `policy explain --json` show."""
        return {
            "address": self.address,
            "trusted": self.is_trusted,
            "self_test": self.self_test.value,
            "reason": str(self),
        }

    def __str__(self) -> str:
        """Give one line for people."""
        if self.self_test is SelfTest.PASSED:
            return f"DANE can work: {self.reason}"
        verdict = "cannot" if self.self_test is not SelfTest.UNDECIDED else "may not"
        return f"DANE {verdict} work: {self.reason}; {self.advice}"


async def check_resolver(backend: Backend, signed: Domain, bogus: Domain) -> ResolverState:
    """Try a resolver: `signed` must come out secure, `bogus` must not be answered."""
    if not backend.is_trusted:
        return _conclude(
            backend,
            SelfTest.UNTRUSTED,
            "the resolver is not on this machine: its word on DNSSEC could be changed on the way",
            "run a validating resolver here (unbound, for one) and set dns.resolver to it, or set "
            'dns.backend = "libunbound"; or dns.trust_ad = true, if nobody can get at that network',
        )
    on_signed = await backend.ask(signed, "NS")
    if on_signed.security is not Security.SECURE:
        return _explain_signed(backend, on_signed)
    on_bogus = await backend.ask(bogus, "NS")
    if on_bogus.security is Security.INSECURE:
        return _conclude(
            backend,
            SelfTest.FAILED,
            f"the resolver answers for {bogus}, whose signatures are wrong",
            f"let it validate without exceptions (or name another dns.bogus_name than {bogus})",
        )
    return _conclude(backend, SelfTest.PASSED, f"{signed} is signed, and was validated")


async def has_answers(backend: Backend, known: Domain) -> bool:
    """Say whether a resolver answers at all: `known` is a name that there always is."""
    return (await backend.ask(known, "NS")).security is not Security.FAILED


def _explain_signed(backend: Backend, answer: Answer) -> ResolverState:
    name = answer.name
    match answer.security:
        case Security.FAILED:
            return _conclude(
                backend,
                SelfTest.UNDECIDED,
                f"NS of {name}: {answer.reason}",
                "it will be tried again",
            )
        case Security.BOGUS:
            return _conclude(
                backend,
                SelfTest.FAILED,
                f"the resolver takes {name} for forged: {answer.reason}",
                "set this machine's clock, and look at the resolver's trust anchor",
            )
        case _:
            return _conclude(
                backend,
                SelfTest.FAILED,
                f"the resolver does not vouch for {name}, which is signed: it does not validate",
                "turn DNSSEC validation on in it, ask one that validates (dns.resolver), or set "
                'dns.backend = "libunbound"',
            )


def _conclude(
    backend: Backend, self_test: SelfTest, reason: str, advice: str = ""
) -> ResolverState:
    return ResolverState(backend.address, backend.is_trusted, self_test, reason, advice)


class ResolverCheck:
    """Keeps trying the resolver, and says in the log when the outcome is another one."""

    def __init__(self, backend: Backend, signed: Domain, bogus: Domain, log: Log | None) -> None:
        """`log` is None where another worker does the talking."""
        self._backend = backend
        self._signed = signed
        self._bogus = bogus
        self._log = log
        self.state: ResolverState | None = None
        """None until it was tried once."""

    async def run(self) -> None:
        """Try at once, and then now and again."""
        while True:
            await self.look()
            is_open = self.state is None or self.state.self_test is SelfTest.UNDECIDED
            await asyncio.sleep((REPEAT_UNDECIDED if is_open else REPEAT).total_seconds())

    async def look(self) -> None:
        """Try once."""
        before = self.state
        self.state = await check_resolver(self._backend, self._signed, self._bogus)
        if self._log is not None and self.state != before:
            kind = "" if self.state.self_test is SelfTest.PASSED else "warning: "
            self._log.write(Service.NODE, f"{kind}{self.state.address}: {self.state}")
