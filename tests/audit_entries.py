"""Entries of an audit log, for tests: one of each kind, and logs made of them."""

from datetime import UTC, datetime, timedelta

from letterlock.protocols.audit.decisions import (
    AccountKeyLogged,
    AccountLogged,
    AuthorizationLogged,
    CaaLogged,
    CrlLogged,
    Decision,
    FindingLogged,
    HaltLogged,
    IncidentLogged,
    LintLogged,
    LoggedAnswer,
    LoggedCaaLook,
    LoggedLook,
    LoggedProblem,
    NameBasis,
    OrderEndedLogged,
    OrderLogged,
    RequestLogged,
    RevocationLogged,
    SerialLogged,
    SigningLogged,
    StartLogged,
    ValidationLogged,
)
from letterlock.protocols.audit.records import START, AuditEntry, AuditRecord, append_all

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANSWER = LoggedAnswer(
    "a.example", "CAA", "insecure", "records", ('0 issue "ca.example"',), "a.example", ttl=300
)
CAA_LOOK = LoggedCaaLook(
    "a.example",
    NOW,
    "allow",
    "authorized",
    "it allows ca.example",
    (ANSWER,),
    ("https://ca.example/acct/1",),
    "http-01",
    "a.example",
    300,
)
PROBLEM = LoggedProblem("caa", "two names", None, (LoggedProblem("caa", "forbidden", "b.example"),))
DIGEST = "ab" * 32
LATER = NOW + timedelta(days=90)

DECISIONS: tuple[Decision, ...] = (
    StartLogged("node-1", "began", "1.0"),
    AccountLogged("account-1", "opened", "thumb", ("mailto:a@a.example",)),
    OrderLogged("order-1", "account-1", ("a.example",), ("authz-1",)),
    ValidationLogged(
        "authz-1",
        "account-1",
        "a.example",
        "http-01",
        (LoggedLook("here", "RIPE NCC", ("GET /",), (ANSWER,)),),
        (CAA_LOOK,),
        "3/4",
        "4/4",
    ),
    CaaLogged("order-1", (("a.example", "it was never looked up"),), (CAA_LOOK,)),
    RequestLogged("order-1", DIGEST, DIGEST, "EC P-256"),
    SerialLogged("order-1", "0a1b", "issuer-1", "server"),
    LintLogged("order-1", DIGEST, "pkilint 1", (), ("fine: because",), "shape"),
    SigningLogged(
        "order-1",
        "account-1",
        "0a1b",
        "issuer-1",
        DIGEST,
        DIGEST,
        NOW,
        LATER,
        (NameBasis("a.example", "authz-1", "http-01", NOW, NOW, 300),),
    ),
    OrderEndedLogged("order-2", "account-1", PROBLEM),
    AuthorizationLogged("authz-1", "account-1", "deactivated"),
    RevocationLogged("order-1", "0a1b", "issuer-1", 4, "account account-1"),
    CrlLogged("issuer-1", 1, 7, 1, NOW, LATER, DIGEST),
    HaltLogged(is_halted=True, why="CAA was not looked up", who="postmaster"),
    IncidentLogged("incident-1", "created", "postmaster", 3, "CAA", "https://a.example/", LATER),
    FindingLogged("order-1", "0a1b", ("a.example: no look at CAA",)),
    AccountKeyLogged("alice:abc", "revoked", "postmaster"),
)


def make_log(count: int = len(DECISIONS)) -> list[AuditRecord]:
    """Make a log of so many records, a second apart."""
    entries = [
        AuditEntry(NOW + timedelta(seconds=at), DECISIONS[at % len(DECISIONS)])
        for at in range(count)
    ]
    return list(append_all(START, entries))
