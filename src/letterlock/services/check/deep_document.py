"""What many connections to one address showed, as its part of a check's document."""

from typing import Any

from letterlock.protocols.check.deep import VERSIONS, DeepFacts, TakenSuite
from letterlock.protocols.tls.groups import name_group
from letterlock.protocols.tls.suites import find_weaknesses, name_suite


def describe_deep(deep: DeepFacts | None) -> dict[str, Any] | None:
    """Give it; None: it was not looked at."""
    if deep is None:
        return None
    tls = deep.tls
    return {
        "connections": deep.connections,
        "stopped": deep.stopped,
        "sni": deep.sni,
        "versions": {VERSIONS[version]: offered.value for version, offered in tls.versions},
        "suites": [_describe_suite(each) for each in tls.suites],
        "order": tls.order.value if tls.order is not None else None,
        "groups": [name_group(group) for group in tls.groups],
        "is_complete": tls.are_suites_complete and tls.are_groups_complete,
        "compression": tls.has_compression,
        "secure_renegotiation": tls.has_secure_renegotiation,
        "extended_master_secret": tls.has_extended_master_secret,
        "injection": {"state": deep.injection.value, "detail": deep.injection_detail},
        "smuggling": [
            {"ending": each.text, "state": each.ending.value, "detail": each.detail}
            for each in deep.endings
        ],
    }


def _describe_suite(taken: TakenSuite) -> dict[str, Any]:
    return {
        "name": name_suite(taken.suite),
        "version": VERSIONS[taken.version],
        "dh_bits": taken.dh_bits,
        "weaknesses": [each.value for each in find_weaknesses(taken.suite)],
    }
