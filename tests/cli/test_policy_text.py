"""The story, made of the document: every state has its words, and nothing foreign gets through."""

from typing import Any

import pytest

from letterlock.cli.policy_text import MAX_SHOWN, find_label, format_explanation

ADDRESS = {"ip": "192.0.2.1", "status": "secure", "trial": None}
REQUIREMENT = {
    "source": "opportunistic",
    "sources": ["opportunistic"],
    "level": "may",
    "names": ["mx.example.org"],
    "sni": "mx.example.org",
    "min_version": "TLSv1.2",
    "is_testing": False,
    "usable": True,
    "reason": "default level",
}
HOST = {
    "name": "mx.example.org",
    "preference": 10,
    "aliases": [],
    "addresses": [ADDRESS],
    "tlsa_base": None,
    "tlsa": [],
    "tlsa_status": "none",
    "tlsa_reason": "",
    "requirement": REQUIREMENT,
    "handshake": None,
    "verdict": None,
    "decision": "deliver",
    "reason": "default level",
}
DOCUMENT: dict[str, Any] = {
    "domain": "example.org",
    "next_hop": "example.org",
    "way": {"kind": "smtp", "to": "example.org", "where": None},
    "resolver": {"address": "127.0.0.1:53", "reason": "DANE can work: com is signed"},
    "mta_sts": None,
    "tlsrpt": None,
    "mx_status": "secure",
    "mx_aliases": [],
    "hosts": [HOST],
    "decision": "deliver",
    "reason": "mx.example.org: default level",
    "notes": [],
}
STS = {
    "record": "v=STSv1; id=1;",
    "id": "1",
    "mode": "enforce",
    "mx": ["mx.example.org"],
    "max_age": 86400,
    "fetched": "2026-11-22T00:00:00Z",
    "expires": "2026-11-23T00:00:00Z",
    "error": None,
    "result_type": None,
}


def tell(**changes: Any) -> str:
    return " ".join("\n".join(format_explanation(DOCUMENT | changes)).split())


def tell_host(**changes: Any) -> str:
    return tell(hosts=[HOST | changes])


@pytest.mark.parametrize("status", ["secure", "insecure", "bogus", "failed", None])
def test_how_sure_an_answer_is_has_its_words(status: str | None) -> None:
    """RFC 4035 §4.3"""
    words = {
        "secure": "signed",
        "insecure": "not vouched",
        "bogus": "bogus: DNSSEC says",
        "failed": "no answer",
    }
    assert f"MX {words.get(status or '', 'not looked up')}" in tell(mx_status=status)


@pytest.mark.parametrize("status", ["usable", "unusable", "none", "insecure", "failed", None])
def test_what_tlsa_records_come_to_has_its_words(status: str | None) -> None:
    story = tell_host(tlsa_status=status, tlsa_reason="why it is so" if status else None)
    assert ("why it is so" in story) is (status not in ("none", None))
    assert ("TLSA not looked up" in story) is (status is None)


@pytest.mark.parametrize(
    ("level", "refused"),
    [
        ("none", "nothing; TLS is not tried"),
        ("may", "nothing: whatever its TLS is worth"),
        ("encrypt", "a host without TLS"),
        ("fingerprint", "another fingerprint"),
        ("dane", "matches no usable TLSA record"),
        ("dane-only", "matches no usable TLSA record"),
        ("verify", "not for mx.example.org or mx2.example.org"),
        ("secure", "not for mx.example.org or mx2.example.org"),
    ],
)
def test_what_would_be_refused_is_told(level: str, refused: str) -> None:
    names = ["mx.example.org", "mx2.example.org"]
    story = tell_host(requirement=REQUIREMENT | {"level": level, "names": names})
    assert f"{refused}" in story.partition(" refused ")[2]


def test_what_dane_and_mta_sts_want_together_is_told_together() -> None:
    """RFC 8461 §2"""
    both = REQUIREMENT | {"level": "dane", "sources": ["dane", "mta-sts"]}
    refused = tell_host(requirement=both).partition(" refused ")[2]
    assert "no usable TLSA record" in refused
    assert "no trusted authority" in refused


def test_a_host_that_gets_no_mail_is_told() -> None:
    reason = "DANE: the TLSA lookup failed"
    story = tell_host(requirement=REQUIREMENT | {"usable": False, "reason": reason})
    assert f"not usable {reason} refused every message, now" in story


def test_a_host_without_addresses_is_told() -> None:
    story = tell_host(addresses=[], requirement=None, reason="the host does not exist")
    assert "address none: the host does not exist" in story


