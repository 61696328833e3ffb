"""The names of extended DNS errors, for reasons that people read.

RFC 8914 §4. Later codes of IANA's registry appear by their number.
"""

DNSSEC_FAILURES = frozenset(range(6, 13))
"""DNSSEC Bogus to NSEC Missing: the resolver had an answer, and did not believe it."""

_NAMES = (
    "Other Error",
    "Unsupported DNSKEY Algorithm",
    "Unsupported DS Digest Type",
    "Stale Answer",
    "Forged Answer",
    "DNSSEC Indeterminate",
    "DNSSEC Bogus",
    "Signature Expired",
    "Signature Not Yet Valid",
    "DNSKEY Missing",
    "RRSIGs Missing",
    "No Zone Key Bit Set",
    "NSEC Missing",
    "Cached Error",
    "Not Ready",
    "Blocked",
    "Censored",
    "Filtered",
    "Prohibited",
    "Stale NXDOMAIN Answer",
    "Not Authoritative",
    "Not Supported",
    "No Reachable Authority",
    "Network Error",
    "Invalid Data",
)


def format_extended_error(code: int, text: str) -> str:
    """Give one line: the code's name, and the resolver's own words if it sent any."""
    name = _NAMES[code] if code < len(_NAMES) else f"extended error {code}"
    return f"{name}: {text}" if text else name
