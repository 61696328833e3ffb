"""What a log comes to."""

from letterlock.protocols.mail_log.deliveries import LoggedDelivery
from letterlock.protocols.mail_log.summary import MAX_COUNTED, Summary, count_all


def make(cause: str, mx: str = "mx.example.org", to: str = "a@example.org") -> LoggedDelivery:
    return LoggedDelivery("now", "ID", to, mx, "192.0.2.1", "", None, "sent", "2.0.0", cause)


def test_what_failed_is_first_then_what_is_most() -> None:
    summary = count_all([make("ok"), make("ok"), make("no-tlsa"), make("unknown"), make("unknown")])
    assert [(each.cause, each.count) for each in summary.causes] == [
        ("unknown", 2),
        ("no-tlsa", 1),
        ("ok", 2),
    ]
    assert summary.has_failures
    assert not count_all([make("ok-verified")]).has_failures


def test_what_helps_has_the_names_that_are_most() -> None:
    cause = count_all(
        [
            make("no-sni-selfsigned", to="a@often.example"),
            make("no-sni-selfsigned", to="a@often.example"),
            make("no-sni-selfsigned", to="a@rarely.example"),
        ]
    ).causes[0]
    assert "`often.example verify servername=hostname`" in cause.fix
    assert cause.domains == {"often.example": 2, "rarely.example": 1}


def test_a_name_of_a_stranger_is_a_name_only() -> None:
    """It was in a log line that anybody can cause."""
    cause = count_all([make("missing-intermediate", mx="{domain}`rm`\x1b[31m")]).causes[0]
    assert cause.fix.startswith("domainrm31m has to serve")
    nobody = count_all([make("no-tlsa", mx="", to="nobody")]).causes[0]
    assert "for DOMAIN" in nobody.fix


def test_very_many_names_are_counted_and_not_kept() -> None:
    summary = Summary()
    for number in range(MAX_COUNTED + 10):
        summary.add(make("ok", mx=f"mx{number}.example"))
    cause = summary.causes[0]
    assert (cause.count, len(cause.hosts), cause.others) == (MAX_COUNTED + 10, MAX_COUNTED, 10)


def test_a_second_mx_host_has_the_first_ones_remedy() -> None:
    cause = count_all([make("ok-second-mx-after-tlsa-mismatch")]).causes[0]
    assert "TLSA" in cause.fix
