"""An explanation: everything that was found out about mail for a domain, and what follows.

RFC 5321 §5.1 (a host that fails for good counts when no other may do better). What a message's way
would be is concluded here from the decisions and trials that delivery makes in the same way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.protocols.policy.requirement import (
    HostUnusable,
    Requirement,
    RequirementInvalid,
)
from letterlock.protocols.policy.verdict import Verdict
from letterlock.protocols.tables.transport import Discard, Fail, ToLmtp, ToMailbox
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed
from letterlock.services.discover.hop_policy import HostPolicy
from letterlock.services.discover.next_hop import NextHop
from letterlock.services.discover.resolver_check import ResolverState
from letterlock.services.discover.routes import IpAddress, MxHost, NoRoute, Route
from letterlock.services.discover.tlsrpt import TlsrptFacts

Ending = ToMailbox | ToLmtp | Discard | Fail
"""Where mail ends that goes to no next hop."""
INTO_MAILBOX = ToMailbox()


class Fate(StrEnum):
    """What would become of a message now."""

    DELIVER = "deliver"
    DEFER = "defer"
    BOUNCE = "bounce"
    UNDECIDABLE = "undecidable"
    """Nobody answered: it may be our own network."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A connection to one address, up to the judgement of its TLS; nothing was sent.

    `reason` says in words what came of it. `handshake` and `verdict` are None where it did not come
    so far.
    """

    ip: IpAddress
    relay: str
    fate: Fate
    reason: str
    handshake: Handshake | HandshakeFailed | None = None
    verdict: Verdict | None = None
    is_policy_unmet: bool = False
    """What an enforcing MTA-STS policy wants was not there."""


@dataclass(frozen=True, slots=True)
class HostExplanation:
    """One host. `policy` is None where it has no address: then nothing more was asked.

    `trouble` is what keeps us from using it although the decision would let us: a trust file.
    """

    host: MxHost
    policy: HostPolicy | None = None
    trouble: str | None = None
    trials: tuple[Trial, ...] = ()

    @property
    def fate(self) -> Fate:
        """What would become of a message, were this the only host."""
        if self.policy is None:
            return _judge_unknown(self.host)
        if self.trouble is not None:
            return Fate.DEFER
        match self.policy.decision:
            case RequirementInvalid():
                return Fate.DEFER
            case HostUnusable(is_permanent=is_permanent):
                return Fate.BOUNCE if is_permanent else Fate.DEFER
            case Requirement():
                return find_fate(trial.fate for trial in self.trials)

    @property
    def best_trial(self) -> Trial | None:
        """The trial that a delivery would end with; None: not tried."""
        order = list(_ORDER)
        return min(self.trials, key=lambda trial: order.index(trial.fate), default=None)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about: a domain, or a host in brackets, by the name of `name`.

    `next_hop` is where its mail goes; None: nowhere by SMTP, but to the `ending`. `is_routed`:
    there by the operator's settings; `where` is the entry of a table, `file:line`, that says so.
    `is_relay`: that is a relay host; `is_chosen`: a table names it.
    """

    name: str
    next_hop: NextHop | None
    is_routed: bool = False
    ending: Ending = INTO_MAILBOX
    where: str | None = None
    is_relay: bool = False
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Followed:
    """What was found out about a next hop."""

    route: Route | NoRoute
    hosts: tuple[HostExplanation, ...]
    mta_sts: MtaStsFacts | None
    tlsrpt: TlsrptFacts | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer. `way` is None exactly when the question has no next hop."""

    question: Question
    resolver: ResolverState
    way: Followed | None
    notes: tuple[str, ...] = ()

    @property
    def fate(self) -> Fate:
        """What would become of a message."""
        if self.way is None:
            return _judge_ending(self.question.ending)
        if isinstance(self.way.route, NoRoute):
            return _judge_no_route(self.way.route)
        return find_fate(host.fate for host in self.way.hosts)


_ORDER = (Fate.DELIVER, Fate.DEFER, Fate.UNDECIDABLE, Fate.BOUNCE)


def find_fate(fates: Iterable[Fate]) -> Fate:
    """Conclude from all hosts or addresses: one that takes it is enough; without any, it could go.

    It bounces where none may take it later; and where nothing is known of some, and none is known
    to have it wait, nothing is decided.
    """
    given = set(fates)
    return next((fate for fate in _ORDER if fate in given), Fate.DELIVER)


def _judge_ending(ending: Ending) -> Fate:
    if not isinstance(ending, Fail):
        return Fate.DELIVER
    return Fate.BOUNCE if ending.status.startswith("5") else Fate.DEFER


def _judge_unknown(host: MxHost) -> Fate:
    if host.is_undecided:
        return Fate.UNDECIDABLE
    return Fate.DEFER if host.is_passing else Fate.BOUNCE


def _judge_no_route(route: NoRoute) -> Fate:
    if route.is_permanent:
        return Fate.BOUNCE
    if route.is_undecided:
        return Fate.UNDECIDABLE
    return Fate.DEFER
