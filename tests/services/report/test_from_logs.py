"""Reports from a mail log, for servers that make none."""

from datetime import UTC, datetime

import pytest

from letterlock.protocols.mail_log.deliveries import LoggedDelivery, Tls
from letterlock.protocols.tlsrpt.file_names import parse_file_name
from letterlock.protocols.tlsrpt.finding import read_file
from letterlock.protocols.tlsrpt.report import ReadReport
from letterlock.services.report.composing import Submitter
from letterlock.services.report.from_logs import LogReports, make_session

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SUBMITTER = Submitter("Example", "tls@mx.example.net", "mx.example.net")
TLS = Tls("Trusted", "TLSv1.3", "AES")


def make(
    cause: str,
    queue_id: str = "A",
    *,
    to: str = "bob@peer.example",
    level: str = "",
    tls: Tls | None = None,
    stamp: str = "2026-11-20T10:00:00Z",
) -> LoggedDelivery:
    return LoggedDelivery(
        stamp, queue_id, to, "MX.peer.example", "192.0.2.1", level, tls, "sent", "2.0.0", cause
    )


@pytest.mark.parametrize(
    ("delivery", "kind", "result"),
    [
        (make("ok"), "no-policy-found", None),
        (make("ok-dane"), "tlsa", None),
        (make("ok-verified", level="dane"), "tlsa", None),
        (make("ok-second-mx-after-tlsa-mismatch"), "no-policy-found", None),
        (make("refused-by-peer", tls=TLS), "no-policy-found", None),
        (make("certificate-expired"), "no-policy-found", "certificate-expired"),
        (make("tlsa-mismatch", level="!dane"), "tlsa", "validation-failure"),
        (make("ok-plaintext-fallback"), "no-policy-found", "validation-failure"),
        (make("ok-plaintext-by-policy"), "no-policy-found", "starttls-not-supported"),
    ],
)
def test_what_a_delivery_counts_as(delivery: LoggedDelivery, kind: str, result: str | None) -> None:
    session = make_session(delivery)
    assert session is not None
    (outcome,) = session.outcomes
    assert (outcome.policy.type, outcome.is_failed) == (kind, result is not None)
    assert outcome.policy.domain == ("mx.peer.example" if kind == "tlsa" else "peer.example")
    if result is not None:
        (failure,) = outcome.failures
        assert failure.result_type == result
        assert failure.receiving_mx_hostname == "mx.peer.example"
        assert failure.reason_code == delivery.cause


@pytest.mark.parametrize(
    "delivery", [make("connection-failed"), make("put-off-by-peer"), make("ok", to="nobody")]
)
def test_what_came_to_no_tls_is_no_session(delivery: LoggedDelivery) -> None:
    assert make_session(delivery) is None


def test_each_day_and_domain_has_a_report_that_can_be_read() -> None:
    reports = LogReports(NOW, UTC)
    for delivery in (
        make("ok"),
        make("ok", to="carol@peer.example"),  # of the same message
        make("certificate-expired", "B"),
        make("ok", "C", to="x@other.example"),
        make("ok", "D", stamp="2026-11-21T00:00:00Z"),
        make("ok", "E", stamp="someday"),
        make("connection-failed", "F"),
    ):
        reports.add(delivery)
    found = dict(reports.compose(SUBMITTER))
    assert reports.undated == 1
    names = [parse_file_name(name) for name in found]
    assert [(name.sender, name.policy_domain, name.begin) for name in names if name] == [
        ("mx.example.net", "other.example", 1_795_132_800),
        ("mx.example.net", "peer.example", 1_795_132_800),
        ("mx.example.net", "peer.example", 1_795_219_200),
    ]
    first = next(octets for name, octets in found.items() if "!peer.example!1795132800!" in name)
    (read,) = read_file(first)
    assert isinstance(read, ReadReport)
    assert read.repairs == ()
    (policy,) = read.report.policies
    assert (policy.successful, policy.failed) == (1, 1)
    assert dict(reports.compose(SUBMITTER)) == found
