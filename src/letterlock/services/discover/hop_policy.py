"""What TLS each host of a route must have: what is published is looked up, then it is decided.

RFC 7672 §2.2, RFC 8461 §5, RFC 8689 §4.2, RFC 4954 §14. Delivery and all that
explains a policy ask here, and so can't differ. The decision itself is `protocols.policy.decide`.
"""

from dataclasses import dataclass

from msgspec import Struct

from letterlock.base.clock import Clock
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.policy.decide import decide, needs_published
from letterlock.protocols.policy.facts import NOTHING_PUBLISHED, MtaStsFacts, Published
from letterlock.protocols.policy.password_demand import HopSecret, ask_for_tls, protect
from letterlock.protocols.policy.requirement import Decision, RequirementInvalid
from letterlock.protocols.policy.table import PolicyTable
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.services.discover.mta_sts import MtaStsFinder
from letterlock.services.discover.next_hop import NextHop
from letterlock.services.discover.routes import MxHost, Route
from letterlock.services.discover.tlsa import TlsaFinder
from letterlock.storage.queue import StoreUnavailable


class HostPolicy(Struct, frozen=True):
    """What is published for one host, as far as it was looked up, and what follows."""

    published: Published
    decision: Decision


@dataclass(frozen=True, slots=True)
class HopPolicy:
    """Finds and decides. A finder that is None is switched off: nothing of its kind is asked."""

    table: PolicyTable
    tlsa: TlsaFinder | None
    mta_sts: MtaStsFinder | None
    clock: Clock

    async def find_mta_sts(self, next_hop: NextHop) -> MtaStsFacts | None:
        """Find the policy of the domain that mail goes to; None where none can hold.

        A host in brackets is no policy domain: no MX records lead there. Raises StoreUnavailable
        when the policies that are kept cannot be read.
        """
        if self.mta_sts is None or next_hop.domain is None or next_hop.is_bracketed:
            return None
        return await self.mta_sts.find(next_hop.domain)

    async def has_newer(self, facts: MtaStsFacts) -> bool:
        """Look whether a domain has published another policy since, and say if it holds now.

        RFC 8461 §5.1: before a failure to meet the one that is kept counts.
        """
        if self.mta_sts is None:
            return False
        try:
            return (await self.mta_sts.recheck(facts.domain)).policy != facts.policy
        except StoreUnavailable:
            # The one we know is what holds.
            return False

    async def decide(
        self,
        route: Route,
        host: MxHost,
        demand: TlsDemand = TlsDemand.NORMAL,
        secret: HopSecret = HopSecret.NONE,
    ) -> HostPolicy:
        """Decide for one host of a route, where `secret` is said beside mail.

        Where nobody knows what policy holds, mail waits: RequirementInvalid.
        """
        hop, name, table = route.next_hop, _find_name(host), self.table.on(self.clock.now().date())
        published = NOTHING_PUBLISHED
        if needs_published(hop.key, hop.domain, name, table, demand):
            try:
                published = await self.find_published(route, host)
            except StoreUnavailable as error:
                reason = f"the policies that are kept cannot be read: {error}"
                return HostPolicy(published, RequirementInvalid("MTA-STS", reason))
        decision = decide(hop.key, hop.domain, name, table, published, demand)
        if secret is not HopSecret.NONE or hop.is_implicit_tls:
            decision = self._protect(decision, route, name, secret)
        return HostPolicy(published, decision)

    def _protect(self, decision: Decision, route: Route, name: str, secret: HopSecret) -> Decision:
        hop, table = route.next_hop, self.table.on(self.clock.now().date())
        if secret is not HopSecret.PASSWORD:
            is_password = secret is HopSecret.PASSWORD_UNPROVED
            return ask_for_tls(decision, is_password=is_password)
        is_known = route.is_implicit or route.mx_security in (None, Security.SECURE)
        return protect(decision, hop.key, hop.domain, name, table, is_host_known=is_known)

    async def find_published(self, route: Route, host: MxHost) -> Published:
        """Find what is published for a host, whether a decision needs it or not.

        Raises StoreUnavailable as `find_mta_sts` does.
        """
        # The domain's policy first: it is found once, and then known for every host.
        mta_sts = await self.find_mta_sts(route.next_hop)
        tlsa = None
        if self.tlsa is not None and host.name is not None and host.addresses:
            tlsa = await self.tlsa.find(host, route.next_hop.port)
        return Published(
            tlsa=tlsa,
            mta_sts=mta_sts,
            mx_security=None if route.is_implicit else route.mx_security,
            expanded_domain=route.expanded_domain,
        )


def _find_name(host: MxHost) -> str:
    """Give the name that a host is known by: its address where it has none."""
    return host.name or str(host.addresses[0].ip)
