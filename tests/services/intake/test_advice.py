"""From testing to enforce: reports must speak for it, and silence is none that does."""

import pytest
from msgspec.structs import replace

from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.services.intake.advice import Advice, Verdict, advise
from letterlock.storage.received_reports import POSTED, KeptResult
from tests.services.intake.results import ENFORCED, EXPIRED, TESTING, UNTIL, kept

GOOD = tuple(kept(days, who) for days in range(1, 15) for who in ("a.example", "b.example"))


def judge(*results: KeptResult) -> Advice:
    return advise("example.org", results, UNTIL)


def test_days_senders_and_sessions_without_a_failure_are_enough() -> None:
    found = judge(*GOOD)
    assert (found.verdict, found.reasons) == (Verdict.ENFORCE, ())
    assert (found.days, found.submitters) == (14, ("a.example", "b.example"))
    assert found.sessions.successful == 280
    assert found.policy is not None
    assert "mode: testing" in found.policy.strings


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ((), "no report on MTA-STS in 28 days: is there a TLSRPT record, and a policy?"),
        (GOOD[2:], "reports on 13 days; 14 are needed"),
        (GOOD[::2], "reports of 1 sender; 2 are needed"),
        (
            tuple(replace(each, successful=1) for each in GOOD),
            "28 sessions met the policy; 100 are needed",
        ),
        (
            (*GOOD, kept(failed=None)),
            "1 result does not tell how many sessions failed, or how many were fine",
        ),
        (
            (*GOOD, kept(successful=None), kept(failed=None)),
            "2 results do not tell how many sessions failed, or how many were fine",
        ),
        (
            (*GOOD, *(kept(days, "c.example") for days in range(8, 28))),
            "no report any more from c.example",
        ),
    ],
)
def test_what_is_missing_is_named(results: tuple[KeptResult, ...], reason: str) -> None:
    found = judge(*results)
    assert (found.verdict, found.reasons) == (Verdict.WAIT, (reason,))


def test_one_failure_is_mail_that_would_wait() -> None:
    found = judge(*GOOD, kept(3, failed=3, failures=(EXPIRED,)))
    assert found.verdict is Verdict.MEND
    assert found.reasons == ("3 sessions failed: that mail would wait",)
    assert found.failures[0].kind.result_type == "certificate-expired"
    assert judge(*GOOD, kept(failures=(EXPIRED,))).verdict is Verdict.MEND


def test_what_is_older_or_of_another_policy_does_not_count() -> None:
    older = kept(28, failed=3, failures=(EXPIRED,))
    tlsa = kept(type="tlsa", failed=3, failures=(EXPIRED,))
    assert judge(*GOOD, older, tlsa).verdict is Verdict.ENFORCE
    assert judge(*GOOD, replace(older, day=GOOD[0].day)).verdict is Verdict.MEND


def test_a_policy_that_senders_see_enforced_is_told_as_such() -> None:
    enforced = [replace(each, strings=ENFORCED) for each in GOOD]
    assert judge(*enforced).verdict is Verdict.ENFORCED
    assert judge(*enforced, kept(failed=1)).verdict is Verdict.MEND


def test_what_was_posted_speaks_against_and_never_for() -> None:
    """Anybody can post a report: rule 260."""
    posted = tuple(replace(each, submitter=each.submitter + POSTED) for each in GOOD)
    found = judge(*posted)
    assert found.verdict is Verdict.WAIT
    assert found.reasons == (
        "reports on 0 days; 14 are needed",
        "reports of 0 senders; 2 are needed",
        "0 sessions met the policy; 100 are needed",
        "28 results more were posted: anybody can, so they prove nothing",
    )
    assert judge(*GOOD, *posted).verdict is Verdict.ENFORCE
    bad = replace(posted[0], failed=3, failures=(EXPIRED,))
    assert judge(*GOOD, bad).verdict is Verdict.MEND


MOVED = tuple(line.replace("mx.", "mx2.") for line in TESTING)
NONE = ("version: STSv1", "mode: none", "max_age: 86400")


def test_what_met_a_policy_with_other_hosts_proves_nothing_for_the_last_one() -> None:
    """RFC 8461 §4.1: which hosts match is what is enforced."""
    found = judge(*GOOD, kept(0, strings=MOVED))
    assert found.verdict is Verdict.WAIT
    assert found.reasons[0] == "reports on 1 day; 14 are needed"
    more = "28 results more of a policy with other MX hosts, or of mode: none, than the last one"
    assert found.reasons[-1] == more
    assert found.policy is not None
    assert "mx: mx2.example.org" in found.policy.strings
    # Two policies on one day: the one that was not there before is the last one.
    assert judge(*GOOD, kept(1, strings=MOVED)).verdict is Verdict.WAIT


def test_a_policy_with_the_same_hosts_is_the_same_evidence() -> None:
    longer = tuple(line.replace("86400", "604800") for line in (*TESTING[:2], "mx:MX.example.org"))
    assert judge(*GOOD, kept(0, strings=longer)).verdict is Verdict.ENFORCE


