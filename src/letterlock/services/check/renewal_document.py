"""What the next certificate does to a host's TLSA records, as parts of a check's document."""

from collections.abc import Iterable
from typing import Any

from letterlock.base.domains import Domain
from letterlock.services.check.renewing import HostRenewals, RenewalCase

_UNKNOWN: dict[str, Any] = {
    "renewal": [],
    "tlsa_to_publish": [],
    "tlsa_missing": [],
    "tlsa_ttl": None,
    "tlsa_wait": None,
}


def describe_renewals(name: Domain | None, renewals: Iterable[HostRenewals]) -> dict[str, Any]:
    """Give the parts of a host's document; empty where nothing was tried."""
    host = next((each for each in renewals if each.host == name), None)
    if host is None:
        return dict(_UNKNOWN)
    return {
        "renewal": [_describe_case(each) for each in host.cases],
        "tlsa_to_publish": [host.format_line(each) for each in host.current],
        "tlsa_missing": [host.format_line(each) for each in host.missing],
        "tlsa_ttl": host.ttl,
        "tlsa_wait": host.wait,
    }


def _describe_case(case: RenewalCase) -> dict[str, Any]:
    return {
        "case": case.renewal.value,
        "outcome": case.outcome.value,
        "matches": [str(each) for each in case.matching],
        "open": [str(each) for each in case.open],
    }
