"""Records that let an authority issue for us, and nobody else by our name: what to publish.

RFC 8659 §4.2, §4.3, RFC 8657 §3, §4, §5.6 (why both limits are worth having).
"""

from collections.abc import Sequence

from letterlock.protocols.caa.decide import CaaCause, CaaVerdict
from letterlock.protocols.caa.issue_values import IssueValue, parse_issue_value
from letterlock.protocols.caa.limits import ACCOUNT_URI, VALIDATION_METHODS
from letterlock.protocols.caa.relevant import RecordSet
from letterlock.protocols.dns.answers import CaaRecord

REMEDIABLE = (CaaCause.OTHER_ISSUER, CaaCause.OTHER_LIMITS)
"""Refusals that a record beside those that are there undoes (RFC 8659 §4.2)."""


def make_issue_record(
    issuer: str, account: str | None, methods: Sequence[str], *, is_wildcard: bool = False
) -> CaaRecord:
    """Make a record that names an authority, one account there (None: any) and methods (none: any).

    An account whose URI does not fit into a record is left out. Raises ValueError where the
    authority has a name that cannot stand in one.
    """
    limits = [(VALIDATION_METHODS, ",".join(methods))] if methods else []
    choices = [IssueValue(issuer, tuple(limits))]
    if account is not None:
        choices.insert(0, IssueValue(issuer, ((ACCOUNT_URI, account), *limits)))
    for value in choices:
        octets = str(value).encode("utf-8", "replace")
        if issuer and parse_issue_value(octets) == value:
            return CaaRecord(0, b"issuewild" if is_wildcard else b"issue", octets)
    raise ValueError(f"{issuer[:100]!r} cannot stand in a CAA record")


def find_remedy(verdict: CaaVerdict, methods: Sequence[str]) -> str | None:
    """Give the line of a zone file that would allow what was refused, as narrow as it can be.

    It goes where the records are, which is not the name where an alias leads there. None: no record
    would do, or the authority has no name that a record can hold.
    """
    found, issuance = verdict.relevant, verdict.issuance
    if verdict.cause not in REMEDIABLE or not isinstance(found, RecordSet):
        return None
    account = issuance.accounts[0] if issuance.accounts else None
    has_issuewild = any(record.tag.lower() == b"issuewild" for record in found.records)
    is_issuewild = issuance.is_wildcard and has_issuewild
    for issuer in issuance.issuers:
        try:
            record = make_issue_record(issuer, account, methods, is_wildcard=is_issuewild)
        except ValueError:
            continue
        return f"{found.owner}. CAA {record}"
    return None
