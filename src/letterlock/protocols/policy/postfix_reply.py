"""One answer to Postfix for all hosts of a destination, from what was decided for each of them.

Postfix takes one level for a next hop, and we decide one for each host: so the answer is the level
that is weaker for no host than what DANE (RFC 7672 §2.2), MTA-STS (RFC 8461 §5) or the operator's
table demand of it. Where none does justice to all, some hosts get no mail rather than mail that is
less safe; RFC 8461 §2 says that MTA-STS must not override DANE that fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.policy.dane import DANE_EE, find_usable, select_strongest
from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.protocols.policy.postfix_policy import (
    NotExpressibleError,
    PostfixPolicy,
    StsAttributes,
    make_table_policy,
)
from letterlock.protocols.policy.postfix_version import AskingPostfix
from letterlock.protocols.policy.requirement import HostUnusable, Level, Requirement, Source
from letterlock.protocols.policy.table import PolicyTable, TableEntry, WrongEntry
from letterlock.protocols.policy.table_demand import describe_exception
from letterlock.protocols.tlsrpt.result_types import ResultType

MAX_PATTERNS = 100
"""Patterns of one policy that Postfix is told. With more, only the hosts that there are."""
_SHOWN = 3

_SHA256 = 1
"""The matching type that level `fingerprint` can express, with DANE-EE (RFC 6698 §2.1.3)."""


@dataclass(frozen=True, slots=True)
class HostDecision:
    """What was decided for one host that has addresses."""

    name: str
    decision: Requirement | HostUnusable


@dataclass(frozen=True, slots=True)
class Destination:
    """All that an answer is made of. `hosts` is empty when the MX lookup gave none.

    `trouble`: the MX lookup failed for now, and why. `is_mx_secure`: DNSSEC vouches that the hosts
    are the destination's, or it is its own host. `entry` is the operator's for it; `default` holds
    where there is none. `unknown` are hosts whose addresses nobody could find just now: so nobody
    knows their TLSA records either.
    """

    hosts: tuple[HostDecision, ...]
    mta_sts: MtaStsFacts | None
    default: TableEntry
    is_mx_secure: bool = False
    trouble: str | None = None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoPolicy:
    """Nothing is demanded: Postfix's own default holds."""

    reason: str


@dataclass(frozen=True, slots=True)
class Undecided:
    """Mail waits: any answer could be weaker than a demand."""

    reason: str


PostfixReply = PostfixPolicy | NoPolicy | Undecided


def reply_by_table(entry: TableEntry | WrongEntry, postfix: AskingPostfix) -> PostfixReply:
    """Answer with an entry of the operator's table."""
    if isinstance(entry, WrongEntry):
        return Undecided(f"{entry.where}: {entry.reason}")
    if entry.level in (Level.DANE, Level.DANE_ONLY) and not postfix.has_dnssec:
        return Undecided(f"{entry.where}: level {entry.level} needs a Postfix with DNSSEC")
    reason = describe_exception(entry, None) or f"policy table: {entry.where}"
    try:
        return make_table_policy(entry, reason, postfix)
    except NotExpressibleError as error:
        return Undecided(f"{entry.where}: {error}")


def find_untellable(table: PolicyTable, postfix: AskingPostfix) -> tuple[str, ...]:
    """Say which entries of a table this Postfix cannot be told, one line each."""
    replies = [(entry, reply_by_table(entry, postfix)) for entry in table.usable_entries]
    return tuple(
        f"{reply.reason}; Postfix cannot be told: mail for {entry.key} waits"
        for entry, reply in replies
        if isinstance(reply, Undecided)
    )


def choose_reply(destination: Destination, postfix: AskingPostfix) -> PostfixReply:
    """Answer for a destination that no entry of the table decides alone."""
    return _Choice(destination, postfix).make()


