"""Whether a host's certificate is revoked, as far as the CRL that it names can be had.

RFC 5280 §6.3, by `services.certify.revocation`, as for certificates of our own. A CRL is fetched
only for a certificate that leads to an authority that is trusted: whoever runs a host must not
choose whom we ask. What can't be told is said so, and is never `not revoked`.
"""

import asyncio
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from cryptography import x509

from letterlock.network.public_addresses import is_public
from letterlock.protocols.check.facts import AskedSni, DomainFacts, HostFacts
from letterlock.protocols.check.findings import Finding, FindingId, Severity, make_finding
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.pki.chain import judge_chain
from letterlock.protocols.pki.crl import CrlUnusable, Revocation, find_crl_urls
from letterlock.protocols.tls.handshake import Handshake
from letterlock.services.certify.revocation import CrlBounds, RevocationFinder

BOUNDS = CrlBounds(
    seconds=20.0,
    octets=16 * 1024 * 1024,
    kept_octets=32 * 1024 * 1024,
    failure_seconds=600.0,
)
"""For a check: what is not there in this time is not told."""
AT_ONCE = 4
"""CRLs: each may be long, and is read as a whole."""
MAX_LEAVES = 10
"""Certificates of one host that are asked about."""


class RevocationState(StrEnum):
    """What is known."""

    REVOKED = "revoked"
    NOT_REVOKED = "not revoked"
    NOT_TOLD = "not told"


@dataclass(frozen=True, slots=True)
class LeafRevocation:
    """One certificate of a host. `serial` is lower-case hex.

    `reason` says why it was revoked, or why it is not told. `crl` is where that is said, or where
    it could not be had.
    """

    host: str
    serial: str
    state: RevocationState
    reason: str = ""
    at: datetime | None = None
    crl: str | None = None


class RevocationLooker:
    """Looks at the certificates of hosts.

    `private` fetches from private addresses, too: for hosts that are at such addresses themselves.
    """

    def __init__(self, public: RevocationFinder, private: RevocationFinder) -> None:
        self._public = public
        self._private = private
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def look(self, facts: DomainFacts, terms: Terms) -> tuple[LeafRevocation, ...]:
        """Say of each certificate whether it is revoked."""
        return tuple(
            [
                await self._look_at(host, chain, terms)
                for host in facts.hosts
                for chain in list(dict.fromkeys(_list_chains(host)))[:MAX_LEAVES]
            ]
        )

    async def _look_at(
        self, host: HostFacts, chain: tuple[bytes, ...], terms: Terms
    ) -> LeafRevocation:
        name = str(host.name or host.addresses[0].ip)
        judgement = judge_chain(chain, terms.anchors, terms.now)
        serial = judgement.leaf.serial if judgement.leaf is not None else ""

        def tell_nothing(reason: str) -> LeafRevocation:
            return LeafRevocation(name, serial, RevocationState.NOT_TOLD, reason)

        if not judgement.is_anchored:
            return tell_nothing("it leads to no authority that is trusted")
        path = [_load(der) for der in judgement.path[:2]]
        leaf, issuer = path[0], path[-1]
        if leaf is None or issuer is None:
            return tell_nothing("it cannot be read")
        urls = find_crl_urls(leaf)
        if not urls:
            return tell_nothing("it names no CRL that is to be had by HTTP")
        finder = self._private if _is_inside(host) else self._public
        async with self._slots:
            found = await finder.find("", [leaf, issuer], ())
        if isinstance(found, CrlUnusable):
            return replace(tell_nothing(found.reason), crl=urls[0].text)
        if isinstance(found, Revocation):
            return LeafRevocation(
                name, serial, RevocationState.REVOKED, found.reason, found.at, urls[0].text
            )
        return LeafRevocation(name, serial, RevocationState.NOT_REVOKED, crl=urls[0].text)


def find_revoked(seen: tuple[LeafRevocation, ...]) -> Iterator[Finding]:
    """Find the certificates that are revoked; who has a key that leaked can pass as the host."""
    for each in seen:
        if each.state is not RevocationState.REVOKED or each.at is None:
            continue
        is_leaked = each.reason == x509.ReasonFlags.key_compromise.value
        evidence = f"it was revoked at {each.at:%Y-%m-%dT%H:%M:%SZ}: {each.reason} ({each.crl})"
        fix = "replace it now, with a new key" if is_leaked else "replace it"
        severity = Severity.CRITICAL if is_leaked else Severity.WARNING
        yield make_finding(FindingId.REVOKED, severity, each.host, evidence, fix)


def _list_chains(host: HostFacts) -> Iterator[tuple[bytes, ...]]:
    for address in host.addresses:
        for probe in address.probes:
            if probe.asked is AskedSni.OWN and isinstance(probe.handshake, Handshake):
                yield probe.handshake.chain


def _is_inside(host: HostFacts) -> bool:
    """Say if a host is in a private network, all of it: then so may be its authority."""
    return not any(is_public(address.ip) for address in host.addresses)


def _load(der: bytes) -> x509.Certificate | None:
    with warnings.catch_warnings():
        # A peer's oddity is not for our standard error.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return x509.load_der_x509_certificate(der)
        except ValueError:
            return None
