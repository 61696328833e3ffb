"""A domain's chains of trust, as parts of its document."""

from typing import Any

from letterlock.protocols.check.chain_breaks import Break
from letterlock.protocols.check.chain_findings import find_fix, find_who
from letterlock.protocols.check.trust_chain import RecordState, ZoneState
from letterlock.protocols.dns.answers import Answer
from letterlock.protocols.dns.dnssec_records import make_ds
from letterlock.services.check.chains import Explained

_NOTHING = {"cause": None, "evidence": None, "who": None, "fix": None}


def describe_chains(explained: Explained | None) -> dict[str, Any]:
    """Give the parts of the document; None: it was not asked for."""
    if explained is None:
        return {"zones": None, "records": None}
    chains = explained.chains
    return {
        "zones": [_describe_zone(each) for each in chains.zones],
        "records": [
            _describe_record(each, said)
            for each, said in zip(chains.records, explained.said, strict=True)
        ],
    }


def _describe_zone(state: ZoneState) -> dict[str, Any]:
    return {
        "zone": state.zone,
        "parent": state.parent,
        "status": state.status.value,
        **_describe_break(state.broken),
        "ds": [str(each) for each in state.ds],
        "keys": [
            {
                "tag": each.tag,
                "algorithm": each.algorithm,
                "entry_point": each.is_entry_point,
                "ds": str(make_ds(state.zone, each)),
            }
            for each in state.keys
        ],
        "until": f"{state.ends:%Y-%m-%dT%H:%M:%SZ}" if state.ends is not None else None,
    }


def _describe_record(state: RecordState, said: Answer | None) -> dict[str, Any]:
    return {
        "name": state.name,
        "type": state.rdtype,
        "zone": state.zone,
        "status": state.status.value,
        "outcome": state.outcome.value,
        "alias": state.alias,
        **_describe_break(state.broken),
        "until": f"{state.ends:%Y-%m-%dT%H:%M:%SZ}" if state.ends is not None else None,
        "resolver": said.security.value if said is not None else None,
        "resolver_reason": (said.reason or None) if said is not None else None,
    }


def _describe_break(broken: Break | None) -> dict[str, Any]:
    if broken is None:
        return _NOTHING
    return {
        "cause": broken.cause.value,
        "evidence": broken.evidence,
        "who": find_who(broken).value,
        "fix": find_fix(broken) or None,
    }
