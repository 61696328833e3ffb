"""Datagrams as libtlsrpt 0.5 writes them, for tests; names and addresses are of documentation."""

import json
from datetime import UTC, date, datetime
from typing import Any

from letterlock.base.domains import parse_domain
from letterlock.protocols.tlsrpt.fetcher import DomainList
from letterlock.protocols.tlsrpt.report import FailureDetails, PolicyResult
from letterlock.protocols.tlsrpt.results import DomainResults

PLAIN = (
    '{"dpv": "1","d": "example.com","pr": "v=TLSRPTv1;rua=mailto:reports@example.com",'
    '"policies":[{"policy-type":9,"t":0,"f":0}]}'
)
FAILED_STS = (
    '{"dpv": "1","d": "example.net","pr": "v=TLSRPTv1; '
    'rua=mailto:a@example.net,https://r.example.net/t","policies":[{"policy-type":2,'
    '"policy-domain": "example.net","policy-string":["version: STSv1","mode: enforce",'
    '"mx: *.example.net","max_age: 86400"],"mx-host":["*.example.net"],"failure-details":['
    '{"c":205,"s": "192.0.2.1","n": "mx1.example.net",'
    '"h": "250-mx1.example.net\\r\\n250-SIZE 1\\r\\n250 STARTTLS","r": "198.51.100.7",'
    '"f": "self-signed \\"cert\\" \\\\ \\u0001"}],"t":1,"f":1}]}'
)
TWO_POLICIES = (
    '{"dpv": "1","d": "example.org","pr": "v=TLSRPTv1;rua=mailto:r@example.org","policies":['
    '{"policy-type":1,"policy-domain": "mx.example.org","policy-string":["3 1 1 AB"],'
    '"failure-details":[{"c":204}],"t":1,"f":1},'
    '{"policy-type":2,"policy-domain": "example.org","t":0,"f":0}]}'
)
DATAGRAMS = (PLAIN, FAILED_STS, TWO_POLICIES)

FETCHED_LIST = DomainList(
    datetime(2026, 3, 2, 0, 5, 6, tzinfo=UTC),
    date(2026, 3, 1),
    (parse_domain("example.net"), parse_domain("example.org")),
)
FETCHED_RESULTS = DomainResults(
    "example.net",
    "v=TLSRPTv1; rua=mailto:a@example.net",
    (
        PolicyResult(
            "sts",
            "example.net",
            ("version: STSv1", "mode: enforce"),
            ("*.example.net",),
            successful=5,
            failed=2,
            failures=(FailureDetails("certificate-expired", 2, sending_mta_ip="192.0.2.1"),),
        ),
    ),
)


def make_datagram(domain: str = "example.com", *policies: dict[str, Any], **changes: Any) -> bytes:
    """Make a datagram; `...` leaves a member out."""
    document = {
        "dpv": "1",
        "d": domain,
        "pr": f"v=TLSRPTv1;rua=mailto:r@{domain}",
        "policies": list(policies) or [{"policy-type": 9, "t": 0, "f": 0}],
        **changes,
    }
    return json.dumps({k: v for k, v in document.items() if v is not ...}).encode()


def make_policy(number: int = 9, *failures: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Make a policy in a datagram; failed, when failures are given."""
    policy: dict[str, Any] = {"policy-type": number}
    if failures:
        policy["failure-details"] = list(failures)
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return {**policy, "t": len(failures), "f": int(bool(failures)), **named}
