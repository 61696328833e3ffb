"""Why mail was not delivered, in plain words: RFC 3463 §3, RFC 8460 §4.3."""

import pytest

from letterlock.protocols.smtp.dsn_causes import (
    DEFAULT_SENTENCES,
    Cause,
    Phrase,
    find_cause,
)
from letterlock.protocols.smtp.dsn_report import ReportedRecipient
from letterlock.protocols.smtp.dsn_templates import SENTENCE_NAMES, find_names
from letterlock.protocols.smtp.envelope import Recipient
from letterlock.protocols.tlsrpt.result_types import ResultType

BOB = Recipient("bob@example.com")
THEIRS = "mx.example.com[192.0.2.1]"


@pytest.mark.parametrize(
    ("status", "remote", "cause"),
    [
        ("5.1.1", THEIRS, Cause.NO_SUCH_USER),
        ("5.1.2", None, Cause.NO_SUCH_DOMAIN),
        ("5.1.3", THEIRS, Cause.WRONG_ADDRESS),
        ("5.1.6", THEIRS, Cause.MOVED),
        ("5.1.10", None, Cause.NO_MAIL_HERE),
        ("5.2.1", THEIRS, Cause.MAILBOX_DISABLED),
        ("4.2.2", None, Cause.MAILBOX_FULL),
        ("5.2.2", THEIRS, Cause.MAILBOX_FULL),
        ("5.3.4", None, Cause.TOO_LARGE),
        ("5.2.3", THEIRS, Cause.TOO_LARGE),
        ("4.3.2", THEIRS, Cause.SERVER_BUSY),
        ("5.3.2", THEIRS, Cause.NO_MAIL_HERE),
        ("4.4.1", None, Cause.UNREACHABLE),
        ("4.4.3", None, Cause.NAME_SERVICE),
        ("5.4.4", None, Cause.NO_SERVER),
        ("5.4.6", None, Cause.LOOP),
        ("5.5.3", THEIRS, Cause.TOO_MANY_RECIPIENTS),
        ("5.6.3", None, Cause.CONTENT),
        ("5.6.7", None, Cause.NO_UNICODE),
        ("5.1.8", THEIRS, Cause.SENDER_REFUSED),
        ("5.7.26", THEIRS, Cause.SENDER_UNPROVED),
        ("5.7.1", THEIRS, Cause.FORBIDDEN),
        ("4.7.1", THEIRS, Cause.ASKED_TO_WAIT),
        ("4.7.5", None, Cause.TLS_POLICY),
        ("4.7.5", THEIRS, Cause.NOT_YET),
        ("5.7.30", None, Cause.REQUIRETLS),
        ("4.3.0", None, Cause.OUR_FAULT),
        ("4.3.0", THEIRS, Cause.NOT_YET),
        ("5.0.0", THEIRS, Cause.REFUSED),
        ("", None, Cause.REFUSED),
        ("4.9.9", None, Cause.NOT_YET),
    ],
)
def test_a_status_has_its_cause(status: str, remote: str | None, cause: Cause) -> None:
    """What others say with a code and what we mean with it may differ."""
    assert find_cause(ReportedRecipient(BOB, status, "x", remote)) == cause


def test_what_kept_mail_until_its_time_was_over_is_the_cause() -> None:
    """RFC 3463 §3.5: 4.4.7 says only that the time is over."""
    reported = ReportedRecipient(BOB, "4.4.7", "x", THEIRS, cause="4.2.2")
    assert find_cause(reported) == Cause.MAILBOX_FULL


@pytest.mark.parametrize("result", ResultType)
def test_a_tls_failure_is_its_own_cause(result: ResultType) -> None:
    assert find_cause(ReportedRecipient(BOB, "4.7.5", "x", tls_result=result)) == result.value


def test_each_cause_has_a_sentence_that_can_be_filled() -> None:
    names = [*Cause, *Phrase, *ResultType]
    assert sorted(DEFAULT_SENTENCES) == sorted(names)
    for sentence in DEFAULT_SENTENCES.values():
        assert set(find_names(sentence)) <= set(SENTENCE_NAMES)
