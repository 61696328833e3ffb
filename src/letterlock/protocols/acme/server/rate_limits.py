"""How often something may be done, as arithmetic over one moment that is kept for each counter.

RFC 8555 §6.6 (`rateLimited`, Retry-After, help links), §10.3; RFC 9773 §5 (replacements may pass).
A counter is the moment at which it would be empty again (GCRA): to use it moves that moment into
the future, and too far is too often. Keeping them, and who counts what, is the service's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_network

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.server.refusals import (
    ErrorType,
    Link,
    NameFault,
    Refusal,
    refuse,
    refuse_names,
)

SKEW = timedelta(hours=1)
"""A counter that is further from empty than full by more than this is of a clock that was wrong."""
SITE_BITS = 48
"""Of an IPv6 address: what one customer is given."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many at once, and then so many in a time. `page` explains it, at a URL."""

    name: str
    """Words for people, as `new orders of an account`."""
    burst: int
    count: int
    period: timedelta
    page: str | None = None
    spares_replacements: bool = False
    """Orders that replace a certificate in its renewal window are not counted (RFC 9773 §5)."""

    def __post_init__(self) -> None:
        if self.burst < 1 or self.count < 1 or self.interval <= timedelta():
            raise ValueError(f"{self.name}: a limit allows at least one in a time")

    @property
    def interval(self) -> timedelta:
        return self.period / self.count


@dataclass(frozen=True, slots=True)
class Counter:
    """A limit for one account, address or name. `empty_at`: None for one that was never used."""

    limit: Limit
    key: str
    empty_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A limit was reached; the same is allowed again at a time."""

    limit: Limit
    allowed_at: datetime


def use(counter: Counter, now: datetime, times: int = 1) -> Counter | Exceeded:
    """Count something that is done so many times at once; at most `limit.burst` times."""
    limit = counter.limit
    if times > limit.burst:
        raise ValueError(f"{limit.name}: {times} at once are more than it ever allows")
    empty_at = _find_empty(counter, now) + limit.interval * times
    full = limit.interval * limit.burst
    if empty_at - now > full:
        return Exceeded(limit, empty_at - full)
    return replace(counter, empty_at=empty_at)


def give_back(counter: Counter, now: datetime, times: int = 1) -> Counter:
    """Take back what was counted: it failed for a reason that is ours."""
    empty_at = _find_empty(counter, now) - counter.limit.interval * times
    return replace(counter, empty_at=max(empty_at, now))


def use_all(counters: Iterable[Counter], now: datetime) -> tuple[Counter, ...] | Refusal:
    """Count one more on each counter, or on none of them.

    A refusal says when all would allow it again (RFC 8555 §6.6).
    """
    found = tuple(use(each, now) for each in counters)
    exceeded = [each for each in found if isinstance(each, Exceeded)]
    if exceeded:
        return _refuse(exceeded, now)
    return tuple(each for each in found if isinstance(each, Counter))


def choose_counters(counters: Iterable[Counter], *, is_replacement: bool) -> tuple[Counter, ...]:
    """Give those that an order is counted on."""
    return tuple(
        each for each in counters if not (is_replacement and each.limit.spares_replacements)
    )


def _refuse(exceeded: Sequence[Exceeded], now: datetime) -> Refusal:
    last = max(exceeded, key=lambda each: each.allowed_at)
    names = ", ".join(each.limit.name for each in exceeded)
    links = tuple(Link(each.limit.page, "help") for each in exceeded if each.limit.page)
    refusal = refuse(ErrorType.RATE_LIMITED, f"too many: {names}")
    return replace(refusal, retry_after=last.allowed_at - now, links=links)


def _find_empty(counter: Counter, now: datetime) -> datetime:
    full = counter.limit.interval * counter.limit.burst
    # What a clock that was wrong counted says nothing: taken for full it would be full for as long
    # as that clock was ahead, since a refusal keeps nothing.
    if counter.empty_at is None or counter.empty_at > now + full + SKEW:
        return now
    return max(counter.empty_at, now)


# A name whose validation fails 40 times a day is paused after three months, and one that fails
# now and then never is: a success empties the counter.
PAUSING = Limit("failed validations in a row", 3600, 1, timedelta(days=1))


def note_validation(counter: Counter, now: datetime, *, is_valid: bool) -> Counter | Exceeded:
    """Count a validation of a name for an account; Exceeded: the name is to be paused."""
    return replace(counter, empty_at=None) if is_valid else use(counter, now)


def refuse_paused(names: Iterable[Identifier], page: str) -> Refusal:
    """Refuse an order for names that are paused; on the page their holder takes that back."""
    detail = f"it failed so often that it is paused: see {page}"
    faults = [NameFault(each, ErrorType.RATE_LIMITED, detail) for each in names]
    refusal = refuse_names(faults, f"some names failed so often that they are paused: see {page}")
    return replace(refusal, links=(Link(page, "help"),))


def find_names_key(names: Iterable[Identifier]) -> str:
    """Give the key for just this set of names."""
    text = "\n".join(f"{each.type}:{each.value}" for each in sorted(set(names)))
    return sha256(text.encode()).hexdigest()


def find_address_keys(address: IPv4Address | IPv6Address) -> tuple[str, ...]:
    """Give the keys of an address: itself, and of IPv6 its site.

    An IPv4 address that is written as one of IPv6 is what it is: else all would be one site.
    """
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if isinstance(address, IPv4Address):
        return (str(address),)
    return str(address), str(ip_network((address, SITE_BITS), strict=False))
