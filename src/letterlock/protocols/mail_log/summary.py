"""What a log comes to: each cause, how often, with whom, since when, and what to do.

Bounded: of very many hosts and domains only so many are named, and the others are counted.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from letterlock.protocols.mail_log.causes import REMEDIES, SECOND_MX, Cause, Remedy, is_ok
from letterlock.protocols.mail_log.deliveries import LoggedDelivery

MAX_COUNTED = 10_000
MAX_NAMED = 20


@dataclass(slots=True)
class CauseCount:
    """How often a cause was seen. `first` and `last` are stamps as the log has them."""

    cause: str
    count: int = 0
    first: str = ""
    last: str = ""
    hosts: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    others: int = 0
    """Deliveries to hosts or domains that were too many to be counted each."""
    said: str = ""
    """The log's own words on the last one that has any: a reply, more often than not."""

    def add(self, delivery: LoggedDelivery) -> None:
        """Count one delivery."""
        self.count += 1
        self.first = self.first or delivery.stamp
        self.last = delivery.stamp
        self.said = delivery.reason or self.said
        for counter, name in ((self.hosts, delivery.mx), (self.domains, delivery.domain)):
            if not name:
                continue
            if name in counter or len(counter) < MAX_COUNTED:
                counter[name] += 1
            else:
                self.others += 1

    def name_most(self, counter: Counter[str]) -> list[str]:
        """Name hosts or domains, those with most deliveries first."""
        named = sorted(counter, key=lambda name: (-counter[name], name))
        return named[:MAX_NAMED]

    @property
    def fix(self) -> str:
        """What helps, with the names of the host and domain that are concerned most."""
        return fill_in(find_remedy(self.cause), _most(self.hosts), _most(self.domains))


class Summary:
    """Counts deliveries by cause."""

    def __init__(self) -> None:
        self._counts: dict[str, CauseCount] = {}

    def add(self, delivery: LoggedDelivery) -> None:
        """Count one delivery."""
        count = self._counts.get(delivery.cause)
        if count is None:
            count = self._counts[delivery.cause] = CauseCount(delivery.cause)
        count.add(delivery)

    @property
    def causes(self) -> list[CauseCount]:
        """The causes, what failed first, then by count."""
        return sorted(
            self._counts.values(), key=lambda each: (is_ok(each.cause), -each.count, each.cause)
        )

    @property
    def has_failures(self) -> bool:
        """Whether any delivery was put off or bounced."""
        return any(not is_ok(cause) for cause in self._counts)


def find_remedy(cause: str) -> Remedy:
    """Give what a cause means; of a second MX host, what the first one's means."""
    return REMEDIES[Cause(cause.removeprefix(SECOND_MX))]


def fill_in(remedy: Remedy, mx: str, domain: str) -> str:
    """Fill the names into what helps; names come from the log, which strangers write to as well."""
    # One pass: a name with braces in it is not read again.
    return remedy.fix.format_map(
        {"mx": _clean(mx) or "the MX host", "domain": _clean(domain) or "DOMAIN"}
    )


def _most(counter: Counter[str]) -> str:
    return max(counter, key=lambda name: (counter[name], name), default="")


def _clean(name: str) -> str:
    return "".join(each for each in name[:255] if each.isalnum() or each in "-._")


def count_all(deliveries: Iterable[LoggedDelivery]) -> Summary:
    """Count deliveries."""
    summary = Summary()
    for delivery in deliveries:
        summary.add(delivery)
    return summary
