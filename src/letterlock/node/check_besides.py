"""What looks at CAA, CRLs and signatures for `letterlock check`, as the settings say."""

import random
from functools import partial

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.network.dns import Resolver, make_stub_resolver
from letterlock.network.dns_signatures import ask_signatures
from letterlock.network.http_client import HttpClient
from letterlock.services.certify.revocation import RevocationFinder
from letterlock.services.check.besides import BesideLooker
from letterlock.services.check.revoked import BOUNDS, RevocationLooker
from letterlock.services.check.signed import SignatureLooker
from letterlock.services.discover.caa import CaaFinder


def make_beside_looker(config: Config, resolver: Resolver, clock: Clock) -> BesideLooker:
    """Make it. Signatures are asked of the resolver that `[dns]` names, also with libunbound."""
    public = HttpClient(resolver)
    private = HttpClient(resolver, has_private_addresses=True)
    revocations = RevocationLooker(
        RevocationFinder({}, public, clock, BOUNDS), RevocationFinder({}, private, clock, BOUNDS)
    )
    stub = make_stub_resolver(config.dns, random.SystemRandom())
    signatures = SignatureLooker(partial(ask_signatures, stub.server))
    return BesideLooker(CaaFinder(resolver, clock), revocations, signatures)
