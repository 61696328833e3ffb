"""One login: what the client says by a mechanism becomes an account, or a reason why not.

RFC 4422 §3, RFC 4954 §4. `AccountSource` is our own accounts (`own_accounts`) or somebody else's.
For accounts that are not there the same work is done and the same is said.
"""

from dataclasses import dataclass
from typing import Protocol, assert_never

from letterlock.protocols.sasl.mechanisms import Mechanism
from letterlock.protocols.sasl.scram import ScramExchange, ScramVerifier
from letterlock.protocols.sasl.steps import (
    Challenge,
    Exchange,
    Failed,
    Fault,
    PasswordGiven,
    Proved,
    Step,
    VerifierNeeded,
)
from letterlock.services.receive.guesses import Guesses


@dataclass(frozen=True, slots=True)
class Account:
    """Who is logged in. Limits are for an hour; None: the service's; 0: none."""

    name: str
    addresses: frozenset[str]
    max_messages: int | None = None
    max_recipients: int | None = None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    account: Account


@dataclass(frozen=True, slots=True)
class TooManyGuesses:
    """Nothing was tried. `name` None: it was not told yet."""

    name: str | None


@dataclass(frozen=True, slots=True)
class SourceDown:
    """It could not be found out."""

    reason: str


Outcome = Challenge | LoggedIn | Failed | TooManyGuesses | SourceDown


class SourceUnavailable(Exception):  # noqa: N818 - a fact
    """The accounts can't be asked now; the message says why."""


class AccountSource(Protocol):
    """Who knows the accounts. All methods raise SourceUnavailable."""

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """Those that it has what is needed for."""

    async def check_password(self, name: str, password: str, ip: str) -> str | None:
        """Give the account's own name, if this is its password (both prepared); None: it is not."""

    async def find_verifier(self, name: str) -> ScramVerifier:
        """Give an account's verifier; a decoy's where there is none."""

    async def find_account(self, name: str) -> Account | None:
        """Give an account that may log in; None: there is none, or not any more."""


class Login:
    """One exchange with a client."""

    def __init__(
        self, source: AccountSource, guesses: Guesses, ip: str, exchange: Exchange
    ) -> None:
        self._source = source
        self._guesses = guesses
        self._ip = ip
        self._name = ""
        self._exchange = exchange

    async def begin(self, initial: bytes | None) -> Outcome:
        if not self._guesses.may_try(self._ip):
            return TooManyGuesses(None)
        return await self._go_on(self._exchange.begin(initial))

    async def receive(self, response: bytes) -> Outcome:
        if self._name and not self._guesses.may_try(self._ip, self._name):
            # Of SCRAM: many may have come this far before the first of them failed.
            return TooManyGuesses(self._name)
        return await self._go_on(self._exchange.receive(response))

    async def _go_on(self, step: Step) -> Outcome:
        if isinstance(step, PasswordGiven):
            async with self._guesses.turn(self._ip, step.name):
                return await self._conclude(step)
        return await self._conclude(step)

    async def _conclude(self, step: Step) -> Outcome:
        try:
            outcome = await self._carry_out(step)
        except SourceUnavailable as error:
            return SourceDown(str(error))
        if isinstance(outcome, Failed) and outcome.fault is Fault.REFUSED:
            self._guesses.note_failure(self._ip, outcome.name)
        elif isinstance(outcome, LoggedIn):
            self._guesses.note_login(self._ip, self._name)
        return outcome

    async def _carry_out(self, step: Step) -> Outcome:
        if isinstance(step, PasswordGiven | VerifierNeeded):
            self._name = step.name
            if not self._guesses.may_try(self._ip, step.name):
                return TooManyGuesses(step.name)
        match step:
            case Challenge() | Failed():
                return step
            case PasswordGiven(name, password):
                account = await self._source.check_password(name, password, self._ip)
                if account is not None:
                    return await self._let_in(account)
                return Failed(Fault.REFUSED, "no such account, or not its password", name)
            case VerifierNeeded(name):
                assert isinstance(self._exchange, ScramExchange)
                return self._exchange.found(await self._source.find_verifier(name))
            case Proved(name):
                return await self._let_in(name)
            case _:
                assert_never(step)

    async def _let_in(self, name: str) -> Outcome:
        account = await self._source.find_account(name)
        if account is None:
            return Failed(Fault.REFUSED, "the account is gone", name)
        return LoggedIn(account)
