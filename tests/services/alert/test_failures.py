"""Failures that are told: which rule, when they are mended, and that silence mends nothing."""

import pytest
from msgspec.structs import replace

from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.services.alert.conditions import MAX_CHARACTERS, Found
from letterlock.services.alert.failures import MAX_KINDS, GoodDays, find_failures
from letterlock.storage.received_reports import KeptResult
from tests.services.alert.found import add_up, name_all, name_mended
from tests.services.intake.results import EXPIRED, TODAY, kept

MX = "mx.example.org"


def find(*results: KeptResult, older: tuple[KeptResult, ...] = ()) -> Found:
    return find_failures(add_up(*results, older=older), GoodDays(results), TODAY)


def failing(
    days_ago: int = 1,
    result_type: str | None = "certificate-expired",
    submitter: str = "google.example",
    *,
    kind: str = "sts",
    host: str | None = MX,
    successful: int = 0,
) -> KeptResult:
    details = replace(EXPIRED, result_type=result_type, receiving_mx_hostname=host)
    return kept(
        *(days_ago, submitter), type=kind, successful=successful, failed=3, failures=(details,)
    )


@pytest.mark.parametrize(
    ("result_type", "name"),
    [
        ("sts-webpki-invalid", f"A2 sts-webpki-invalid {MX}"),
        ("sts-policy-invalid", f"A2 sts-policy-invalid {MX}"),
        ("tlsa-invalid", f"A2 tlsa-invalid {MX}"),
        ("dnssec-invalid", f"A2 dnssec-invalid {MX}"),
        ("dane-required", f"A2 dane-required {MX}"),
        ("certificate-expired", f"A3 certificate-expired {MX}"),
        ("starttls-not-supported", f"A5 sts starttls-not-supported {MX}"),
        ("validation-failure", f"A5 sts validation-failure {MX}"),
        ("of-their-own", f"A5 sts of-their-own {MX}"),
        (None, f"A5 sts {MX}"),
    ],
)
def test_each_result_type_has_its_rule(result_type: str | None, name: str) -> None:
    """RFC 8460 §4.3. One report is enough, of however few sessions."""
    found = find(failing(result_type=result_type))
    assert name_all(found) == [name]
    assert found.conditions[0].may_begin


def test_starttls_that_was_there_before_is_a_downgrade() -> None:
    """A4: an MX host that a sender reached with TLS, and now without."""
    gone = failing(1, "starttls-not-supported")
    assert name_all(find(kept(5), gone)) == [f"A4 starttls-not-supported {MX}"]
    assert (
        "met the policy before, first on 2026-04-25"
        in (find(kept(5), gone).conditions[0].text.evidence[-1])
    )
    the_same_day = failing(1, "starttls-not-supported", successful=5)
    assert name_all(find(the_same_day)) == [f"A5 sts starttls-not-supported {MX}"]
    nobody_had_it = [kept(5, "other.example"), kept(5, type="tlsa"), gone]
    assert name_all(find(*nobody_had_it)) == [f"A5 sts starttls-not-supported {MX}"]


def test_what_another_rule_tells_is_not_told_as_first_seen_too() -> None:
    found = find(failing(2), failing(1, kind="tlsa"), failing(1, "validation-failure"))
    assert name_all(found) == [
        f"A3 certificate-expired {MX}", f"A5 sts validation-failure {MX}"
    ]  # fmt: skip


def test_a_failure_is_mended_by_who_told_of_it_on_a_later_day() -> None:
    name = f"A3 certificate-expired {MX}"
    found = find(failing(3), kept(1))
    assert (name_all(found), name_mended(found)) == (
        [], {name: "google.example met the policy in 10 sessions on 2026-04-29"}
    )  # fmt: skip


@pytest.mark.parametrize(
    "later",
    [
        kept(1, "other.example"),
        kept(1, type="tlsa"),
        kept(3),
        kept(1, successful=0),
        kept(1, successful=None),
    ],
)
def test_no_other_success_mends_it(later: KeptResult) -> None:
    """Another sender, another policy, the same day, no session at all: rule 262."""
    found = find(failing(3, successful=7), later)
    assert name_all(found) == [f"A3 certificate-expired {MX}"]
    assert found.mended == {}


def test_it_is_mended_only_when_no_day_after_fails() -> None:
    assert name_all(find(failing(5), kept(3), failing(1))) == [f"A3 certificate-expired {MX}"]
    assert name_all(find(failing(5, successful=3), failing(3), kept(4))) != []


def test_what_nobody_tells_of_for_two_weeks_is_neither_wrong_nor_mended() -> None:
    """Rule 260."""
    assert name_all(find(failing(13))) == [f"A3 certificate-expired {MX}"]
    found = find(failing(14))
    assert (found.conditions, found.mended) == ((), {})


def test_a_first_seen_failure_opens_an_alert_in_its_first_days_only() -> None:
    """A5. It goes on as long as it is told of."""
    found = find(failing(8, "validation-failure"), failing(1, "validation-failure"))
    assert [each.may_begin for each in found.conditions] == [False]
    known = failing(99, "validation-failure")
    found = find(failing(1, "validation-failure"), older=(known,))
    assert [each.may_begin for each in found.conditions] == [False]


def test_the_text_says_what_where_since_when_by_whom_and_what_to_do() -> None:
    found = find(failing(3), failing(2), kept(1, "ms.example"))
    text = found.conditions[0].text
    assert text.what == "certificate-expired at mx.example.org: the certificate has expired"
    assert f"{text.since:%Y-%m-%d}" == "2026-04-27"
    assert text.evidence == (
        "2026-04-27 to 2026-04-28: 6 sessions under MTA-STS, by google.example (1 of 2 senders)",
    )
    assert text.remedy.startswith("renew it, and load it into every server behind that name; ")
    assert "letterlock tlsrpt summary example.org --probe" in text.remedy


def test_what_is_not_told_is_not_made_up() -> None:
    untold = kept(1, failed=2)
    unknown = kept(1, failures=(FailureDetails("of-their-own", None, None, None),))
    found = find(untold, unknown)
    whats = [each.text.what for each in found.conditions]
    assert "failures of a kind not told" in whats
    assert any("at least 0 sessions" in each.text.evidence[0] for each in found.conditions)


def test_words_of_strangers_stay_on_one_short_line() -> None:
    evil = replace(
        EXPIRED, receiving_mx_hostname="a\r\nBcc: b" + "x" * 9000, reason_code="\x1b[2J" * 900
    )
    found = find(kept(1, "evil\n.example", failed=1, failures=(evil,)))
    text = found.conditions[0].text
    for line in (found.conditions[0].key.subject, text.what, *text.evidence, text.remedy):
        assert line.isprintable()
        assert len(line) <= MAX_CHARACTERS


def test_a_report_with_any_number_of_failures_is_survived() -> None:
    """RFC 8460 §7; rule 263: those that were seen first stay."""
    flood = tuple(replace(EXPIRED, receiving_mx_hostname=f"mx{n}") for n in range(MAX_KINDS + 5))
    found = find(kept(1, "evil.example", failed=1, failures=flood), failing(3, "tlsa-invalid"))
    assert len(found.conditions) == MAX_KINDS
    assert f"A2 tlsa-invalid {MX}" in name_all(found)
