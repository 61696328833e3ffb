"""From testing to enforce: reports must speak for it, and silence is none that does."""

import pytest
from msgspec.structs import replace

from letterlock.services.intake.advice import Advice, Verdict, advise
from letterlock.storage.received_reports import POSTED, KeptResult
from tests.services.intake.results import ENFORCED, EXPIRED, UNTIL, kept

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
        ((*GOOD, kept(failed=None)), "1 results do not tell how many sessions failed"),
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
