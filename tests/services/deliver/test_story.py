"""What is told of an attempt, in the shapes that commands share."""

import json

from letterlock.protocols.policy.requirement import Level, Requirement, Source
from letterlock.protocols.policy.verdict import Outcome, Verdict
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.protocols.tlsrpt.findings import Finding
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.deliver.story import MAX_CHAIN, Story, describe_chain
from tests.services.deliver.outbound import HOST, leaf

EXPIRED = Finding(ResultType.CERTIFICATE_EXPIRED, "expired", "it expired", 0)
VERDICT = Verdict(
    Outcome.DEFER, ResultType.CERTIFICATE_EXPIRED, "expired", "not verified: it expired", (EXPIRED,)
)


def test_an_attempt_without_a_connection_has_nothing_but_its_outcome() -> None:
    assert Story(outcome="no route").describe() == {
        "requirement": None,
        "handshake": None,
        "verdict": None,
        "dialogue": [],
        "outcome": "no route",
        "is_reused": False,
    }


def test_a_handshake_is_told_with_every_fault() -> None:
    handshake = Handshake("TLSv1.3", "TLS_X", 256, "x25519", HOST, leaf().chain_der)
    requirement = Requirement(Level.VERIFY, Source.TABLE, "because", HOST, (HOST,))
    story = Story(requirement, handshake, VERDICT, ("< 220 hi",), "deferred").describe()
    told = story["handshake"]
    assert (told["version"], told["cipher"], told["group"]) == ("TLSv1.3", "TLS_X", "x25519")
    assert told["errors"] == [{"code": "expired", "depth": 0, "text": "it expired"}]
    assert told["chain"][0]["names"] == [HOST]
    assert story["verdict"] == {
        "outcome": "defer",
        "result_type": "certificate-expired",
        "reason_code": "expired",
        "reason": "not verified: it expired",
    }
    assert story["requirement"]["level"] == "verify"
    json.dumps(story)


def test_a_handshake_that_failed_has_nulls_where_it_did_not_get() -> None:
    failed = HandshakeFailed(FailureCause.ALERT_RECEIVED, "no", "handshake_failure", (b"x",), HOST)
    told = Story(handshake=failed).describe()["handshake"]
    assert (told["version"], told["cipher"], told["group"]) == (None, None, None)
    assert (told["sni"], told["alert"], told["errors"]) == (HOST, "handshake_failure", [])
    assert "error" in told["chain"][0]


def test_chains_are_bounded_and_what_cannot_be_read_is_said_to_be() -> None:
    lines = describe_chain((leaf().der, *[b"\x30\x00"] * 20))
    assert len(lines) == MAX_CHAIN
    assert lines[0].startswith(f"depth=0 subject=CN={HOST} issuer=CN=Test CA names={HOST} ")
    assert lines[1].startswith("depth=1 unreadable: ")