def test_aliases_are_told() -> None:
    """RFC 7672 §2.1.3"""
    link = {"name": "mx.example.org", "target": "mx.hoster.example", "status": "insecure"}
    text = "alias mx.example.org of mx.hoster.example, not vouched for by DNSSEC"
    assert text in tell_host(aliases=[link])
    assert text in tell(mx_aliases=[link])


def test_many_records_are_cut_short() -> None:
    records = [
        {"record": f"3 1 1 {number:064}", "usable": True, "why": None} for number in range(9)
    ]
    story = tell_host(tlsa=records, tlsa_base="mx.example.org", tlsa_status="usable")
    assert story.count("3 1 1 ") == MAX_SHOWN
    assert f"and {9 - MAX_SHOWN} more" in story


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "mode enforce for mx.example.org; fetched 2026-11-22T00:00:00Z, holds until 2026"),
        ({"mode": "none", "mx": []}, "mode none for no host"),
        ({"mx": [f"mx{n}.example.org" for n in range(9)]}, "and 3 more"),
        (
            {"record": None, "error": "the MTA-STS record is gone"},
            "trouble: the MTA-STS record is gone",
        ),
        (
            {"mode": None, "error": "HTTP status 404", "result_type": "sts-policy-fetch-error"},
            "no policy holds record v=STSv1; id=1; trouble (sts-policy-fetch-error): HTTP status",
        ),
    ],
)
def test_mta_sts_is_told(changes: dict[str, Any], text: str) -> None:
    """RFC 8461 §3.2"""
    assert text in tell(mta_sts=STS | changes)


@pytest.mark.parametrize(
    ("tlsrpt", "text"),
    [
        (None, "reports not wanted: no record"),
        ({"record": "x", "rua": ["mailto:a@x"], "error": None}, "reports to mailto:a@x"),
        ({"record": "x", "rua": [], "error": "no rua"}, "reports trouble: no rua"),
        ({"record": "x", "rua": ["ftp:x"], "error": "ftp"}, "reports to ftp:x trouble: ftp"),
    ],
)
def test_where_reports_go_is_told(tlsrpt: dict[str, Any] | None, text: str) -> None:
    """RFC 8460 §3"""
    assert text in tell(tlsrpt=tlsrpt)


def test_what_is_configured_is_told() -> None:
    assert "goes to [relay.example]:25, as it is configured" in tell(next_hop="[relay.example]:25")
    way = {"kind": "smtp", "to": "[relay.example]:25", "where": "/t:3"}
    assert "goes to [relay.example]:25, /t:3" in tell(next_hop="[relay.example]:25", way=way)
    ours = tell(next_hop=None, hosts=[], reason="a domain of ours")
    assert "MX" not in ours


def test_a_decision_says_what_it_depends_on() -> None:
    tried = ADDRESS | {"trial": {"decision": "deliver", "reason": "verified"}}
    assert "a message could go to mx.example.org, if it shows what it must" in tell()
    assert "a message could go to mx.example.org resolver" in tell_host(addresses=[tried])
    assert "would wait resolver" in tell(decision="defer")
    assert "would be returned null MX" in tell(decision="bounce", reason="null MX", hosts=[])


def test_what_a_trial_came_to_is_told_once() -> None:
    reason = "not verified: it has expired"
    trials = [
        ADDRESS | {"trial": {"decision": "defer", "reason": reason}},
        ADDRESS | {"ip": "192.0.2.9", "trial": {"decision": "undecidable", "reason": "refused"}},
    ]
    errors = [{"code": code, "depth": 0, "text": code} for code in ("has expired", "is too weak")]
    handshake = {"version": None, "sni": None, "chain": [], "errors": errors, "alert": "x"}
    verdict = {"outcome": "defer", "result_type": "certificate-expired", "reason_code": "expired"}
    story = tell_host(addresses=trials, handshake=handshake, verdict=verdict | {"reason": reason})
    assert "tried 192.0.2.1: defer 192.0.2.9: undecidable: refused handshake" in story
    assert story.count(reason) == 1
    assert "fault is too weak at 0: is too weak verdict defer, certificate-expired" in story


def test_nothing_foreign_gets_to_the_terminal() -> None:
    story = list(format_explanation(DOCUMENT | {"notes": ["a\x1b[31mb\nc\u202e"]}))
    assert all(line.isprintable() for line in story)


def test_labels_and_headings_are_told_apart() -> None:
    assert find_label("mx.example.org (preference 10)") == 30
    assert find_label("  address    192.0.2.1") == 13
