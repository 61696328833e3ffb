"""What is told of a domain that is checked again and again: what lasts, each thing once."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.services.check.watching import Change, Rules, Watched, observe

HOST, IP = "mx.example.org", "192.0.2.1"
PLACE = f"{HOST}[{IP}]"
TWICE = Rules(times=2)
EXPIRED = "certificate-expired"


def finding(name: str, where: str = PLACE, severity: str = "warning") -> dict[str, Any]:
    return {"id": name, "severity": severity, "where": where, "evidence": "so", "fix": "do"}


def look(
    *findings: dict[str, Any],
    state: str = "ok",
    probe: str = "ok",
    undecided: Iterable[str] = (),
    no_route: str | None = None,
    zones: object = None,
    **outcomes: str,
) -> dict[str, Any]:
    """Make a document; `state` is the address's, `probe` that of one of its probes."""
    address = {"ip": IP, "state": state, "probes": [{"state": state}, {"state": probe}]}
    verdicts = [
        {"sender": sender, "outcome": outcome, "reason": "for a reason"}
        for sender, outcome in outcomes.items()
    ]
    return {
        "domain": "example.org",
        "hosts": [{"name": HOST, "addresses": [address]}],
        "findings": list(findings),
        "verdicts": verdicts,
        "undecided": list(undecided),
        "no_route": no_route,
        "dnssec": {"zones": zones},
    }


def gone(state: str = "unreachable") -> dict[str, Any]:
    name = {"unreachable": "host-unreachable", "blocked": "host-blocked-us"}[state]
    return look(finding(name), state=state, probe=state, gmail="undecidable")


def watch(*looks: dict[str, Any], rules: Rules = TWICE) -> list[list[str]]:
    """Give what is told after each look, as `event what before now`."""
    watched, told = Watched(), []
    for number, each in enumerate(looks):
        watched, changes = observe(watched, each, rules, str(number))
        told.append([_describe(change) for change in changes])
    return told


def _describe(change: Change) -> str:
    return f"{change.event} {change.what} {change.before}>{change.now}"


def test_what_is_there_at_first_is_known() -> None:
    assert watch(look(finding(EXPIRED), gmail="encrypted")) == [[]]


def test_what_begins_is_told_when_it_lasts_and_once() -> None:
    begun = look(finding(EXPIRED))
    assert watch(look(), begun, begun, begun) == [
        [],
        [],
        [f"begins {EXPIRED} None>warning"],
        [],
    ]


def test_what_ends_is_told_as_well() -> None:
    assert watch(look(finding(EXPIRED)), look(), look(), look()) == [
        [],
        [],
        [f"ends {EXPIRED} warning>None"],
        [],
    ]


def test_one_probe_that_was_lost_is_no_alarm() -> None:
    for lost in (gone(), gone("blocked")):
        watched = look(finding(EXPIRED), gmail="encrypted")
        assert watch(watched, lost, watched, lost, watched) == [[]] * 5


def test_a_host_that_is_gone_is_told_and_that_it_is_back() -> None:
    """What was wrong with it has not ended meanwhile, and mail for it has not changed."""
    there = look(finding(EXPIRED), gmail="encrypted")
    for state, name, severity in (
        ("unreachable", "host-unreachable", "warning"),
        ("blocked", "host-blocked-us", "info"),
    ):
        away = gone(state)
        away["findings"][0]["severity"] = severity
        assert watch(there, away, away, away, there, there) == [
            [],
            [],
            [f"begins {name} None>{severity}"],
            [],
            [],
            [f"ends {name} {severity}>None"],
        ]


def test_who_blocks_us_after_it_was_silent_is_silent_no_longer() -> None:
    assert watch(look(), gone(), gone(), gone("blocked"), gone("blocked"))[-1] == [
        "begins host-blocked-us None>warning",
        "ends host-unreachable warning>None",
    ]


def test_what_was_hidden_and_is_gone_ends_once_it_can_be_seen() -> None:
    first = look(finding(EXPIRED), finding("x", f"{PLACE} RSA"), finding("y", HOST))
    half = look(probe="blocked")
    assert watch(first, half, half, look(), look()) == [
        [],
        [],
        [],
        [],
        [f"ends {each} warning>None" for each in (EXPIRED, "x", "y")],
    ]


FAILED = "TXT of _mta-sts.example.org: no answer"


