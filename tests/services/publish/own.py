"""A domain of ours, as the tests of what it publishes have it."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.pki.certificate import read_spki
from letterlock.protocols.pki.throwaway_ca import Issued
from letterlock.services.publish.records import AcmeAccount, OwnDomain, OwnHost
from tests.network.certificates import issue

DOMAIN, HOST = Domain("example.org"), Domain("mx1.example.org")
IPV4, IPV6 = IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")
POLICY = MtaStsPolicy(MtaStsMode.ENFORCE, (HOST,), timedelta(days=14))

ACCOUNT = AcmeAccount("ca.example", "https://ca.example/acct/1", ("http-01", "dns-01"))


def leaf() -> Issued:
    """Give the certificate of the host."""
    return issue((HOST,))


KEY = sha256(read_spki(leaf().der) or b"").hexdigest()
"""The digest of its key."""


def own_host(**changes: Any) -> OwnHost:
    """Give this node: one certificate, one address of each kind."""
    return replace(OwnHost(HOST, addresses=(IPV4, IPV6), chains=(leaf().chain_der,)), **changes)


def own_domain(**changes: Any) -> OwnDomain:
    """Give a domain with one host and a policy."""
    return replace(OwnDomain(DOMAIN, (own_host(),), policy=POLICY), **changes)
