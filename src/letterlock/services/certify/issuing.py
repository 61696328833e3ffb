"""From an order to a certificate: proofs are put up, validated and taken away, then it is fetched.

RFC 8555 §7.4 (the order of things), §7.5.1 (answering challenges, Retry-After), §7.4.2 (alternate
chains), §8.2 (only when ready). All names that fail are told, not the first one only. When to
ask for certificates, and where they are kept, is not decided here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from letterlock.base.clock import Clock
from letterlock.network.acme_client import AcmeFailed
from letterlock.protocols.acme.chains import IssuedChain, choose_chain, find_chain_fault
from letterlock.protocols.acme.challenges import make_key_authorization
from letterlock.protocols.acme.fields import Url
from letterlock.protocols.acme.identifiers import find_usable
from letterlock.protocols.acme.jws import SigningKey
from letterlock.protocols.acme.orders import (
    Authorization,
    Challenge,
    Order,
    find_change,
    find_order_fault,
)
from letterlock.protocols.acme.requests import OrderRequest, make_signing_request
from letterlock.protocols.acme.states import AuthorizationStatus, OrderStatus
from letterlock.services.certify.authority import Authority, Seen
from letterlock.services.certify.solvers import Proof, Solver

MAX_ALTERNATES = 5
CLEANUP_SECONDS = 60.0
"""For one proof: nothing of what others do may keep an order from ending."""

_BUSY = (429, 503)
_ABOUT_OTHERS = (
    *("accountDoesNotExist", "badNonce", "rateLimited", "rejectedIdentifier"),
    *("unsupportedIdentifier", "userActionRequired", "invalidProfile"),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How an order is followed: the server's Retry-After counts, between `shortest` and `longest`.

    Without it the wait begins at `shortest` and doubles. `total` is for each thing waited for.
    """

    total: timedelta = timedelta(minutes=10)
    shortest: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate. `chain` is the chosen one, `chains` are all that the server offers."""

    order: Url
    chain: IssuedChain
    chains: tuple[IssuedChain, ...]


@dataclass(frozen=True, slots=True)
class NotIssued:
    """No certificate, and why: each thing that went wrong, as found.

    `order` is one that may still lead to it; None: there is none.
    """

    failures: tuple[AcmeFailed, ...]
    order: Url | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it for people, name by name."""
        return tuple(line for each in self.failures for line in each.lines)

    @property
    def retry_after(self) -> timedelta | None:
        """When the server allows another try; None: it said nothing."""
        return max((each.retry_after for each in self.failures if each.retry_after), default=None)