class _Choice:
    def __init__(self, destination: Destination, postfix: AskingPostfix) -> None:
        self._destination = destination
        self._postfix = postfix
        self._sts = _find_enforced(destination.mta_sts)
        default = destination.default
        self._has_floor = default.level not in (Level.NONE, Level.MAY, Level.DANE)
        self._by_dane = [host for host in _usable(destination.hosts) if host[1].dane is not None]
        self._by_tls = [
            name
            for name, requirement in _usable(destination.hosts)
            if requirement.dane is None and Source.DANE in requirement.sources
        ]
        self._out = [
            (host.name, host.decision)
            for host in destination.hosts
            if isinstance(host.decision, HostUnusable)
        ]
        self._failed = [name for name, each in self._out if each.source is Source.DANE]

    def make(self) -> PostfixReply:
        if not self._destination.hosts:
            return self._without_hosts()
        if self._destination.default.level is Level.DANE_ONLY:
            return self._dane(Level.DANE_ONLY, "the default level is dane-only")
        if self._failed:
            return self._with_failures()
        if self._by_dane:
            return self._with_dane()
        if self._sts is None and not self._has_floor and self._by_tls:
            reason = f"no TLSA record of {_list(self._by_tls)} can be used, so TLS is a must there"
            return self._dane(Level.DANE, reason)
        return self._without_dane()

    def _without_hosts(self) -> PostfixReply:
        trouble = self._destination.trouble
        if self._sts is not None:
            return Undecided(f"MTA-STS enforces, and the MX hosts are not known: {trouble}")
        if trouble is None:
            return NoPolicy("there is no host that takes mail")
        if self._has_floor:
            return self._by_default()
        if self._postfix.has_dnssec:
            return PostfixPolicy(Level.DANE, f"Postfix is to look itself: {trouble}")
        return Undecided(trouble)

    def _with_failures(self) -> PostfixReply:
        """Leave hosts out whose TLSA lookup failed (RFC 7672 §2.1.2): Postfix will, by DANE."""
        reason = f"the TLSA lookup of {_list(self._failed)} failed"
        if self._sts is None and not self._has_floor:
            if not self._postfix.has_dnssec:
                return Undecided(reason)
            return PostfixPolicy(Level.DANE, f"{reason}: Postfix leaves that host out itself")
        may_leave_out = self._sts is not None and self._postfix.enforces_mx_patterns
        if may_leave_out and not self._by_dane and (listed := self._listed()):
            text = f"{reason}; the other hosts by the MTA-STS policy"
            return self._secure(text, patterns=listed)
        return self._dane(Level.DANE_ONLY, f"{reason}, and no other level leaves that host out")

    def _with_dane(self) -> PostfixReply:
        names = _list([name for name, _ in self._by_dane])
        others = len(self._destination.hosts) - len(self._by_dane)
        if self._destination.is_mx_secure:
            if not others:
                return self._dane(Level.DANE_ONLY, f"all hosts have TLSA records: {names}")
            if self._sts is None and not self._has_floor:
                reason = f"{names}: by TLSA records; the other hosts have none that can be used"
                return self._dane(Level.DANE, reason)
            demand = "MTA-STS enforces" if self._sts else "the default level asks for more"
            return self._dane(
                Level.DANE_ONLY,
                f"{demand}, and must not override the TLSA records of {names} (RFC 8461 §2): "
                f"Postfix takes one level, so {others} other hosts get no mail",
            )
        if self._sts is None and not self._has_floor:
            reason = f"{names}: by TLSA records, which prove the host: its MX record is insecure"
            return self._dane(Level.DANE, reason)
        # RFC 7672 §2.2.1 leaves such TLSA records to us; at `dane` a forged MX would do.
        note = f"the TLSA records of {names} stand behind an insecure MX, and are not looked at"
        return self._without_dane(note)

    def _without_dane(self, note: str = "") -> PostfixReply:
        if self._sts is not None:
            return self._secure(note)
        if self._has_floor:
            policy = self._by_default()
            is_noted = note and isinstance(policy, PostfixPolicy)
            return replace(policy, reason=f"{policy.reason}; {note}") if is_noted else policy
        if (unknown := self._destination.unknown) and self._postfix.has_dnssec:
            # RFC 7672 §2.1.2: none of ours for us, and Postfix may find them a moment later.
            reason = f"the addresses of {_list(unknown)} are not known now"
            return PostfixPolicy(Level.DANE, f"{reason}: Postfix is to look itself")
        return NoPolicy("neither DANE nor MTA-STS demands anything")

    def _by_default(self) -> PostfixReply:
        return reply_by_table(self._destination.default, self._postfix)

    def _dane(self, level: Level, reason: str) -> PostfixReply:
        """Answer with DANE; a Postfix without DNSSEC can prove keys, and nothing else of it."""
        if self._postfix.has_dnssec:
            sts = self._attributes() if level is Level.DANE_ONLY else None
            return PostfixPolicy(level, reason, sts=sts)
        if not self._by_dane and not self._failed and level is Level.DANE:
            return PostfixPolicy(Level.ENCRYPT, reason, servername="hostname")
        digests = _find_digests(self._by_dane)
        if digests and not self._failed and self._sts is None and not self._has_floor:
            text = f"{reason}; by the digests in them, as Postfix has no DNSSEC"
            return PostfixPolicy(
                Level.FINGERPRINT, text, fingerprints=digests, servername="hostname"
            )
        return Undecided(f"{reason}; DANE needs a Postfix with DNSSEC")

    def _secure(self, note: str, patterns: Sequence[str] = ()) -> PostfixReply:
        """Answer with the MTA-STS policy: the listed hosts by name, nobody else."""
        facts, policy = self._facts(), self._policy()
        listed = self._listed()
        if not listed:
            reason = f"the MTA-STS policy of {facts.domain} enforces, and lists none of the hosts"
            if not self._postfix.knows_policy_attributes:
                return Undecided(reason)
            failing = self._attributes(failure=ResultType.VALIDATION_FAILURE)
            return PostfixPolicy(
                Level.SECURE,
                reason,
                match=tuple(_exact(policy)[:MAX_PATTERNS]) or (f"mta-sts.{facts.domain}",),
                servername="hostname",
                sts=failing,
            )
        reason = f"the MTA-STS policy of {facts.domain} enforces, and lists {_list(listed)}"
        return PostfixPolicy(
            Level.SECURE,
            f"{reason}; {note}" if note else reason,
            match=tuple(listed),
            servername="hostname",
            sts=self._attributes(patterns=patterns),
        )

    def _listed(self) -> list[str]:
        """Give the hosts that the policy lists and that DANE does not leave out."""
        return list(
            dict.fromkeys(
                name
                for name, requirement in _usable(self._destination.hosts)
                if requirement.mta_sts is not None and requirement.mta_sts.is_listed
            )
        )

    def _attributes(
        self, patterns: Sequence[str] = (), failure: ResultType | None = None
    ) -> StsAttributes | None:
        if self._sts is None or not self._postfix.knows_policy_attributes:
            return None
        facts, policy = self._facts(), self._policy()
        mx = tuple(patterns) or policy.mx
        if len(mx) > MAX_PATTERNS:
            mx = tuple(self._listed()) or mx[:MAX_PATTERNS]
        return StsAttributes(facts.domain, mx, facts.policy_text, failure)

    def _facts(self) -> MtaStsFacts:
        assert self._destination.mta_sts is not None
        return self._destination.mta_sts

    def _policy(self) -> MtaStsPolicy:
        assert self._sts is not None
        return self._sts


def _usable(hosts: Sequence[HostDecision]) -> list[tuple[str, Requirement]]:
    return [(host.name, host.decision) for host in hosts if isinstance(host.decision, Requirement)]


def _find_enforced(facts: MtaStsFacts | None) -> MtaStsPolicy | None:
    if facts is None or facts.policy is None or facts.policy.mode is not MtaStsMode.ENFORCE:
        return None
    return facts.policy


def _exact(policy: MtaStsPolicy) -> list[str]:
    """Give the patterns that are names."""
    return [pattern for pattern in policy.mx if not pattern.startswith("*.")]


def _find_digests(hosts: Sequence[tuple[str, Requirement]]) -> tuple[str, ...]:
    """Give the keys and certificates that TLSA records name; () when a host has no such record.

    Only records that count, as for our own deliveries (RFC 7671 §9).
    """
    digests: dict[str, None] = {}
    for _, requirement in hosts:
        assert requirement.dane is not None
        found = [
            f"sha256:{record.association.hex()}"
            for record in select_strongest(find_usable(requirement.dane.records))
            if (record.usage, record.matching_type) == (DANE_EE, _SHA256)
        ]
        if not found:
            return ()
        digests.update(dict.fromkeys(found))
    return tuple(digests)


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