def test_lookups_that_failed_end_nothing_and_that_is_told() -> None:
    first = look(finding("mta-sts-short", "example.org"))
    failed = look(undecided=[FAILED])
    assert watch(first, failed, first, failed, failed, failed, first, first) == [
        [],
        [],
        [],
        [],
        ["begins lookup-failed None>notice"],
        [],
        [],
        ["ends lookup-failed notice>None"],
    ]
    rules = Rules(2, frozenset({"lookup-failed"}))
    assert watch(first, failed, failed, failed, rules=rules) == [[]] * 4


def test_lookups_that_never_were_answered_hide_nothing() -> None:
    """Behind many a firewall the servers of a zone cannot be asked."""
    blind = look(finding(EXPIRED, "example.org"), undecided=[FAILED])
    gone_blind = look(undecided=["TXT of _mta-sts.example.org: refused"])
    assert watch(blind, blind, gone_blind, gone_blind) == [
        [],
        [],
        [],
        [f"ends {EXPIRED} warning>None"],
    ]
    # Whether they are asked may depend on what a host shows.
    assert watch(blind, blind, look(), look(), blind, blind)[-1] == [
        f"begins {EXPIRED} None>warning"
    ]


def test_what_a_connection_shows_ends_whatever_lookups_fail() -> None:
    first = look(finding(EXPIRED), finding("weak", f"{PLACE} RSA"), finding("tlsa-no-match-served"))
    failed = look(undecided=[FAILED])
    assert watch(first, failed, failed)[-1] == [
        "begins lookup-failed None>notice",
        f"ends {EXPIRED} warning>None",
        "ends weak warning>None",
    ]


def test_a_certificate_stays_revoked_while_its_crl_cannot_be_had() -> None:
    """RFC 5280 §6.3: what is not known is not good; where none is named there is none."""
    revoked = look(finding("certificate-revoked", HOST))

    def without(state: str, crl: str | None, host: str = HOST) -> dict[str, Any]:
        return look() | {"revocation": [{"host": host, "state": state, "crl": crl}]}

    failed = without("not told", "http://crl.example/1.crl")
    assert watch(revoked, failed, failed, failed)[1:] == [[], [], []]
    ended = ["ends certificate-revoked warning>None"]
    for known in (
        without("not revoked", "http://crl.example/1.crl"),
        without("not told", None),
        without("not told", "http://crl.example/1.crl", "other.example"),
    ):
        assert watch(revoked, failed, known, known)[-1] == ended


def test_with_nowhere_to_go_nothing_ends() -> None:
    first = look(finding("mta-sts-short", "example.org"))
    nowhere = look(finding("no-route", "example.org", "critical"), no_route="no answer")
    assert watch(first, nowhere, nowhere)[-1] == ["begins no-route None>critical"]


def test_mail_that_fares_otherwise_is_told() -> None:
    assert watch(
        look(gmail="authenticated"), look(gmail="defer"), look(gmail="defer"), look(gmail="clear")
    ) == [[], [], ["changes gmail authenticated>defer"], []]
    watched, _ = observe(Watched(), look(gmail="authenticated"), Rules(1), "0")
    for outcome, severity in (("bounce", "critical"), ("clear", "warning"), ("x", "notice")):
        _, (change,) = observe(watched, look(gmail=outcome), Rules(1), "1")
        assert (change.severity, change.evidence) == (severity, "for a reason")


def test_a_sender_that_is_not_known_yet_is_told_when_it_is() -> None:
    first = look(gmail="undecidable")
    assert watch(first, first, look(gmail="defer"), rules=Rules(1))[-1] == [
        "changes gmail undecidable>defer"
    ]


def test_a_finding_that_gets_worse_is_told_and_other_words_are_not() -> None:
    notice = look(finding("tlsa-fragile", severity="notice"))
    worse = look(finding("tlsa-fragile", severity="critical"))
    assert watch(notice, worse, worse)[-1] == ["changes tlsa-fragile notice>critical"]
    other = look(finding("tlsa-fragile", severity="notice") | {"evidence": "other words"})
    assert watch(notice, other, other) == [[]] * 3


