"""Our certificates: loaded, chosen for each ClientHello, reloaded when files change.

RFC 7672 §8.1 and RFC 8461 §7.1: whoever connects gets one. OpenSSL itself refuses an extension
that can't be read, and a name with a NUL or of more than 255 octets.

Contexts are made at start and on reload, before workers fork: workers share their ticket keys.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.network.offers import (
    Choice,
    ChoiceReason,
    Offers,
    Pairs,
    find_by_name,
    make_offers,
    take_first_of_each_type,
)
from letterlock.network.pair_files import (
    ListedPairs,
    PairPaths,
    PairSource,
    ReloadResult,
    WatchedPairs,
)
from letterlock.network.served_pairs import PairLoader, ServedPair, ServerSettings
from letterlock.protocols.tls.client_hello import ClientHello

__all__ = [
    "CertificateSummary",
    "Choice",
    "ChoiceReason",
    "ManagedPairs",
    "ReloadResult",
    "ServerCertificates",
    "ServerSettings",
]


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """What `letterlock status` tells of a certificate."""

    names: tuple[str, ...]
    not_after: datetime
    not_before: datetime


@dataclass(frozen=True, slots=True)
class ManagedPairs:
    """Certificates that the node gets for itself.

    Where no other is configured that of `hostname` is the default one; until it is there
    `self_signed` is. None: there is none, and the first of all is the default.
    """

    source: PairSource
    hostname: Domain
    self_signed: PairPaths | None = None


class ServerCertificates:
    """Our certificates. The first of `files` is the default one, if there are any."""

    def __init__(
        self,
        files: Sequence[PairPaths],
        settings: ServerSettings | None = None,
        managed: ManagedPairs | None = None,
    ) -> None:
        """Load each (certificate, key); raises LocalError for the first that can't be used.

        Of managed ones only the default must be usable: see `warnings` for others.
        """
        self._loader = PairLoader(settings if settings is not None else ServerSettings())
        self._configured = WatchedPairs(files, self._loader)
        self._managed = managed
        self._listed = ListedPairs(managed.source, self._loader) if managed is not None else None
        self._self_signed: WatchedPairs | None = None
        self._is_self_signed = False
        default = self._find_default()
        if not default:
            raise LocalError("TLS needs at least one certificate and its key")
        self._offers: Offers = make_offers(self._pairs, default)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is not wrong but should be known, one line each."""
        found = [line for pair in self._configured.pairs for line in pair.warnings]
        if self._listed is not None:
            found.extend(self._listed.faults)
        return tuple(found)

    @property
    def is_self_signed(self) -> bool:
        """The default certificate is the one that stands in until a real one is there."""
        return self._is_self_signed

    @property
    def names(self) -> tuple[str, ...]:
        """Every name a client can ask for."""
        return tuple(self._offers.by_name)

    @property
    def count(self) -> int:
        """How many certificates there are."""
        return len(self._pairs)

    def summarize(self, limit: int) -> list[CertificateSummary]:
        """Give the names and ends of some: the default ones, then those that end first."""
        default = self._offers.default
        others = (pair for pair in self._pairs if pair not in default)
        first = heapq.nsmallest(limit, others, key=lambda pair: pair.not_after)
        chosen = [*default, *first][:limit]
        return [CertificateSummary(pair.names, pair.not_after, pair.not_before) for pair in chosen]

    def choose(self, hello: ClientHello | None) -> Choice:
        """Choose for a client; None stands for one whose ClientHello could not be read."""
        return self._offers.choose(hello)

    def renew_ticket_keys(self) -> None:
        """Make new contexts: each has ticket keys of its own (RFC 9325 §3.4)."""
        self._loader.renew_contexts({pair.context for pair in self._pairs})

    def reload_if_changed(self) -> ReloadResult:
        """Load pairs that changed. What can't be loaded stays as it was and is tried again.

        Connections keep what they began with.
        """
        results = [self._configured.reload()]
        if self._listed is not None:
            results.append(self._listed.reload())
        if self._self_signed is not None:
            results.append(self._self_signed.reload())
        result = ReloadResult(
            tuple(path for each in results for path in each.loaded),
            tuple(fault for each in results for fault in each.faults),
            tuple(name for each in results for name in each.removed),
        )
        if result.has_changes:
            default = self._find_default() or self._offers.default
            self.renew_ticket_keys()
            self._offers = make_offers(self._pairs, default)
        return result

    @property
    def _pairs(self) -> list[ServedPair]:
        """All that are in use."""
        pairs = [*self._configured.pairs, *(self._listed.pairs if self._listed is not None else ())]
        if self._is_self_signed and self._self_signed is not None:
            pairs.extend(self._self_signed.pairs)
        return pairs

    def _find_default(self) -> Pairs:
        """Find what those get who ask for no name of ours; () when there is nothing."""
        self._is_self_signed = False
        pairs = self._pairs
        if self._configured.pairs:
            return _find_beside(pairs)
        if self._managed is None:
            return ()
        by_name = make_offers(pairs, ()).by_name
        named = find_by_name(by_name, self._managed.hostname) or ()
        if usable := tuple(pair for pair in named if pair.make_ready()):
            return usable
        if self._managed.self_signed is not None:
            if self._self_signed is None:
                self._self_signed = WatchedPairs([self._managed.self_signed], self._loader)
            self._is_self_signed = True
            return tuple(self._self_signed.pairs)
        return tuple([pair for pair in pairs if pair.make_ready()][:1])


def _find_beside(pairs: Sequence[ServedPair]) -> Pairs:
    """Give the first, and those of other key types that have all of its names."""
    first = pairs[0]
    names = set(first.names)
    beside = [pair for pair in pairs if names and names <= set(pair.names)]
    found = take_first_of_each_type([first, *beside])
    return tuple(pair for pair in found if pair.make_ready())