class Issuer:
    """Orders certificates with one account. `pause` waits for seconds: asyncio.sleep, or a fake's.

    Of the solvers the first is preferred where several could prove a name.
    """

    def __init__(
        self,
        authority: Authority,
        solvers: Sequence[Solver],
        clock: Clock,
        patience: Patience = Patience(),
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._authority = authority
        self._solvers = tuple(solvers)
        self._clock = clock
        self._patience = patience
        self._pause = pause

    async def issue(
        self,
        request: OrderRequest,
        key: SigningKey,
        top_issuer: str | None = None,
        before: Url | None = None,
    ) -> Issued | NotIssued:
        """Get a certificate for a key; `top_issuer` chooses a chain (`chains.choose_chain`).

        `before` is an order for the same that led to nothing yet: it is gone on with if it can be.
        Raises ValueError when the key is the account's: RFC 8555 §11.1 forbids that.
        """
        if key.public_key() == self._authority.key.private.public_key():
            raise ValueError("a certificate can't have the account's key")
        order = await self._find_unfinished(request, before) or await self._order(request)
        if isinstance(order, AcmeFailed):
            return NotIssued((order,), before if order.is_temporary else None)
        if order.status is OrderStatus.PENDING and (failures := await self._prove(order)):
            return NotIssued(failures)
        done = await self._finalize(order, key)
        if isinstance(done, AcmeFailed):
            return NotIssued((done,), order.url if done.is_temporary else None)
        chains = await self._download(done, key)
        if isinstance(chains, AcmeFailed):
            return NotIssued((chains,), order.url if chains.is_temporary else None)
        return Issued(order.url, choose_chain(chains, top_issuer), chains)

    async def _find_unfinished(
        self, request: OrderRequest, url: Url | None
    ) -> Order | AcmeFailed | None:
        """Look at an order of before; None: another one has to be placed."""
        if url is None:
            return None
        seen = await self._authority.fetch_order(url)
        if isinstance(seen, AcmeFailed):
            return seen if seen.is_temporary else None
        if seen.value.status in (OrderStatus.INVALID, OrderStatus.PENDING):
            return None
        return seen.value if find_order_fault(seen.value, request.identifiers) is None else None

    async def _order(self, request: OrderRequest) -> Order | AcmeFailed:
        seen = await self._authority.order(request)
        if isinstance(seen, AcmeFailed) and request.replaces and _may_be_about_replaces(seen):
            # RFC 9773 §5: another order was first (`alreadyReplaced`), or the server does not know
            # the old certificate, or that it was this account's. A new one is wanted all the same.
            seen = await self._authority.order(replace(request, replaces=None))
        if isinstance(seen, AcmeFailed):
            return seen
        fault = find_order_fault(seen.value, request.identifiers)
        return AcmeFailed(fault) if fault else seen.value

    # proofs

    async def _prove(self, order: Order) -> tuple[AcmeFailed, ...]:
        """Prove every identifier that is not yet; gives what went wrong."""
        seen = [await self._authority.fetch_authorization(url) for url in order.authorizations]
        failures = [each for each in seen if isinstance(each, AcmeFailed)]
        found = [each.value for each in seen if isinstance(each, Seen)]
        found.sort(key=_name)
        pending = [each for each in found if each.status is AuthorizationStatus.PENDING]
        usable = (AuthorizationStatus.PENDING, AuthorizationStatus.VALID)
        failures += [_explain(each) for each in found if each.status not in usable]
        async with AsyncExitStack() as stack:
            challenges = [] if failures else await self._present_all(pending, failures, stack)
            if not failures:
                return tuple(await self._validate(challenges))
        for authorization in pending:
            # Left pending it would count against the account's limits.
            await self._authority.deactivate_authorization(authorization.url)
        return tuple(failures)

    async def _present_all(
        self,
        pending: Sequence[Authorization],
        failures: list[AcmeFailed],
        stack: AsyncExitStack,
    ) -> list[tuple[Authorization, Challenge]]:
        """Put up a proof for each; the stack takes them away. What fails is added to `failures`."""
        challenges: list[tuple[Authorization, Challenge]] = []
        for authorization in pending:
            presented = await self._present(authorization, stack)
            if isinstance(presented, AcmeFailed):
                failures.append(presented)
            else:
                challenges.append((authorization, presented))
        return challenges

    async def _validate(
        self, challenges: Sequence[tuple[Authorization, Challenge]]
    ) -> list[AcmeFailed]:
        """Have all proofs validated that are up; gives what went wrong."""
        failures: list[AcmeFailed] = []
        refusals = [await self._authority.respond(challenge) for _, challenge in challenges]
        for (authorization, _), refusal in zip(challenges, refusals, strict=True):
            is_refused = isinstance(refusal, AcmeFailed)
            failed = await self._follow_authorization(authorization, is_once=is_refused)
            if failed is not None:
                failures.append(refusal if isinstance(refusal, AcmeFailed) else failed)
        return failures

    async def _present(
        self, authorization: Authorization, stack: AsyncExitStack
    ) -> Challenge | AcmeFailed:
        name = _name(authorization)
        usable = ("dns-01",) if authorization.is_wildcard else find_usable(authorization.identifier)
        for solver in self._solvers:
            challenge = authorization.find_challenge(solver.kind)
            if challenge is None or solver.kind not in usable:
                continue
            proof = Proof(
                authorization.identifier,
                challenge.token,
                make_key_authorization(challenge.token, self._authority.key),
            )
            stack.push_async_callback(_clean_up, solver, proof)
            reason = await solver.present(proof)
            return challenge if reason is None else AcmeFailed(f"{name}: {solver.kind}: {reason}")
        offered = ", ".join(each.type for each in authorization.challenges) or "none"
        return AcmeFailed(f"{name}: no way to prove it here; the authority offers: {offered}")

    async def _follow_authorization(
        self, before: Authorization, *, is_once: bool
    ) -> AcmeFailed | None:
        """Wait until it is decided; `is_once`: nothing more will come, so look just once.

        A refused answer to a challenge may mean that another order has proved the name meanwhile.
        """
        seen = await self._follow(
            lambda: self._authority.fetch_authorization(before.url),
            lambda now: is_once or now.status is not AuthorizationStatus.PENDING,
            _name(before),
        )
        if isinstance(seen, AcmeFailed):
            return seen
        return None if seen.status is AuthorizationStatus.VALID else _explain(seen)

    # the certificate

    async def _finalize(self, order: Order, key: SigningKey) -> Order | AcmeFailed:
        """Follow the order until its certificate is there."""
        ready = await self._follow_order(order, (OrderStatus.PENDING,))
        if isinstance(ready, AcmeFailed):
            return ready
        answer = None
        if ready.status is OrderStatus.READY:
            request = make_signing_request(key, ready.identifiers)
            answer = await self._authority.finalize(ready, request)
        until_not = (OrderStatus.READY, OrderStatus.PROCESSING)
        return await self._follow_order(ready, until_not, answer)

    async def _follow_order(
        self,
        order: Order,
        until_not: Sequence[OrderStatus],
        answer: Seen[Order] | AcmeFailed | None = None,
    ) -> Order | AcmeFailed:
        """Follow an order; `answer` is the first look at it, if there was one."""
        seen = await self._follow(
            lambda: self._authority.fetch_order(order.url),
            lambda now: now.status not in until_not or find_change(order, now) is not None,
            "the order",
            answer,
        )
        if isinstance(seen, AcmeFailed):
            return seen
        if fault := find_change(order, seen):
            return AcmeFailed(fault)
        if seen.status is OrderStatus.INVALID:
            problem = seen.error
            return AcmeFailed(problem.summary if problem else "the order became invalid", problem)
        return seen

    async def _download(
        self, order: Order, key: SigningKey
    ) -> tuple[IssuedChain, ...] | AcmeFailed:
        if order.certificate is None:
            return AcmeFailed("the order is valid, and has no certificate")
        first = await self._authority.download(order.certificate)
        if isinstance(first, AcmeFailed):
            return first
        chain, alternates = first
        if fault := find_chain_fault(chain, key.public_key(), order.identifiers):
            return AcmeFailed(fault)
        chains = [chain]
        for url in alternates[:MAX_ALTERNATES]:
            other = await self._authority.download(url)
            if isinstance(other, AcmeFailed):
                continue  # the certificate is there; another chain would be a choice more
            if find_chain_fault(other[0], key.public_key(), order.identifiers) is None:
                chains.append(other[0])
        return tuple(chains)

    async def _follow(
        self,
        look: Callable[[], Awaitable[Seen[T] | AcmeFailed]],
        is_over: Callable[[T], bool],
        name: str,
        first: Seen[T] | AcmeFailed | None = None,
    ) -> T | AcmeFailed:
        """Look until it is over, a look fails for good, or patience is at its end.

        `first` is what was seen before.
        """
        patience = self._patience
        deadline = self._clock.monotonic() + patience.total.total_seconds()
        wait = patience.shortest
        while True:
            seen, first = first if first is not None else await look(), None
            if isinstance(seen, Seen) and is_over(seen.value):
                return seen.value
            if isinstance(seen, AcmeFailed) and not seen.is_temporary:
                return seen
            asked = seen.retry_after if seen.retry_after is not None else wait
            seconds = min(max(asked, patience.shortest), patience.longest).total_seconds()
            if self._clock.monotonic() + seconds > deadline:
                if isinstance(seen, AcmeFailed):
                    return seen
                reason = f"{name}: nothing came of it within {patience.total}"
                return AcmeFailed(reason, is_temporary=True)
            await self._pause(seconds)
            wait = min(wait * 2, patience.longest)


async def _clean_up(solver: Solver, proof: Proof) -> None:
    # Not asyncio.timeout: the task may be one that was cancelled (`base.waiting`).
    cleaning = asyncio.ensure_future(solver.cleanup(proof))
    try:
        done, _ = await asyncio.wait([cleaning], timeout=CLEANUP_SECONDS)
        for task in done:
            task.result()
    finally:
        cleaning.cancel()


def _may_be_about_replaces(refusal: AcmeFailed) -> bool:
    """Say if an order may be taken without `replaces` that was refused with it.

    Servers have no one problem for it: Boulder says `malformed` or `unauthorized`, Pebble
    `serverInternal`. What is surely about something else is not asked twice.
    """
    problem = refusal.problem
    if problem is None or problem.status in _BUSY:
        return False
    return problem.type not in _ABOUT_OTHERS


def _name(authorization: Authorization) -> str:
    return f"{'*.' if authorization.is_wildcard else ''}{authorization.identifier}"


def _explain(authorization: Authorization) -> AcmeFailed:
    """Say what became of an authorization that is of no use."""
    problem = authorization.problem
    reason = problem.summary if problem else f"the authorization is {authorization.status}"
    return AcmeFailed(f"{_name(authorization)}: {reason}", problem)
