"""The MTA-STS policies of our own domains: serving them, and what may follow on those served.

RFC 8461 §3.2 (max_age counts from the fetch), §5.1 (a policy is kept to while it is held), §8.1
(changing one), §8.3 (removing one). What was served is kept, since until its max_age is over a
sender somewhere may know nothing else: a new MX host that it does not list gets no mail from there,
and a policy that just vanishes is still held to. HTTP is `network.policy_host`'s.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from letterlock.base.clock import Clock, format_time
from letterlock.base.domains import Domain
from letterlock.base.log import Log, Service
from letterlock.protocols.mta_sts.policy import (
    MtaStsMode,
    MtaStsPolicy,
    find_mx_pattern,
    format_policy,
)
from letterlock.services.publish.findings import Code, Finding, note, warning
from letterlock.services.publish.records import POLICY_HOST_LABEL, below, make_policy_id
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.served_policies import ServedPolicies, ServedPolicy

NOTE_SECONDS = 600.0
"""Between two notes that a policy is still served."""
NOTED_AHEAD = timedelta(seconds=3 * NOTE_SECONDS)
"""How far ahead a note reaches, so that one that is late or lost leaves no gap."""
LONGEST_REMOVAL_AGE = timedelta(days=1)
"""RFC 8461 §8.3 has a small max_age for a policy that takes another back."""


class OwnPolicies:
    """The policies that a process serves: one content for all of its domains.

    `find` is what `network.policy_host.PolicyHost` asks. `run` notes them, and belongs beside it.
    """

    def __init__(
        self,
        domains: Sequence[Domain],
        policy: MtaStsPolicy,
        store: ServedPolicies,
        clock: Clock,
        log: Log,
    ) -> None:
        """`store` is on a database that is open, or will be. Raises ValueError for no policy."""
        self._domains = frozenset(domains)
        self._policy = policy
        self._octets = format_policy(policy).encode()
        self._store = store
        self._clock = clock
        self._log = log

    def find(self, domain: Domain) -> bytes | None:
        """Give the policy of a domain; None: it has none here."""
        return self._octets if domain in self._domains else None

    async def note(self) -> None:
        """Note what is served, once for each domain. Raises StoreUnavailable."""
        now = self._clock.now()
        identifier = make_policy_id(self._policy)
        for domain in sorted(self._domains):
            served = ServedPolicy(domain, identifier, self._policy, now, now + NOTED_AHEAD)
            await self._store.note(served)
        await self._store.forget(now)

    async def run(self) -> None:
        """Go on noting until cancelled; policies are served while the store is away, too."""
        fault = ""
        while True:
            try:
                await self.note()
                fault = ""
            except StoreUnavailable as error:
                if fault != (fault := str(error)):
                    text = f"warning: it is not noted which MTA-STS policies are served: {fault}"
                    self._log.write(Service.TLS, text)
            await asyncio.sleep(NOTE_SECONDS)


def find_held_hosts(
    served: Iterable[ServedPolicy], hosts: Iterable[Domain], now: datetime
) -> dict[Domain, datetime]:
    """Find the hosts that somebody's policy still forbids, and until when.

    They must not be the only MX hosts before that. Policies in testing forbid nothing.
    """
    held = [
        each for each in served if each.policy.mode is MtaStsMode.ENFORCE and each.held_until > now
    ]
    ends = {
        host: [each.held_until for each in held if find_mx_pattern(each.policy, host) is None]
        for host in hosts
    }
    return {host: max(moments) for host, moments in ends.items() if moments}


def find_held_until(served: Iterable[ServedPolicy], now: datetime) -> datetime | None:
    """Find until when somebody may hold a policy that asks for something; None: nobody does.

    RFC 8461 §8.3: until then a policy of mode none has to be served.
    """
    ends = [each.held_until for each in served if each.policy.mode is not MtaStsMode.NONE]
    return max((end for end in ends if end > now), default=None)


def check_transitions(
    domain: Domain,
    policy: MtaStsPolicy | None,
    hosts: Sequence[Domain],
    served: Sequence[ServedPolicy],
    now: datetime,
) -> Iterator[Finding]:
    """Check what follows from policies that were served, for MX hosts and a policy's removal.

    `policy` is the one to be served now, None: there is to be none. `hosts` are the MX hosts.
    """
    # What the policy of now does not list, no date makes better: that is told by the check of it.
    current = make_policy_id(policy) if policy is not None else None
    before = [each for each in served if each.id != current]
    for host, end in find_held_hosts(before, hosts, now).items():
        text = (
            f"a policy of {domain} that others may hold until {format_time(end)} does not list "
            f"{host}: they don't deliver there"
        )
        fix = f"keep an older MX host beside it until {format_time(end)}"
        yield warning(Code.MTA_STS_MX_FORBIDDEN, host, text, fix)
    place = below(POLICY_HOST_LABEL, domain) or domain
    if policy is None or policy.mode is MtaStsMode.NONE:
        yield from _check_removal(place, policy, find_held_until(served, now))


def _check_removal(
    place: Domain, policy: MtaStsPolicy | None, end: datetime | None
) -> Iterator[Finding]:
    if policy is None and end is not None:
        text = f"others may hold to the policy that was served until {format_time(end)}"
        fix = 'serve one of mode "none", with another id in the record, until then'
        yield warning(Code.MTA_STS_HELD, place, text, fix)
    elif policy is not None and end is not None:
        text = f"others may hold an older policy than this until {format_time(end)}"
        fix = "leave record and policy as they are until then"
        yield note(Code.MTA_STS_HELD, place, text, fix)
    elif policy is not None:
        text = "nobody holds an older policy any more"
        yield note(Code.MTA_STS_REMOVABLE, place, text, "remove record and policy, if you like")
    if policy is not None and policy.max_age > LONGEST_REMOVAL_AGE:
        text = "max_age is long for a policy that takes another back"
        yield note(Code.MTA_STS_REMOVABLE, place, text, 'set max_age = "1d"')
