"""What looks at CAA, CRLs, signatures and chains for `letterlock check`, as the settings say."""

import random
from functools import partial

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.network.dns import Resolver, make_stub_resolver
from letterlock.network.dns_anchors import load_anchors
from letterlock.network.dns_links import ask_link
from letterlock.network.dns_signatures import ask_signatures
from letterlock.network.http_client import HttpClient
from letterlock.services.certify.revocation import RevocationFinder
from letterlock.services.check.besides import BesideLooker
from letterlock.services.check.chains import ChainLooker
from letterlock.services.check.revoked import BOUNDS, RevocationLooker
from letterlock.services.check.signed import SignatureLooker
from letterlock.services.discover.caa import CaaFinder
from letterlock.services.discover.resolver_check import ResolverState
from letterlock.services.discover.trust_chains import ChainFinder


def make_beside_looker(
    config: Config, resolver: Resolver, clock: Clock, explained_by: ResolverState | None = None
) -> BesideLooker:
    """Make it. Signatures are asked of the resolver that `[dns]` names, also with libunbound.

    `explained_by`: what is known of that resolver, where chains are to be explained; None: not.
    Raises LocalError for a file of trust anchors that can't be used.
    """
    public = HttpClient(resolver)
    private = HttpClient(resolver, has_private_addresses=True)
    revocations = RevocationLooker(
        RevocationFinder({}, public, clock, BOUNDS), RevocationFinder({}, private, clock, BOUNDS)
    )
    stub = make_stub_resolver(config.dns, random.SystemRandom())
    signatures = SignatureLooker(partial(ask_signatures, stub.server))
    chains = None
    if explained_by is not None:
        anchors = load_anchors(config.dns.trust_anchor)
        finder = ChainFinder(partial(ask_link, stub.server), anchors)
        chains = ChainLooker(finder, resolver, explained_by)
    return BesideLooker(CaaFinder(resolver, clock), revocations, signatures, chains)
