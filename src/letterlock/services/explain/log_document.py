"""What `log explain` found, as the documents that its JSON is made of.

Times become RFC 3339 in UTC; what a log does not say is null, or empty.
"""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from letterlock.base.clock import format_time
from letterlock.protocols.mail_log.deliveries import LoggedDelivery
from letterlock.protocols.mail_log.stamps import read_stamp
from letterlock.protocols.mail_log.summary import CauseCount, fill_in, find_remedy


@dataclass(frozen=True, slots=True)
class Describer:
    """Makes documents; stamps without year or zone are read by `now` and `zone`."""

    now: datetime
    zone: tzinfo

    def describe_delivery(self, delivery: LoggedDelivery) -> dict[str, Any]:
        """Give the document of one delivery."""
        remedy = find_remedy(delivery.cause)
        tls = delivery.tls
        return {
            "time": self.format_stamp(delivery.stamp),
            "queue_id": delivery.queue_id,
            "recipient": delivery.recipient,
            "nexthop_domain": delivery.domain or None,
            "mx": delivery.mx or None,
            "ip": delivery.ip or None,
            "level": delivery.level or None,
            "tls": None
            if tls is None
            else {"trust": tls.trust, "version": tls.version, "cipher": tls.cipher},
            "status": delivery.status,
            "dsn": delivery.dsn or None,
            "cause": str(delivery.cause),
            "result_type": remedy.result_type,
            "evidence": list(delivery.evidence),
            "fix": fill_in(remedy, delivery.mx, delivery.domain),
        }

    def describe_cause(self, counted: CauseCount) -> dict[str, Any]:
        """Give the document of one cause."""
        return {
            "cause": str(counted.cause),
            "count": counted.count,
            "meaning": find_remedy(counted.cause).meaning,
            "hosts": counted.name_most(counted.hosts),
            "domains": counted.name_most(counted.domains),
            "first": self.format_stamp(counted.first),
            "last": self.format_stamp(counted.last),
            "said": counted.said or None,
            "fix": counted.fix,
        }

    def format_stamp(self, stamp: str) -> str | None:
        """Give a stamp of the log as RFC 3339 in UTC; None: it is no time."""
        moment = read_stamp(stamp, self.now, self.zone)
        return None if moment is None else format_time(moment)