def test_what_is_only_good_to_know_and_what_is_silenced_is_not_told() -> None:
    known = look(finding("root-sent", severity="info"), finding("caa-missing"))
    rules = Rules(1, frozenset({"caa-missing"}))
    assert watch(look(), known, look(), rules=rules) == [[]] * 3
    # What is silenced later does not end by that.
    watched, _ = observe(Watched(), known, Rules(1), "0")
    assert len(watched.findings or ()) == 1
    for later in (look(), known, look(no_route="x")):
        silenced, changes = observe(watched, later, rules, "1")
        assert (silenced.findings, changes) == ((), ())


def test_a_first_look_that_was_lost_is_not_what_is_known() -> None:
    assert watch(gone(), look(finding(EXPIRED)), look(finding(EXPIRED))) == [[]] * 3
    # If it stays so, it is.
    assert watch(gone(), gone(), look(), look())[-1] == ["ends host-unreachable warning>None"]


def test_it_is_settled_when_nothing_waits() -> None:
    assert not Watched().is_settled
    watched, _ = observe(Watched(), look(), TWICE, "0")
    assert watched.is_settled
    watched, _ = observe(watched, look(finding(EXPIRED)), TWICE, "1")
    assert not watched.is_settled


_LOOKS = st.lists(st.sampled_from(range(5)), max_size=12)


@given(_LOOKS, st.integers(1, 3))
def test_whatever_came_before_what_lasts_is_known_and_told(kinds: list[int], times: int) -> None:
    """After so many looks alike nothing waits, and what was told adds up to what there is."""
    looks = (
        look(gmail="encrypted"),
        look(finding(EXPIRED), gmail="defer"),
        gone(),
        gone("blocked"),
        look(finding("z", severity="critical"), gmail="clear"),
    )
    watched, _ = observe(Watched(), looks[0], Rules(times), "0")
    there = set()
    for each in [*(looks[kind] for kind in kinds), *[looks[1]] * times]:
        watched, changes = observe(watched, each, Rules(times), "0")
        for change in changes:
            if change.event == "begins":
                assert change.what not in there
                there.add(change.what)
            elif change.event == "ends":
                there.remove(change.what)
    assert watched.is_settled
    assert there == {EXPIRED}
    assert [each["outcome"] for each in watched.verdicts] == ["defer"]


BROKEN = finding("dnssec-ds-without-key", "example.org", "critical")
DISAGREES = finding("dnssec-resolver-disagrees", "example.org")
FOLLOWED = [{"zone": "example.org"}]


def test_what_is_wrong_with_a_chain_ends_where_the_chain_was_followed() -> None:
    """RFC 4035 §5: also where the zone is not signed any more."""
    first = look(BROKEN, DISAGREES, zones=FOLLOWED)
    mended = look(finding("dnssec-unsigned", "example.org", "info"), zones=FOLLOWED)
    ended = ["ends dnssec-ds-without-key critical>None", f"ends {DISAGREES['id']} warning>None"]
    assert watch(first, mended, rules=Rules(times=1)) == [[], ended]


@pytest.mark.parametrize("cause", ["no-answer", "root-not-proved"])
def test_where_a_chain_cannot_be_followed_nothing_of_it_has_ended(cause: str) -> None:
    first = look(BROKEN, DISAGREES, zones=FOLLOWED)
    lost = look(finding(f"dnssec-{cause}", "org", "notice"), zones=FOLLOWED)
    told = watch(first, lost, first, rules=Rules(times=1))
    assert told == [
        [],
        [f"begins dnssec-{cause} None>notice"],
        [f"ends dnssec-{cause} notice>None"],
    ]


def test_where_the_resolver_does_not_validate_it_agrees_with_nothing() -> None:
    """RFC 4035 §4.9.3: that its word counts again is told."""
    untrusted = look(finding("dnssec-resolver-not-validating", "example.org"), zones=FOLLOWED)
    told = watch(look(DISAGREES, zones=FOLLOWED), untrusted, look(), rules=Rules(times=1))
    assert told == [[], ["begins dnssec-resolver-not-validating None>warning"], []]
    told = watch(untrusted, look(zones=FOLLOWED), rules=Rules(times=1))
    assert told == [[], ["ends dnssec-resolver-not-validating warning>None"]]


def test_without_dnssec_nothing_of_a_chain_is_seen() -> None:
    """A watch that is started again without `--dnssec` has seen nothing mended."""
    assert watch(look(BROKEN, zones=FOLLOWED), look(), rules=Rules(times=1)) == [[], []]
