"""What a check says now of a host that reports name: its own hosts alone, and in one line."""

from typing import Any

import pytest

from letterlock.services.check.host_now import MAX_SAID, find_now

MX = "mx.example.org"


def finding(where: str, **changes: str) -> dict[str, Any]:
    return {
        "id": "certificate-expired",
        "severity": "critical",
        "where": where,
        "evidence": "expired 2026-11-02",
        "fix": "renew it",
        **changes,
    }


def document(*findings: dict[str, Any], **changes: Any) -> dict[str, Any]:
    address = {"ip": "192.0.2.1", "state": "finding", "detail": ""}
    host = {"name": MX, "error": "", "addresses": [address], **changes}
    return {"domain": "example.org", "hosts": [host], "no_route": None, "findings": [*findings]}


def test_a_host_of_the_domain_says_what_is_wrong_and_what_to_do() -> None:
    now = find_now(document(finding(f"{MX}[192.0.2.1]")), MX)
    assert (now.is_asked, now.says) == (True, "certificate-expired: expired 2026-11-02; renew it")
    assert (len(now.findings), now.addresses[0]["ip"]) == (1, "192.0.2.1")


def test_where_this_node_renews_it_the_command_is_said() -> None:
    found = document(finding(f"{MX}[192.0.2.1]"), finding(MX, id="no-certificate"))
    assert find_now(found, MX, {MX}).says == (
        f"certificate-expired: expired 2026-11-02; run: letterlock cert renew {MX}; "
        "no-certificate: expired 2026-11-02; renew it"
    )
    assert "run:" not in find_now(found, MX, {"other.example.org"}).says


def test_a_report_writes_the_name_as_it_likes() -> None:
    assert find_now(document(), "MX.Example.org.").says == "nothing is wrong with it now"


@pytest.mark.parametrize("host", ["localhost", "x.example.net", f"{MX}.x", "example.org"])
def test_any_other_host_is_not_asked(host: str) -> None:
    """Whoever writes reports does not choose whom we connect to: rule 261."""
    now = find_now(document(finding(f"{MX}[192.0.2.1]")), host)
    assert (now.is_asked, now.says) == (
        False, "not asked: it is no MX host of example.org now"
    )  # fmt: skip
    assert (now.findings, now.addresses) == ((), ())


@pytest.mark.parametrize("state", ["blocked", "unreachable", "not tested"])
def test_what_cannot_be_asked_says_so(state: str) -> None:
    addresses = [{"ip": "192.0.2.1", "state": state, "detail": "it put us off"}] * 2
    now = find_now(document(addresses=addresses), MX)
    assert (now.is_asked, now.says) == (False, "cannot be asked: it put us off")
    without = document(addresses=[], error="no such name")
    assert find_now(without, MX).says == "cannot be asked: no such name"
    assert find_now(document(addresses=[]), MX).says == "cannot be asked: it has no addresses"


def test_one_address_that_answers_is_enough_to_say_something() -> None:
    addresses = [
        {"ip": "192.0.2.1", "state": "unreachable", "detail": "timed out"},
        {"ip": "192.0.2.2", "state": "ok", "detail": ""},
    ]
    lost = finding(f"{MX}[192.0.2.1]", id="host-unreachable", evidence="timed out", fix="")
    now = find_now(document(lost, addresses=addresses), MX)
    assert (now.is_asked, now.says) == (True, "host-unreachable: timed out")


def test_only_what_is_severe_is_said_each_once_and_not_too_many() -> None:
    info = finding(f"{MX}[192.0.2.1]", severity="notice")
    assert find_now(document(info), MX).says == "nothing is wrong with it now"
    twice = [finding(f"{MX}[192.0.2.{n}]") for n in (1, 2)]
    assert find_now(document(*twice), MX).says.count("expired 2026") == 1
    many = [finding(f"{MX}[192.0.2.1]", id=f"f{n}") for n in range(MAX_SAID + 2)]
    assert find_now(document(*many), MX).says.endswith("; and 2 more")


def test_without_a_host_it_is_about_what_the_domain_publishes() -> None:
    of_host = finding(f"{MX}[192.0.2.1]")
    policy = finding("example.org", id="mta-sts-policy", evidence="HTTP status 404", fix="")
    now = find_now(document(of_host, policy), "")
    assert (now.is_asked, now.says) == (True, "mta-sts-policy: HTTP status 404")
    assert find_now(document(of_host), "").says == "nothing is wrong with what is published now"


def test_a_domain_without_a_way_cannot_be_asked() -> None:
    nowhere = {**document(), "hosts": [], "no_route": "no such domain"}
    assert find_now(nowhere, MX).says == "not asked: no such domain"
    assert find_now(nowhere, "").says == "cannot be asked: no such domain"
