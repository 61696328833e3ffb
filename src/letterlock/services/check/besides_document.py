"""What a check found besides, as parts of its document: CAA, revocation, the ends of signatures."""

from typing import Any

from letterlock.protocols.check.name_status import NameStatus
from letterlock.protocols.check.signatures import Signature, find_nearest
from letterlock.services.check.besides import Besides, RenewalRight
from letterlock.services.check.chain_document import describe_chains
from letterlock.services.check.revoked import LeafRevocation
from letterlock.services.explain.caa import describe_answer

NOT_TOLD = "not told"
"""It is not known who issued the certificate."""


def describe_besides(besides: Besides) -> dict[str, Any]:
    """Give the parts of the document."""
    signatures = besides.signed.signatures
    return {
        "caa": [_describe_right(each) for each in besides.rights],
        "revocation": [_describe_revocation(each) for each in besides.revocations],
        "dnssec": {
            "names": [_describe_status(each) for each in besides.statuses],
            "nearest": _describe_signature(find_nearest(signatures)),
            "signatures": [_describe_signature(each) for each in signatures],
            **describe_chains(besides.explained),
        },
    }


def _describe_right(right: RenewalRight) -> dict[str, Any]:
    renewal, answer = right
    described = {
        "host": renewal.host,
        "organization": renewal.organization or None,
        **describe_answer(answer),
    }
    if renewal.is_issuer_known or not described["records"]:
        return described
    reason = (
        f"which domain names {renewal.organization or 'its issuer'} in CAA records is not known"
    )
    unknown = {"decision": NOT_TOLD, "cause": NOT_TOLD, "reason": reason, "record": None}
    return described | unknown | {"remedy": None}


def _describe_revocation(seen: LeafRevocation) -> dict[str, Any]:
    return {
        "host": seen.host,
        "serial": seen.serial,
        "state": seen.state.value,
        "at": f"{seen.at:%Y-%m-%dT%H:%M:%SZ}" if seen.at is not None else None,
        "reason": seen.reason or None,
        "crl": seen.crl,
    }


def _describe_status(known: NameStatus) -> dict[str, Any]:
    return {
        "name": known.name,
        "type": known.rdtype,
        "status": known.status.value,
        "reason": known.reason or None,
        "nearest": _describe_signature(known.nearest),
    }


def _describe_signature(signature: Signature | None) -> dict[str, Any] | None:
    if signature is None:
        return None
    return {
        "name": signature.name,
        "type": signature.rdtype,
        "zone": signature.zone,
        "begins": f"{signature.begins:%Y-%m-%dT%H:%M:%SZ}",
        "ends": f"{signature.ends:%Y-%m-%dT%H:%M:%SZ}",
        "ttl": signature.ttl,
    }
