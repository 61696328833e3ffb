"""The kinds of sender that there are, and whether mail of each would arrive.

RFC 7435 §3 (opportunistic), RFC 7672 §2.2 and §6 (DANE, and DANE only), RFC 8461 §5 (MTA-STS), RFC
8689 §4.2.1 (REQUIRETLS); RFC 8460 §4.3 for what each would report. A kind is what it looks up, what
it asks and which name it sends; all else is done by the code that delivers: `policy.decide`,
`policy.judge`. No sender is looked for that does not exist: each is a program as it is shipped, or
a setting of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from letterlock.protocols.check.facts import (
    AddressFacts,
    AskedSni,
    DomainFacts,
    HostFacts,
    Probe,
    State,
)
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.policy.decide import decide
from letterlock.protocols.policy.facts import Published
from letterlock.protocols.policy.judge import (
    ClearFallback,
    judge,
    judge_failure,
    judge_no_starttls,
    judge_unusable,
    may_fall_back,
)
from letterlock.protocols.policy.requirement import (
    HostUnusable,
    Level,
    Requirement,
    RequirementInvalid,
)
from letterlock.protocols.policy.table import PolicyTable, TableEntry
from letterlock.protocols.policy.tls_parameters import DEFAULT_MIN_VERSION
from letterlock.protocols.policy.verdict import Outcome, Verdict
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.tls.handshake import Handshake


@dataclass(frozen=True, slots=True)
class Sender:
    """A kind of sender. `name` is stable; `words` say who sends so."""

    name: str
    words: str
    level: Level
    follows_dane: bool = False
    follows_mta_sts: bool = False
    sends_sni: bool = True
    """False: only where DANE asks for it, as Postfix does."""
    oldest: str = "TLSv1"
    """The version that is taken where TLS is no must: an old one is better than none to many."""
    demand: TlsDemand = TlsDemand.NORMAL

    @property
    def table(self) -> PolicyTable:
        """Its policy table: no entries, and its level."""
        oldest = DEFAULT_MIN_VERSION if self.level.is_tls_required else self.oldest
        where = f"senders:{self.name}"
        return PolicyTable({}, TableEntry("*", self.level, where, min_version=oldest))


SENDERS: tuple[Sender, ...] = (
    Sender("opportunistic", "most servers, with SNI", Level.MAY),
    Sender("opportunistic-no-sni", "Postfix as it is shipped", Level.MAY, sends_sni=False),
    Sender("postfix-dane", "Postfix at level dane", Level.DANE, follows_dane=True, sends_sni=False),
    Sender(
        "dane-only", "Postfix at level dane-only", Level.DANE_ONLY, follows_dane=True,
        sends_sni=False,
    ),
    Sender("verify-no-sni", "Postfix at level verify", Level.VERIFY, sends_sni=False),
    Sender("secure-no-sni", "Postfix at level secure", Level.SECURE, sends_sni=False),
    Sender("mta-sts", "Gmail, Outlook: MTA-STS", Level.MAY, follows_mta_sts=True),
    Sender(
        "dane-and-mta-sts",
        "Letterlock",
        Level.MAY,
        follows_dane=True,
        follows_mta_sts=True,
        oldest=DEFAULT_MIN_VERSION,
    ),
    Sender(
        "requiretls",
        "a message with REQUIRETLS (RFC 8689)",
        Level.MAY,
        follows_dane=True,
        follows_mta_sts=True,
        demand=TlsDemand.REQUIRETLS,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SenderVerdict:
    """What becomes of a sender's mail at one address, at one host, or for the domain.

    `verdict` None: it cannot be told, and `reason` says why; where it can, `reason` is the
    verdict's. `relay` is the host and address that it rests on.
    """

    sender: Sender
    verdict: Verdict | None
    reason: str
    relay: str = ""


def judge_domain(
    sender: Sender, domain: DomainFacts, anchors: TrustAnchors, now: datetime
) -> SenderVerdict:
    """Say what would become of mail for a domain: the first host that takes it decides.

    Hosts are tried in the order of their preference, and of each all addresses. Where none takes
    it, mail waits as long as it may be taken later, and it can't be told where nobody answered.
    """
    if domain.no_route is not None:
        if domain.is_unasked:
            reason = f"the resolver answers no question: {domain.no_route}"
            return SenderVerdict(sender, None, reason)
        outcome = Outcome.BOUNCE if domain.is_no_route_permanent else Outcome.DEFER
        return SenderVerdict(
            sender, Verdict(outcome, None, "no-route", domain.no_route), domain.no_route
        )
    found = [
        each
        for host in sorted(domain.hosts, key=lambda host: host.preference)
        for each in judge_host(sender, domain, host, anchors, now)
    ]
    return _choose(sender, found)


def judge_host(
    sender: Sender, domain: DomainFacts, host: HostFacts, anchors: TrustAnchors, now: datetime
) -> list[SenderVerdict]:
    """Say what would become of mail at each address of a host; at least one verdict."""
    name = host.name or (str(host.addresses[0].ip) if host.addresses else "")
    if not host.addresses:
        reason = host.error or "it has no address"
        return [SenderVerdict(sender, None, reason, name)]
    published = Published(
        tlsa=host.tlsa if sender.follows_dane else None,
        mta_sts=domain.mta_sts if sender.follows_mta_sts else None,
        mx_security=domain.naming_security,
        expanded_domain=domain.expanded_domain,
    )
    decision = decide(domain.domain, domain.domain, name, sender.table, published, sender.demand)
    # A table without entries has no wrong ones, and every host here has a name or an address.
    assert not isinstance(decision, RequirementInvalid)
    if isinstance(decision, HostUnusable):
        verdict = judge_unusable(decision)
        return [SenderVerdict(sender, verdict, verdict.reason, name)]
    return [
        _judge_address(sender, decision, f"{name}[{each.ip}]", each, anchors, now)
        for each in host.addresses
    ]


def _judge_address(
    sender: Sender,
    requirement: Requirement,
    relay: str,
    address: AddressFacts,
    anchors: TrustAnchors,
    now: datetime,
) -> SenderVerdict:
    sends_sni = sender.sends_sni or requirement.dane is not None
    probe = address.find(AskedSni.OWN)
    if not sends_sni and (probe is None or probe.handshake is not None):
        # Where there is no TLS, no name is sent.
        probe = address.find(AskedSni.NONE)
    if probe is None or probe.state in (State.BLOCKED, State.UNREACHABLE, State.NOT_TESTED):
        said = probe.detail if probe is not None else address.detail
        reason = said or "it was not asked in this sender's way"
        return SenderVerdict(sender, None, reason, relay)
    verdict = _judge_probe(sender, requirement, probe, anchors, now)
    return SenderVerdict(sender, verdict, verdict.reason, relay)


def _judge_probe(
    sender: Sender, requirement: Requirement, probe: Probe, anchors: TrustAnchors, now: datetime
) -> Verdict:
    handshake = probe.handshake
    if probe.strict_failure is not None and isinstance(handshake, Handshake):
        # RFC 9325 §3.1.1, §4.2: where TLS is a must, old versions and ciphers are none.
        is_too_old = handshake.version < requirement.min_version
        if requirement.level.is_tls_required or is_too_old:
            handshake = probe.strict_failure
    if handshake is None:
        return judge_no_starttls(requirement, probe.starttls)
    if isinstance(handshake, Handshake):
        verdict = judge(requirement, handshake, anchors, now)
        is_lacking = sender.demand is TlsDemand.REQUIRETLS and not probe.offers_requiretls
        if verdict.may_send and is_lacking:
            reason = "REQUIRETLS: the host does not offer it"
            return Verdict(Outcome.BOUNCE, None, "requiretls-not-offered", reason)
        return verdict
    failed = judge_failure(requirement, handshake, anchors, now)
    if not may_fall_back(requirement, ClearFallback(), timedelta.max):
        return failed
    reason = f"in clear, after {failed.reason}"
    return Verdict(Outcome.CLEAR, failed.result_type, failed.reason_code, reason, failed.findings)


def _choose(sender: Sender, found: Sequence[SenderVerdict]) -> SenderVerdict:
    """Take what a delivery would come to, were these tried one after the other."""
    for each in found:
        if each.verdict is not None and each.verdict.may_send:
            return each
    undecided = [each for each in found if each.verdict is None]
    if undecided:
        return undecided[0]
    waiting = [each for each in found if each.verdict and each.verdict.outcome is Outcome.DEFER]
    if waiting:
        return waiting[0]
    if found:
        return found[0]
    return SenderVerdict(sender, None, "there is no host")
