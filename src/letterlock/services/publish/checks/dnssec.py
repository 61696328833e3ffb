"""Whether DNSSEC vouches for what a domain publishes.

RFC 4035 §4.3 (secure, insecure, bogus), RFC 7672 §2.2.1 (what an unsigned MX record takes away).
"""

from collections.abc import Iterator

from letterlock.protocols.dns.answers import Security
from letterlock.services.publish.findings import Code, Finding, error, note
from letterlock.services.publish.observed import Observed


def check_dnssec(observed: Observed) -> Iterator[Finding]:
    """Check what every answer is worth."""
    bogus = {
        name: (rdtype, answer.reason)
        for (name, rdtype), answer in observed.answers.items()
        if answer.security is Security.BOGUS
    }
    for name, (rdtype, reason) in bogus.items():
        text = f"{rdtype} of {name}: {reason}: to all who validate it does not exist"
        fix = "have the zone signed anew; see that the DS record at the parent is of its key"
        yield error(Code.DNSSEC_BOGUS, name, text, fix)
    mx = observed.find(observed.domain, "MX")
    if not observed.is_validating:
        text = (
            "the resolver is not on this machine, or does not validate: what DNSSEC says of the "
            "domain is not known"
        )
        fix = "ask a validating resolver on this machine, or set dns.trust_ad"
        yield note(Code.DNSSEC_UNKNOWN, observed.domain, text, fix)
    elif mx.security is Security.INSECURE:
        text = "the zone is not signed: anybody who can forge DNS can name other MX hosts"
        yield note(Code.DNSSEC_UNSIGNED, observed.domain, text, "sign it (DNSSEC)")