def test_who_does_not_tell_the_policy_counts_from_when_it_was_seen() -> None:
    untold = [replace(each, strings=()) for each in GOOD]
    assert judge(*untold).verdict is Verdict.ENFORCE
    assert judge(*untold, kept(14)).verdict is Verdict.ENFORCE
    assert judge(*untold, kept(13)).reasons[0] == "reports on 13 days; 14 are needed"


def test_a_policy_that_is_told_without_its_hosts_is_no_other_one() -> None:
    """RFC 8460 §4.4: the patterns are in `mx-host` too."""
    short = tuple(line for line in TESTING if not line.startswith("mx"))
    for changes in ({}, {"mx_hosts": ("MX.example.org",)}):
        few = [replace(each, strings=short, **changes) for each in GOOD[::2]]
        assert judge(*GOOD[1::2], *few).verdict is Verdict.ENFORCE
        assert judge(*[replace(each, strings=short, **changes) for each in GOOD]).reasons == ()
    enforced = tuple(line.replace("testing", "enforce") for line in short)
    assert judge(*GOOD, kept(0, strings=enforced)).verdict is Verdict.ENFORCED
    moved = [replace(each, strings=short, mx_hosts=("mx2.example.org",)) for each in GOOD[::2]]
    assert judge(*GOOD[1::2], *moved).verdict is Verdict.WAIT


def test_a_policy_of_mode_none_is_not_on_its_way_to_enforce() -> None:
    """RFC 8461 §8.3: a domain that publishes it takes its policy away."""
    found = judge(*GOOD, kept(0, strings=NONE))
    assert found.verdict is Verdict.WAIT
    assert found.reasons[-1] == "the policy that senders saw last has mode: none"
    # What was seen while there was none says nothing of what is there since.
    before = [replace(each, strings=NONE) for each in GOOD if each.day < GOOD[4].day]
    assert judge(*GOOD[:4], *before).verdict is Verdict.WAIT


def test_a_policy_that_nobody_saw_yet_is_not_proved() -> None:
    moved = advise("example.org", GOOD, UNTIL, MOVED)
    told = "the policy that is published now has other MX hosts than the last one that was seen"
    assert (moved.verdict, moved.reasons) == (Verdict.WAIT, (told,))
    assert advise("example.org", GOOD, UNTIL, TESTING).verdict is Verdict.ENFORCE


@pytest.mark.parametrize("kind", ["no-policy-found", "tlsa"])
def test_a_policy_that_could_not_be_had_is_no_success(kind: str) -> None:
    """RFC 8460 §4.3.2.2: some tell that they found none, and in the details why."""
    failure = FailureDetails("sts-webpki-invalid", 5)
    found = judge(*GOOD, kept(type=kind, strings=(), failed=5, failures=(failure, EXPIRED)))
    assert found.verdict is Verdict.MEND
    assert found.reasons == (f"failures that may be of MTA-STS are told under {kind}",)
    assert [each.kind.result_type for each in found.failures] == ["sts-webpki-invalid"]
    assert found.sessions.failed == 0


@pytest.mark.parametrize("kind", [None, "mta-sts"])
def test_a_failure_under_a_type_that_is_not_known_may_be_of_the_policy(kind: str | None) -> None:
    found = judge(*GOOD, kept(type=kind, failed=2))
    name = kind or "a type that is not told"
    assert found.reasons == (f"failures that may be of MTA-STS are told under {name}",)
    assert found.verdict is Verdict.MEND


def test_failures_that_are_in_no_count_are_told_as_such() -> None:
    found = judge(*GOOD, kept(failed=0, failures=(EXPIRED,)))
    assert found.verdict is Verdict.MEND
    assert found.reasons == ("failures are told, and not in how many sessions: that mail may wait",)
    none = replace(EXPIRED, count=0)
    assert judge(*GOOD, kept(failed=0, failures=(none,))).verdict is Verdict.ENFORCE
    assert judge(*GOOD, kept(failed=1, failures=(none,))).failures[0].kind.result_type == ""


def test_a_policy_that_only_a_post_tells_of_is_not_enforced() -> None:
    posted = kept(0, f"a.example{POSTED}", strings=ENFORCED)
    assert judge(*GOOD, posted).verdict is Verdict.ENFORCE
    found = judge(posted)
    assert found.verdict is Verdict.WAIT
    assert found.policy is not None
    assert found.policy.submitters == (f"a.example{POSTED}",)


def test_what_is_long_past_says_nothing_of_today() -> None:
    """Nor do those that never reported each day, and so are not missed."""
    past = [kept(days, who) for days in range(5, 27) if days % 3 for who in ("a.example", "b.ex")]
    assert len({each.day for each in past}) >= 14
    last = "no report on a day after 2026-04-25: what came since is not known"
    assert judge(*past).reasons == (last,)
    assert judge(*past, kept(4)).verdict is Verdict.ENFORCE


def test_a_sender_that_is_not_told_is_not_one_more() -> None:
    untold = [replace(each, submitter="") for each in GOOD[::2]]
    assert judge(*GOOD[1::2], *untold).reasons == ("reports of 1 sender; 2 are needed",)
