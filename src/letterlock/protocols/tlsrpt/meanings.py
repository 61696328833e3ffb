"""What each result means for who reads a report: what happened, and whose business it usually is.

RFC 8460 §4.3. The RFC says what a result is; whose fault it usually is, and what helps, is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from letterlock.protocols.tlsrpt.result_types import ResultType


@dataclass(frozen=True, slots=True)
class Meaning:
    """`what` happened, as a sentence without its full stop; `whose` it usually is; what helps."""

    what: str
    whose: str
    remedy: str


_RECEIVER = "the receiving side"
_PATH = "the receiving side, or somebody on the way"

MEANINGS: Mapping[str, Meaning] = {
    ResultType.STARTTLS_NOT_SUPPORTED: Meaning(
        "the MX host did not offer STARTTLS",
        _PATH,
        "switch it on there; where it is on, somebody on the way takes it out",
    ),
    ResultType.CERTIFICATE_HOST_MISMATCH: Meaning(
        "the certificate is not for the name that the policy wants",
        _RECEIVER,
        "get a certificate with the name of the MX host, or mend the policy",
    ),
    ResultType.CERTIFICATE_EXPIRED: Meaning(
        "the certificate has expired",
        _RECEIVER,
        "renew it, and load it into every server behind that name",
    ),
    ResultType.CERTIFICATE_NOT_TRUSTED: Meaning(
        "the certificate leads to no authority that the sender trusts",
        _RECEIVER,
        "send the intermediate certificates too, and use an authority that all trust",
    ),
    ResultType.VALIDATION_FAILURE: Meaning(
        "another failure of TLS or of the policy: the reason says which",
        "either side",
        "look up the reason; many senders, one host: the host; one sender: the sender",
    ),
    ResultType.TLSA_INVALID: Meaning(
        "no TLSA record was valid for the certificate",
        _RECEIVER,
        "publish the record of the certificate in use, before it is used",
    ),
    ResultType.DNSSEC_INVALID: Meaning(
        "the DNS gave no records that DNSSEC proves",
        "the receiving side's DNS, or the sender's resolver",
        "check signatures, the DS record and all name servers of the zone",
    ),
    ResultType.DANE_REQUIRED: Meaning(
        "the sender demands DANE, and the MX host has no TLSA records that DNSSEC proves",
        "what both sides agreed on",
        "publish TLSA records in a signed zone, or talk to the sender",
    ),
    ResultType.STS_POLICY_FETCH_ERROR: Meaning(
        "the MTA-STS policy could not be fetched",
        _RECEIVER,
        "check that https://mta-sts.DOMAIN/.well-known/mta-sts.txt is there for everybody",
    ),
    ResultType.STS_POLICY_INVALID: Meaning(
        "the MTA-STS policy is not valid",
        _RECEIVER,
        "mend the policy file: version, mode, mx and max_age",
    ),
    ResultType.STS_WEBPKI_INVALID: Meaning(
        "the certificate of the MTA-STS policy host is not valid",
        _PATH,
        "renew the certificate of mta-sts.DOMAIN",
    ),
}
UNKNOWN = Meaning(
    "a result that RFC 8460 does not have", "not known", "ask the sender, at contact-info"
)


def find_meaning(result_type: str | None) -> Meaning:
    """Give what a result means; a word of a newer registry means UNKNOWN."""
    return MEANINGS.get(result_type or "", UNKNOWN)
