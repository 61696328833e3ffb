"""No certificate comes into use whose key no published TLSA record matches, where there are any.

RFC 7671 §8, RFC 7672 §3.1: a sender that finds records and none that matches does not deliver.
What it would find is judged by the code that judges other servers.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.policy.dane import DANE_EE, SPKI, find_usable, judge_dane
from letterlock.services.certify.rollover import PublishedTlsa
from letterlock.services.publish.records import make_tlsa

FULL = 0
_MAX_SHOWN = 3


class TlsaZone(Protocol):
    """The TLSA records of our own names: looking at them, and changing them."""

    @property
    def is_ours_to_change(self) -> bool:
        """Whether the node changes DNS by itself; else only the operator can."""

    async def look(self, name: str) -> PublishedTlsa:
        """Look at the records of a certificate's name, at every server of its zone."""

    async def add(self, name: str, record: TlsaRecord, ttl: timedelta = ...) -> str | None:
        """Publish a record beside those that are there; a text says why that failed.

        `ttl` is theirs, which all have (RFC 2181 §5.2): servers give them that of the last change.
        """

    async def remove(self, name: str, record: TlsaRecord) -> str | None:
        """Take a record away; a text says why that failed."""


def could_match(published: PublishedTlsa, spki_sha256: bytes) -> bool:
    """Say if a certificate for a key may match, before there is one.

    False: whatever an authority gives for that key, no record will match it.
    """
    usable = find_usable(tuple(published.anywhere))
    if not usable:
        return True
    ours = make_tlsa(spki_sha256)
    return any(_is_open(record) or record == ours for record in usable)


def find_mismatch(
    published: PublishedTlsa, name: str, chain_der: Sequence[bytes], now: datetime
) -> str | None:
    """Say why a chain must not come into use; None: it may.

    Records that can't be used count as none: senders go by none of them.
    """
    if published.fault:
        return f"not known whether its TLSA records match: {published.fault}"
    if not find_usable(tuple(published.anywhere)):
        return None
    if judge_dane(chain_der, tuple(published.everywhere), [name], now).is_authenticated:
        return None
    records = sorted(str(record) for record in published.anywhere)
    shown = "; ".join(records[:_MAX_SHOWN])
    more = f" and {len(records) - _MAX_SHOWN} more" if len(records) > _MAX_SHOWN else ""
    return f"no TLSA record at {published.base} matches it: there is {shown}{more}"


def _is_open(record: TlsaRecord) -> bool:
    """Say if it depends on more than the SHA-256 of the key whether a record matches."""
    return record.usage != DANE_EE or record.selector != SPKI or record.matching_type != 1
