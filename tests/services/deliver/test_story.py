"""What is told of an attempt, in the shapes that commands share."""

import json

from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.policy.dane import TlsaMatch
from letterlock.protocols.policy.requirement import DaneDemand, Level, Requirement, Source
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
        "is_chain_trusted": False,
        "matched_name": None,
        "tlsa": None,
    }
    assert story["requirement"]["level"] == "verify"
    json.dumps(story)


def test_what_proved_the_host_is_told() -> None:
    """A verdict that says verified says by what: the name, or the record and its place."""
    record = TlsaRecord(3, 1, 1, bytes(32))
    whole = TlsaRecord(3, 0, 0, bytes(1000))
    verdict = Verdict(
        Outcome.AUTHENTICATED,
        None,
        "verified",
        "verified",
        is_chain_trusted=True,
        matched_name=HOST,
        tlsa_match=TlsaMatch(record, 0),
    )
    requirement = Requirement(
        Level.DANE,
        Source.DANE,
        "because",
        HOST,
        (HOST,),
        sources=(Source.DANE, Source.MTA_STS),
        dane=DaneDemand((record, whole), (HOST,)),
    )
    story = Story(requirement, verdict=verdict).describe()
    told = story["verdict"]
    assert (told["is_chain_trusted"], told["matched_name"]) == (True, HOST)
    assert told["tlsa"] == {"record": str(record), "depth": 0}
    assert story["requirement"]["sources"] == ["dane", "mta-sts"]
    assert story["requirement"]["is_testing"] is False
    first, second = story["requirement"]["tlsa"]
    assert first == str(record)
    assert second.endswith("0...")
    assert len(second) < 200
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
