"""What is different from the last run."""

from typing import Any

from letterlock.services.check.comparing import compare, is_worse


def finding(name: str, where: str = "mx", severity: str = "warning") -> dict[str, Any]:
    return {"id": name, "where": where, "severity": severity, "evidence": "words"}


def make(*findings: dict[str, Any], **outcomes: str) -> dict[str, Any]:
    verdicts = [{"sender": sender, "outcome": outcome} for sender, outcome in outcomes.items()]
    return {"findings": list(findings), "verdicts": verdicts}


def test_findings_come_and_go() -> None:
    before = make(finding("expired"), finding("weak", "mx2"))
    now = make(finding("expired") | {"evidence": "other words"}, finding("weak", "mx3"))
    assert compare(before, now) == {
        "new": [finding("weak", "mx3")],
        "gone": [finding("weak", "mx2")],
        "changed": [],
        "verdicts": [],
    }


def test_a_finding_that_is_worse_now_is_told() -> None:
    difference = compare(make(finding("old", severity="notice")), make(finding("old")))
    assert difference["changed"] == [finding("old") | {"before": "notice"}]
    assert (difference["new"], difference["gone"]) == ([], [])
    assert is_worse(difference)
    better = compare(make(finding("old")), make(finding("old", severity="notice")))
    assert not is_worse(better)


def test_mail_that_fares_otherwise() -> None:
    difference = compare(
        make(gmail="authenticated", dane="defer"), make(gmail="defer", dane="defer")
    )
    expected = [{"sender": "gmail", "before": "authenticated", "now": "defer"}]
    assert difference["verdicts"] == expected
    assert is_worse(difference)
    assert not is_worse(compare(make(gmail="defer"), make(gmail="encrypted")))
    assert is_worse(compare(make(), make(finding("expired"))))
    assert not is_worse(compare(make(), make(finding("no-pq", severity="info"))))


def test_what_an_earlier_release_or_a_stranger_wrote_is_compared_as_far_as_it_goes() -> None:
    now = make(finding("expired"), gmail="defer")
    for before in ({}, {"findings": 7, "verdicts": [1]}, {"findings": ["x", {}]}):
        difference = compare(before, now)
        assert difference["new"] == now["findings"]
        assert difference["verdicts"] == [{"sender": "gmail", "before": None, "now": "defer"}]
