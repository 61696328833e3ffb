"""All that can be known of a host's TLS, as small sets: the table of decisions is made of them."""

from datetime import timedelta

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.policy.decide import decide
from letterlock.protocols.policy.facts import MtaStsFacts, Published, TlsaFacts, TlsaStatus
from letterlock.protocols.policy.requirement import Decision, Level
from letterlock.protocols.policy.table import Entry, PolicyTable, TableEntry
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.tlsrpt.result_types import ResultType

DOMAIN = Domain("example.com")
MX = Domain("mx.example.com")
PIN = "sha256:" + "ab" * 32
GOOD = TlsaRecord(3, 1, 1, bytes(32))
BAD = TlsaRecord(1, 1, 1, bytes(32))

TLSA = {
    "usable": TlsaFacts(TlsaStatus.USABLE, MX, (GOOD, BAD)),
    "all unusable": TlsaFacts(TlsaStatus.UNUSABLE, MX, (BAD,)),
    "none": TlsaFacts(TlsaStatus.NONE),
    "insecure": TlsaFacts(TlsaStatus.INSECURE),
    "lookup failed": TlsaFacts(TlsaStatus.FAILED, reason="SERVFAIL"),
}


def policy_of(mode: MtaStsMode, *patterns: str) -> MtaStsPolicy:
    return MtaStsPolicy(mode, patterns, timedelta(days=7))


ENFORCE = policy_of(MtaStsMode.ENFORCE, "*.example.com")
ENFORCE_OTHER = policy_of(MtaStsMode.ENFORCE, "mx.example.net")
TESTING = policy_of(MtaStsMode.TESTING, "mx.example.com")
TESTING_OTHER = policy_of(MtaStsMode.TESTING, "mx.example.net")
FETCH_ERROR = ResultType.STS_POLICY_FETCH_ERROR

MTA_STS = {
    "none": None,
    "mode none": MtaStsFacts(DOMAIN, policy=policy_of(MtaStsMode.NONE)),
    "testing, lists it": MtaStsFacts(DOMAIN, policy=TESTING),
    "testing, does not": MtaStsFacts(DOMAIN, policy=TESTING_OTHER),
    "enforce, lists it": MtaStsFacts(DOMAIN, policy=ENFORCE),
    "enforce, does not": MtaStsFacts(DOMAIN, policy=ENFORCE_OTHER),
    "fetch failed, cached enforce lists it": MtaStsFacts(
        DOMAIN, policy=ENFORCE, error="404", result_type=FETCH_ERROR
    ),
    "fetch failed, nothing cached": MtaStsFacts(DOMAIN, error="404", result_type=FETCH_ERROR),
}

MX_STATES = {"secure": Security.SECURE, "insecure": Security.INSECURE}
DEMANDS = {
    "no wish": TlsDemand.NORMAL,
    "REQUIRETLS": TlsDemand.REQUIRETLS,
    "TLS-Required: No": TlsDemand.TLS_REQUIRED_NO,
}

DEFAULT = TableEntry("", Level.MAY, "policy.default_level")
DEFAULT_LEVELS = [level for level in Level if level is not Level.FINGERPRINT]


def entry_of(level: Level) -> TableEntry:
    pins = (PIN,) if level is Level.FINGERPRINT else ()
    return TableEntry(DOMAIN, level, f'policy.hops."{DOMAIN}"', fingerprints=pins)


TABLES: dict[str, PolicyTable] = {
    **{
        f"default {level}": PolicyTable({}, TableEntry("", level, "policy.default_level"))
        for level in DEFAULT_LEVELS
    },
    **{f"entry {level}": PolicyTable({DOMAIN: entry_of(level)}, DEFAULT) for level in Level},
}


def decided(table: str, tlsa: str, mta_sts: str, mx: str, demand: str) -> Decision:
    """Decide in a situation that is named by the words of the table."""
    published = Published(TLSA[tlsa], MTA_STS[mta_sts], MX_STATES[mx])
    return decide(DOMAIN, DOMAIN, MX, TABLES[table], published, DEMANDS[demand])


def table_of(*entries: Entry) -> PolicyTable:
    return PolicyTable({entry.key: entry for entry in entries}, DEFAULT)
