"""What DNS says by itself, found by `services.publish`, as findings of a check: each with its RFC.

What is published for one's own sending (SPF, DKIM, DMARC, PTR) is left out: it keeps nobody's mail
from arriving.
"""

from collections.abc import Iterable, Iterator

from letterlock.protocols.check.findings import Finding, Severity
from letterlock.services.publish import findings as publishing

_SENDING = ("spf-", "dkim-", "dmarc-", "ptr-")
_SEVERITIES = {
    publishing.Severity.ERROR: Severity.CRITICAL,
    publishing.Severity.WARNING: Severity.NOTICE,
    publishing.Severity.NOTE: Severity.INFO,
}
_RFCS = {
    "dnssec-": "RFC 4035 §5",
    "signature-": "RFC 4035 §5.3.1",
    "server-": "RFC 1034 §4.3.5",
    "servers-": "RFC 1034 §4.3.5",
    "domain-": "RFC 5321 §5.1",
    "mx-null": "RFC 7505 §3",
    "mx-": "RFC 5321 §5.1",
    "address-": "RFC 5321 §5.1",
    "mta-sts-": "RFC 8461 §3",
    "policy-host-": "RFC 8461 §3.3",
    "tlsrpt-": "RFC 8460 §3",
    "tlsa-": "RFC 7672 §3.1",
    "caa-": "RFC 8659 §3",
}
"""Where it is said how it should be, by what codes begin with; the first that fits."""


def translate(found: Iterable[publishing.Finding]) -> Iterator[Finding]:
    """Give those that are about mail that comes in."""
    for each in found:
        if not each.code.startswith(_SENDING):
            rfc = find_rfc(each.code)
            yield Finding(str(each.code), _rank(each), each.name, each.text, rfc, each.fix)


def _rank(found: publishing.Finding) -> Severity:
    """Say how bad it is to senders. A null MX that is meant is told: all mail is returned."""
    if found.code is publishing.Code.MX_NULL and found.severity is publishing.Severity.NOTE:
        return Severity.NOTICE
    return _SEVERITIES[found.severity]


def find_rfc(code: str) -> str:
    """Say where it is written how it should be; empty: nowhere."""
    return next((rfc for start, rfc in _RFCS.items() if code.startswith(start)), "")
