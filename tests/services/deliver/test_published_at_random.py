"""What is published changes at random, and mail never goes below what holds at that moment.

RFC 7672 §2.2, RFC 8461 §5.1. TLSA records come, go and fail; policies change, their host and their
record vanish, the database is closed, time passes. What holds is read beside the node that sends.
"""

import random
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.mta_sts.cache import CacheEntry, find_valid
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy, find_mx_pattern
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.services.queue.outcomes import Result
from tests.misbehaving import Conduct
from tests.services.deliver.outbound import DOMAIN, HOST, leaf
from tests.services.deliver.published import (
    ANOTHERS,
    GONE,
    UNUSABLE,
    Hosts,
    going_to,
    tlsa,
    untrusted,
)

STEPS = 60
SERVERS = ("good", "own", "plain")
RECORD = f"_mta-sts.{DOMAIN}"


@dataclass(slots=True)
class World:
    """What is published, and what the node can know of it."""

    hosts: Hosts
    server: str
    certificate_record: TlsaRecord
    chance: random.Random
    tlsa: str = "none"
    is_open: bool = True
    changes: int = 0
    known: CacheEntry = field(default_factory=CacheEntry)

    async def change(self) -> None:
        """Let one thing be another."""
        node = self.hosts.node
        match self.chance.choice(["tlsa", "policy", "policy", "gone", "record", "store", "time"]):
            case "tlsa":
                self._change_tlsa()
            case "policy":
                self.changes += 1
                mode = self.chance.choice(["enforce", "enforce", "testing", "none"])
                mx = self.chance.choice([HOST, "mx.elsewhere.example"])
                self.hosts.publish_policy(mx, mode=mode, identifier=f"{self.changes}")
            case "gone":
                self.hosts.source.outcome = GONE
            case "record":
                node.resolver.fail(RECORD, "TXT")
            case "store":
                policies = self.hosts.policies
                await (policies.close() if self.is_open else policies.open())
                self.is_open = not self.is_open
            case _:
                days, seconds = self.chance.choice([(0, 6), (0, 90), (1, 0), (8, 0)])
                node.clock.move(timedelta(days=days, seconds=seconds))

    def _change_tlsa(self) -> None:
        self.tlsa = self.chance.choice(["match", "other", "unusable", "none", "failed"])
        match self.tlsa:
            case "match":
                self.hosts.publish_tlsa(HOST, self.certificate_record)
            case "other":
                self.hosts.publish_tlsa(HOST, ANOTHERS)
            case "unusable":
                self.hosts.publish_tlsa(HOST, UNUSABLE)
            case "none":
                self.hosts.publish_tlsa(HOST)
            case _:
                self.hosts.fail_tlsa(HOST)

    async def find_policy(self) -> MtaStsPolicy | None:
        """Find the policy that holds now, by the cache; while that is closed, as it was."""
        if self.is_open:
            stored = await self.hosts.policies.load(Domain(DOMAIN))
            self.known = stored.entry if stored is not None else CacheEntry()
        valid = find_valid(self.known, self.hosts.node.clock.now())
        return valid.policy if valid is not None else None

    async def send_and_check(self) -> None:
        """Send, and compare what the server was told with what holds."""
        seen = self.hosts.servers[0].seen
        mails, clear, connections = len(seen.mails), len(seen.mails_in_clear), seen.connections
        before = await self.find_policy()
        outcome = await self.hosts.send_another()
        after = await self.find_policy()
        is_told, is_clear = len(seen.mails) > mails, len(seen.mails_in_clear) > clear
        told = f"{self.server}, TLSA {self.tlsa}, {before} then {after}: {outcome}"
        assert is_told == (outcome.result is Result.DELIVERED), told
        if self.is_forbidden(before) and self.is_forbidden(after):
            assert not is_told, told
        if self.tlsa in ("match", "unusable"):
            assert not is_clear, told
        may_be = before == after and self.is_open
        if may_be and not self.is_forbidden(after):
            assert is_told, told
        if may_be:
            self.check_session(after, seen.connections - connections, told)

    def check_session(self, policy: MtaStsPolicy | None, connections: int, told: str) -> None:
        """Compare what is counted for reports (RFC 8460 §4.2) with what holds; rule 200."""
        assert self.hosts.latest is not None
        sessions = self.hosts.latest.sessions
        is_used_again = not connections and self.hosts.latest.outcomes[0].result is Result.DELIVERED
        assert len(sessions) == (0 if is_used_again else 1), told
        for session in sessions:
            found = {each.policy.type: each.is_failed for each in session.outcomes}
            if policy is None or policy.mode is MtaStsMode.NONE:
                # What is told of MTA-STS then is that there was trouble with it.
                assert found.pop(PolicyType.STS, True), told
            assert found == self.expect(policy) or not found, told

    def expect(self, policy: MtaStsPolicy | None) -> dict[PolicyType, bool]:
        """Say by which policies a session counts now, and whether it failed."""
        if self.tlsa == "failed":
            return {PolicyType.TLSA: True}
        expected = {}
        if policy is not None and policy.mode is not MtaStsMode.NONE:
            is_listed = find_mx_pattern(policy, Domain(HOST)) is not None
            expected[PolicyType.STS] = not (is_listed and self.server == "good")
            if policy.mode is MtaStsMode.ENFORCE and not is_listed:
                return expected
        if self.tlsa in ("match", "other", "unusable"):
            expected[PolicyType.TLSA] = self.tlsa != "match" or self.server == "plain"
        return expected or {PolicyType.NO_POLICY_FOUND: self.server == "plain"}

    def is_forbidden(self, published: MtaStsPolicy | None) -> bool:
        """Say if the server must get no mail, by its TLSA records and by this policy."""
        is_enforced = published is not None and published.mode is MtaStsMode.ENFORCE
        is_listed = published is not None and find_mx_pattern(published, Domain(HOST)) is not None
        return (
            self.tlsa in ("other", "failed")
            or (self.tlsa in ("match", "unusable") and self.server == "plain")
            or (is_enforced and not (is_listed and self.server == "good"))
        )


async def play(folder: Path, server: str, seed: int) -> None:
    issued = untrusted() if server == "own" else leaf()
    conduct = Conduct(issued, has_starttls=server != "plain")
    async with going_to(folder, conduct) as hosts:
        hosts.node.is_counting = True
        world = World(hosts, server, tlsa(issued), random.Random(seed))
        for _ in range(STEPS):
            await world.change()
            await world.send_and_check()
        if not world.is_open:
            await hosts.policies.open()


@pytest.mark.parametrize("server", SERVERS)
async def test_mail_never_goes_below_what_holds(server: str, tmp_path: Path) -> None:
    """Rules 29, 32, 33, 48, 59, 73, 78, 145, 147, 152, 153 and 200."""
    await play(tmp_path, server, seed=1)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(2, 14))
@pytest.mark.parametrize("server", SERVERS)
async def test_mail_never_goes_below_what_holds_over_and_over(
    server: str, seed: int, tmp_path: Path
) -> None:
    await play(tmp_path, server, seed)
