"""What is wrong with what a domain publishes: each finding has a code that does not change.

`docs/guide/dns-records.md` has them all.
"""

from dataclasses import dataclass
from enum import StrEnum

from letterlock.base.domains import Domain


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Mail is lost, refused or delayed, or a protection that is announced does not work."""
    WARNING = "warning"
    """A protection is missing, or something is about to go wrong."""
    NOTE = "note"
    """To be known; nothing is wrong."""


class Code(StrEnum):
    """What was found. Others script against these words."""

    DNSSEC_BOGUS = "dnssec-bogus"
    DNSSEC_UNSIGNED = "dnssec-unsigned"
    DNSSEC_UNKNOWN = "dnssec-unknown"
    SIGNATURE_ENDS = "signature-ends"
    SIGNATURE_LONG = "signature-long"
    SERVERS_DIFFER = "servers-differ"
    SERVER_SILENT = "server-silent"

    DOMAIN_MISSING = "domain-missing"
    MX_MISSING = "mx-missing"
    MX_NULL = "mx-null"
    MX_NULL_BESIDE = "mx-null-beside"
    MX_HOST_MISSING = "mx-host-missing"
    MX_HOST_FOREIGN = "mx-host-foreign"
    MX_INVALID = "mx-invalid"
    MX_IS_ADDRESS = "mx-is-address"
    MX_IS_ALIAS = "mx-is-alias"

    ADDRESS_MISSING = "address-missing"
    ADDRESS_FOREIGN = "address-foreign"
    ADDRESS_NOT_PUBLIC = "address-not-public"
    PTR_MISSING = "ptr-missing"
    PTR_DIFFERS = "ptr-differs"
    PTR_NOT_CONFIRMED = "ptr-not-confirmed"

    SPF_MISSING = "spf-missing"
    SPF_SEVERAL = "spf-several"
    SPF_INVALID = "spf-invalid"
    SPF_ALLOWS_ALL = "spf-allows-all"
    SPF_OPEN_END = "spf-open-end"
    SPF_LOOKUPS = "spf-lookups"
    SPF_EXCLUDES_US = "spf-excludes-us"
    SPF_DIFFERS = "spf-differs"
    DKIM_MISSING = "dkim-missing"
    DKIM_DIFFERS = "dkim-differs"
    DKIM_SEVERAL = "dkim-several"
    DKIM_TESTING = "dkim-testing"
    DMARC_MISSING = "dmarc-missing"
    DMARC_SEVERAL = "dmarc-several"
    DMARC_INVALID = "dmarc-invalid"
    DMARC_DIFFERS = "dmarc-differs"

    MTA_STS_UNUSED = "mta-sts-unused"
    MTA_STS_MISSING = "mta-sts-missing"
    MTA_STS_SEVERAL = "mta-sts-several"
    MTA_STS_INVALID = "mta-sts-invalid"
    MTA_STS_NO_POLICY = "mta-sts-no-policy"
    MTA_STS_POLICY_INVALID = "mta-sts-policy-invalid"
    MTA_STS_POLICY_DIFFERS = "mta-sts-policy-differs"
    MTA_STS_ID_DIFFERS = "mta-sts-id-differs"
    MTA_STS_MX_UNLISTED = "mta-sts-mx-unlisted"
    MTA_STS_MX_FORBIDDEN = "mta-sts-mx-forbidden"
    MTA_STS_MX_UNUSED = "mta-sts-mx-unused"
    MTA_STS_CERTIFICATE = "mta-sts-certificate"
    MTA_STS_SHORT = "mta-sts-short"
    MTA_STS_TESTING = "mta-sts-testing"
    MTA_STS_NONE = "mta-sts-none"
    MTA_STS_HELD = "mta-sts-held"
    MTA_STS_REMOVABLE = "mta-sts-removable"
    POLICY_HOST_MISSING = "policy-host-missing"
    POLICY_HOST_DIFFERS = "policy-host-differs"

    TLSRPT_MISSING = "tlsrpt-missing"
    TLSRPT_INVALID = "tlsrpt-invalid"
    TLSRPT_DIFFERS = "tlsrpt-differs"

    TLSA_MISSING = "tlsa-missing"
    TLSA_UNSIGNED = "tlsa-unsigned"
    TLSA_WITHOUT_TLS = "tlsa-without-tls"
    TLSA_UNUSABLE = "tlsa-unusable"
    TLSA_NO_MATCH = "tlsa-no-match"
    TLSA_KIND_NO_MATCH = "tlsa-kind-no-match"
    TLSA_STALE = "tlsa-stale"
    TLSA_NEXT_MISSING = "tlsa-next-missing"
    TLSA_FRAGILE = "tlsa-fragile"
    TLSA_FULL = "tlsa-full"
    TLSA_LONG_TTL = "tlsa-long-ttl"

    CAA_MISSING = "caa-missing"
    CAA_FORBIDS_US = "caa-forbids-us"
    CAA_DIFFERS = "caa-differs"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or to be known. `fix` is what to do, empty where there is nothing.

    `name` is where in DNS; both texts are one line.
    """

    code: Code
    severity: Severity
    name: Domain
    text: str
    fix: str = ""


def error(code: Code, name: Domain, text: str, fix: str = "") -> Finding:
    return Finding(code, Severity.ERROR, name, text, fix)


def warning(code: Code, name: Domain, text: str, fix: str = "") -> Finding:
    return Finding(code, Severity.WARNING, name, text, fix)


def note(code: Code, name: Domain, text: str, fix: str = "") -> Finding:
    return Finding(code, Severity.NOTE, name, text, fix)
